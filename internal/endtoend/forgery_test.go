package endtoend

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// forged is the lower bound of the values that forged copies report: none of them may be published.
const forged = 1_000_000

// TestForgedCopies has tenants that may write any object into physical clusters, except in place of the objects of the way down.
// They claim other workspaces, namespaces, names, uids and SyncTargets, and objects of their neighbours on the same SyncTarget. As
// many honest copies lie between. Nothing of a forgery arrives upstream, and everything honest does.
func TestForgedCopies(t *testing.T) {
	const each = 10_000
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	f := &forgery{rand: rand.New(rand.NewPCG(seed, 0)), count: map[string]int{}, want: map[ref.Upstream]int{}}
	kcp := newKCP(t, memapi.Options{OnWrite: f.written})
	for i := range tenants {
		consume(kcp, string(tenant(i)))
	}
	f.world = start(t, kcp, kcp.Config(), byExport, targetNames(clusters), func(i int) []ref.Workspace {
		var bound []ref.Workspace
		for k := range tenants / clusters {
			bound = append(bound, tenant(i*tenants/clusters+k))
		}
		return bound
	})
	for i := range each {
		f.makeHonest(i)
	}
	for i := range each {
		h := f.honest[i]
		copied, err := h.on.takeDown(h.upstream)
		f.must(err)
		f.must(h.on.report(copied, h.ready))
		f.forge(i)
	}
	for _, k := range kinds {
		t.Logf("%5d forgeries: %s", f.count[k.name], k.name)
		if f.count[k.name] < each/len(kinds)/2 {
			t.Errorf("too few forgeries: %s", k.name)
		}
	}
	f.eventually(4*time.Minute, func() string {
		missing, one := 0, ref.Upstream{}
		for u, ready := range f.want {
			if readyAt(kcp, u) != ready {
				missing, one = missing+1, u
			}
		}
		if missing == 0 {
			return ""
		}
		return fmt.Sprintf("%d of %d honest statuses, such as that of %s", missing, each, one)
	})
	f.atRest()
	t.Logf("%d statuses written for %d honest and %d forged copies; %v refusals counted", f.writes, each, each,
		testutil.ToFloat64(f.metrics.Rejected.WithLabelValues("identity")))
	for _, w := range f.foreign {
		t.Errorf("written: %s", w)
	}
}

// Each SyncTarget is bound to a few tenants, its neighbours.
const tenants, clusters = 40, 8

func tenant(i int) ref.Workspace { return ref.Workspace(fmt.Sprintf("tenant-%02d", i%tenants)) }

// forgery is a world with forgers and a record of the writes upstream.
type forgery struct {
	*world

	rand   *rand.Rand
	count  map[string]int // of forgeries, by kind
	honest []honestCopy

	mu      sync.Mutex
	want    map[ref.Upstream]int
	writes  int
	foreign []string
}

// honestCopy is a copy that the way down makes.
type honestCopy struct {
	upstream ref.Upstream
	on       *target
	labelled bool // the upstream object says where it is placed
	ready    int
}

// makeHonest makes an upstream object that one SyncTarget may speak for: because it is bound, placed, or both.
func (f *forgery) makeHonest(i int) {
	h := honestCopy{
		upstream: ref.Upstream{Workspace: tenant(i), Namespace: "default", Name: fmt.Sprintf("app-%05d", i)},
		on:       f.targets[i%tenants*clusters/tenants], labelled: i/tenants%3 != 0, ready: 1 + i,
	}
	if i/tenants%3 == 2 {
		h.on = f.targets[(i%tenants*clusters/tenants+1)%clusters]
	}
	f.mu.Lock()
	f.want[h.upstream] = h.ready
	f.mu.Unlock()
	if h.labelled {
		f.publish(f.kcp, h.upstream, h.on)
	} else {
		f.publish(f.kcp, h.upstream)
	}
	f.honest = append(f.honest, h)
}

// written checks every status that kcp stores: it must be that of the one honest copy, or state that the copy does not report yet.
func (f *forgery) written(w memapi.Write) {
	if w.Subresource != "status" || w.Resource != deployments {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	u := ref.Upstream{Workspace: ref.Workspace(w.New.Cluster), Namespace: w.New.Meta.Namespace, Name: w.New.Meta.Name}
	if got := ready(w.New); got != f.want[u] && got != -1 {
		f.foreign = append(f.foreign, fmt.Sprintf("%s, which should have %d ready: %s", u, f.want[u], w.New.Status))
	}
}

// atRest waits until nothing was written for a while that is longer than any debouncing.
func (f *forgery) atRest() {
	last, since := -1, time.Now()
	f.eventually(time.Minute, func() string {
		if now := patches(f.kcp); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) < 3*time.Second {
			return "at rest"
		}
		return ""
	})
}

// kind is a way to forge: a forger on a SyncTarget claims a fitting upstream object.
type kind struct {
	name string
	fits func(on *target, victim honestCopy) bool
	// where is the Namespace that the forger makes (or finds), and how the forged object looks there.
	where func(on *target, victim honestCopy, i int) (locator.Namespace, ref.Downstream, map[string]string, map[string]string)
}

var kinds = []kind{
	{"another workspace, by a locator that is right in itself", stranger, func(on *target, v honestCopy, _ int) (locator.Namespace, ref.Downstream, map[string]string, map[string]string) {
		ns, err := on.resolver.DownNamespace(v.upstream.Workspace, v.upstream.Namespace)
		if err != nil {
			panic(err)
		}
		return ns, ref.Downstream{Namespace: ns.Name, Name: v.upstream.Name}, own(on), nil
	}},
	{"another workspace, by the name of the Namespace", stranger, func(on *target, v honestCopy, _ int) (locator.Namespace, ref.Downstream, map[string]string, map[string]string) {
		ns := locator.Namespace{Name: "kcp-" + string(v.upstream.Workspace) + "-" + v.upstream.Namespace}
		return ns, ref.Downstream{Namespace: ns.Name, Name: v.upstream.Name}, own(on), nil
	}},
	{"a neighbour's namespace, under another name", neighbour, func(on *target, v honestCopy, i int) (locator.Namespace, ref.Downstream, map[string]string, map[string]string) {
		text := locate(on, v.upstream, "")
		ns := named(fmt.Sprintf("kcp-%012d", i), text)
		return ns, ref.Downstream{Namespace: ns.Name, Name: v.upstream.Name}, own(on), nil
	}},
	{"a neighbour's namespace, by a locator written otherwise", neighbour, func(on *target, v honestCopy, i int) (locator.Namespace, ref.Downstream, map[string]string, map[string]string) {
		text := strings.Repeat(" ", 1+i%50) + locate(on, v.upstream, "")
		ns := named(hashed(text), text)
		return ns, ref.Downstream{Namespace: ns.Name, Name: v.upstream.Name}, own(on), nil
	}},
	{"a neighbour's namespace, by a locator on the object", neighbour, func(on *target, v honestCopy, i int) (locator.Namespace, ref.Downstream, map[string]string, map[string]string) {
		text := locate(on, v.upstream, "")
		ns := locator.Namespace{Name: fmt.Sprintf("mine-%d", i%20)}
		return ns, ref.Downstream{Namespace: ns.Name, Name: fmt.Sprintf("%s-%d", v.upstream.Name, i)}, own(on), annotated(text)
	}},
	{"another uid of the SyncTarget", neighbour, func(on *target, v honestCopy, i int) (locator.Namespace, ref.Downstream, map[string]string, map[string]string) {
		text := locate(on, v.upstream, fmt.Sprint("uid-", i%50))
		ns := named(hashed(text), text)
		return ns, ref.Downstream{Namespace: ns.Name, Name: v.upstream.Name}, own(on), nil
	}},
	{"another SyncTarget", func(on *target, v honestCopy) bool { return v.on != on }, func(_ *target, v honestCopy, _ int) (locator.Namespace, ref.Downstream, map[string]string, map[string]string) {
		text := locate(v.on, v.upstream, "")
		ns := named(hashed(text), text)
		return ns, ref.Downstream{Namespace: ns.Name, Name: v.upstream.Name}, own(v.on), nil
	}},
	{"another name in a namespace of one's own, which is placed elsewhere", placedElsewhere, func(on *target, v honestCopy, _ int) (locator.Namespace, ref.Downstream, map[string]string, map[string]string) {
		ns, err := on.resolver.DownNamespace(v.upstream.Workspace, v.upstream.Namespace)
		if err != nil {
			panic(err)
		}
		return ns, ref.Downstream{Namespace: ns.Name, Name: v.upstream.Name}, own(on), nil
	}},
	{"another SyncTarget's label, in a namespace that is right", placedElsewhere, func(on *target, v honestCopy, i int) (locator.Namespace, ref.Downstream, map[string]string, map[string]string) {
		ns, err := on.resolver.DownNamespace(v.upstream.Workspace, v.upstream.Namespace)
		if err != nil {
			panic(err)
		}
		return ns, ref.Downstream{Namespace: ns.Name, Name: fmt.Sprintf("%s-x%d", v.upstream.Name, i)}, own(v.on), nil
	}},
	{"labels of api-syncagent, which is not configured here", neighbour, func(_ *target, v honestCopy, i int) (locator.Namespace, ref.Downstream, map[string]string, map[string]string) {
		agent := map[string]string{"syncagent.kcp.io/remote-object-cluster": string(v.upstream.Workspace)}
		ns := locator.Namespace{Name: fmt.Sprintf("agent-%d", i%20)}
		return ns, ref.Downstream{Namespace: ns.Name, Name: fmt.Sprintf("%s-%d", v.upstream.Name, i)}, agent,
			map[string]string{"syncagent.kcp.io/remote-object-namespace": "default", "syncagent.kcp.io/remote-object-name": v.upstream.Name}
	}},
}

// stranger: the SyncTarget is neither bound to the victim's workspace nor is the victim placed there.
func stranger(on *target, v honestCopy) bool { return v.on != on && !on.Bound(v.upstream.Workspace) }

// neighbour: the victim's copy is on the same SyncTarget.
func neighbour(on *target, v honestCopy) bool { return v.on == on }

// placedElsewhere: the SyncTarget is bound to the victim's workspace, but the victim says that it is placed on another one only.
func placedElsewhere(on *target, v honestCopy) bool {
	return v.on != on && v.labelled && on.Bound(v.upstream.Workspace)
}

// forge makes one forged copy with a false status.
func (f *forgery) forge(i int) {
	k := kinds[i%len(kinds)]
	for range 10_000 {
		on, victim := f.targets[f.rand.IntN(len(f.targets))], f.honest[f.rand.IntN(len(f.honest))]
		if !k.fits(on, victim) {
			continue
		}
		ns, name, labels, annotations := k.where(on, victim, i)
		if _, err := on.server.Cluster("").Get(deployments, name.Namespace, name.Name); err == nil {
			continue // was forged before
		}
		f.must(on.namespace(ns.Name, ns.Labels, ns.Annotations))
		_, err := on.server.Cluster("").Create(deployments, object(name.Namespace, name.Name, labels, annotations))
		f.must(err)
		f.must(on.report(name, forged+i))
		f.count[k.name]++
		return
	}
	f.t.Fatalf("no victim for: %s", k.name)
}

func own(on *target) map[string]string {
	return map[string]string{"internal.workload.kcp.io/cluster": on.Key()}
}

// locate is kcp's locator of an upstream namespace on a SyncTarget; an empty uid is the SyncTarget's.
func locate(on *target, u ref.Upstream, uid string) string {
	if uid == "" {
		uid = on.UID
	}
	target, err := json.Marshal(map[string]string{"cluster": on.Cluster, "name": string(on.Name), "uid": uid}) // in the order of names, as kcp has it
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"syncTarget":%s,"cluster":%q,"namespace":%q}`, target, u.Workspace, u.Namespace)
}

func annotated(text string) map[string]string {
	return map[string]string{"kcp.io/namespace-locator": text}
}

func named(name, text string) locator.Namespace {
	return locator.Namespace{Name: name, Annotations: annotated(text)}
}

// hashed is the name that kcp gives the Namespace of a locator.
func hashed(text string) string {
	sum := sha256.Sum224([]byte(text))
	return "kcp-" + new(big.Int).SetBytes(sum[:]).Text(36)[:12]
}
