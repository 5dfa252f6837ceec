package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/kube/discovery"
	"github.com/upstreamd/upstreamd/internal/kube/downstream"
	"github.com/upstreamd/upstreamd/internal/kube/kubetest"
	"github.com/upstreamd/upstreamd/internal/kube/upstream"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/supervisor"
)

var (
	deployments = ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"}
	namespaces  = ref.Resource{Version: "v1", Resource: "namespaces"}
)

// bubble is a System between API servers in memory, held to SyncTargets by a keeper, in a bubble of synctest.
type bubble struct {
	*testing.T
	hub      *memapi.Server
	system   *supervisor.System
	keeper   *targetReconciler
	registry *prometheus.Registry
	log      *bytes.Buffer
}

func inBubble(t *testing.T, test func(*bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t, hub: memapi.New(memapi.Options{Name: "hub", Resources: memapi.KCP()}), registry: prometheus.NewRegistry(), log: &bytes.Buffer{}}
		b.hub.AddWorkspace("abc", "root:team-a")
		defer b.hub.Close()
		counted, err := metrics.New(b.registry)
		b.must(err)
		up, err := upstream.New(b.hub.Config(), upstream.Options{Workspaces: []string{"abc"}})
		b.must(err)
		defer up.Close()
		b.system, err = supervisor.New(supervisor.Options{Upstream: up, Metrics: counted})
		b.must(err)
		b.must(b.system.AddResource(deployments))
		b.must(b.system.Start(t.Context()))
		defer func() { _ = b.system.Stop(context.Background()) }()
		b.keeper = newTargetReconciler(b.system, func(string) downstream.Options { return downstream.Options{} }, counted, zerolog.New(b.log))
		test(b)
	})
}

func (b *bubble) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bubble) apply(all ...wanted) {
	b.Helper()
	byName := map[ref.SyncTarget]wanted{}
	for _, w := range all {
		byName[w.target.Name] = w
	}
	b.must(b.keeper.apply(b.Context(), byName))
	synctest.Wait()
}

// cluster is an API server in memory with a copy of the hub's Deployment web in it.
func (b *bubble) cluster(target supervisor.Target, ready int) *memapi.Server {
	b.Helper()
	s := memapi.New(memapi.Options{Name: string(target.Name)})
	b.fill(s, target, ready)
	return s
}

func (b *bubble) fill(s *memapi.Server, target supervisor.Target, ready int) {
	b.Helper()
	resolver, err := locator.New([]string{locator.NamespaceLocator}, locator.Target{Name: target.Name, Cluster: target.Cluster, UID: target.UID})
	b.must(err)
	ns, err := resolver.DownNamespace("abc", "default")
	b.must(err)
	c := s.Cluster("")
	_, err = c.Create(namespaces, map[string]any{"metadata": map[string]any{"name": ns.Name, "labels": ns.Labels, "annotations": ns.Annotations}})
	b.must(err)
	_, err = c.Create(deployments, map[string]any{"metadata": map[string]any{"namespace": ns.Name, "name": "web", "annotations": map[string]any{evidence.GenerationAnnotations[0]: "1"}}})
	b.must(err)
	_, err = c.UpdateStatus(deployments, ns.Name, "web", map[string]any{"observedGeneration": 1, "replicas": 3, "readyReplicas": ready})
	b.must(err)
}

func (b *bubble) wantReady(want string) {
	b.Helper()
	time.Sleep(5 * time.Second)
	synctest.Wait()
	o, err := b.hub.Cluster("abc").Get(deployments, "default", "web")
	b.must(err)
	if !strings.Contains(string(o.Status), `"readyReplicas":`+want) {
		b.Errorf("published is %s, want %s ready replicas", o.Status, want)
	}
}

func target(name, uid string) supervisor.Target {
	return supervisor.Target{Name: ref.SyncTarget(name), Cluster: "root:infra", UID: uid, Workspaces: []ref.Workspace{"abc"}}
}

func (b *bubble) putUpstream() {
	b.Helper()
	_, err := b.hub.Cluster("abc").Create(deployments, map[string]any{"metadata": map[string]any{"namespace": "default", "name": "web"}})
	b.must(err)
}

// A desired SyncTarget changes in every way, and the published status follows.
func TestTheSystemIsHeldToWhatIsWanted(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.putUpstream()
		east, west := target("east", "1"), target("west", "1")
		eastServer, westServer := b.cluster(east, 1), b.cluster(west, 2)
		other := memapi.New(memapi.Options{Name: "other"})
		defer eastServer.Close()
		defer westServer.Close()
		defer other.Close()
		e := wanted{target: east, config: eastServer.Config(), content: []byte("e")}
		w := wanted{target: west, err: errors.New("there is no Secret"), object: true, ready: metav1.ConditionTrue}
		b.apply(e, w)
		time.Sleep(5 * time.Second)
		if o, err := b.hub.Cluster("abc").Get(deployments, "default", "web"); err != nil || len(o.Status) > 2 {
			t.Errorf("published without west is %s, %v", o.Status, err)
		}
		w.err, w.config, w.content = nil, westServer.Config(), []byte("w")
		b.apply(e, w)
		b.wantReady("3")

		w.err, w.config, w.content = errors.New("the Secret is broken"), nil, nil
		b.apply(e, w)
		b.apply(e, w)
		b.wantReady("3")
		if n := strings.Count(b.log.String(), "the Secret is broken"); n != 1 {
			t.Errorf("it was said %d times that the Secret is broken", n)
		}
		w.err, w.config, w.content = nil, westServer.Config(), []byte("w2")
		b.apply(e, w)
		b.wantReady("3")

		w.config, w.content = &rest.Config{Host: "http://[::1"}, []byte("w3")
		b.apply(e, w)
		b.wantReady("3")
		b.fill(other, west, 3)
		w.config, w.content = other.Config(), []byte("w4") // another address of the same SyncTarget
		b.apply(e, w)
		b.wantReady("4")

		w.target.Scheduling = supervisor.Scheduling{Unschedulable: true, Evicted: true}
		b.apply(e, w)
		b.wantReady("1")
		w.target.Scheduling, w.ready = supervisor.Scheduling{}, ""
		b.apply(e, w)
		b.wantReady("4")

		w.target.UID = "2" // another of its name: the copies name the old one
		b.apply(e, w)
		b.wantReady("1")
		b.apply(e)
		b.wantReady("1")
		families, err := b.registry.Gather()
		b.must(err)
		if text := fmt.Sprint(families); strings.Contains(text, `"west"`) { // a help text may hold the word
			t.Error("there are series of a SyncTarget that went")
		}
		b.apply()
	})
}

// A thousand SyncTargets with connections of their own come and go, and leave nothing.
func TestAThousandConnectionsLeaveNothing(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.putUpstream()
		one := target("east", "1")
		server := b.cluster(one, 1)
		defer server.Close()
		dialled := kubetest.Memory(b.T, server)
		cycle := func(n int) {
			b.apply(wanted{target: one, config: dialled, content: fmt.Appendf(nil, "%d", n)})
			b.apply(wanted{target: one, config: dialled, content: fmt.Appendf(nil, "%d again", n)}) // other credentials
			if n%2 == 0 {
				time.Sleep(time.Second)
			}
			b.apply()
		}
		look := func() (int, int) {
			time.Sleep(3 * time.Minute)
			synctest.Wait()
			families, err := b.registry.Gather()
			b.must(err)
			series := 0
			for _, f := range families {
				series += len(f.GetMetric())
			}
			if text := fmt.Sprint(families); strings.Contains(text, "east") {
				b.Error("there are series of a SyncTarget that went")
			}
			return runtime.NumGoroutine(), series
		}
		for n := range 10 {
			cycle(n)
		}
		goroutines, series := look()
		for n := range 1000 {
			cycle(n)
		}
		goroutinesAfter, seriesAfter := look()
		b.Logf("before and after 1,000 cycles: %d and %d goroutines, %d and %d series", goroutines, goroutinesAfter, series, seriesAfter)
		if goroutinesAfter > goroutines || seriesAfter > series+5 {
			b.Errorf("%d goroutines and %d series more", goroutinesAfter-goroutines, seriesAfter-series)
		}
	})
}

// The configuration and the objects together: names that are taken, bindings that are not granted, and evictAfter.
func TestWantedTargets(t *testing.T) {
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	soon, past := now.Add(time.Hour), now.Add(-time.Hour)
	found := map[string]discovery.SyncTarget{
		"taken": {Name: "taken"},
		"plain": {Name: "plain", UID: "u", Cluster: "abc"},
		"bound": {Name: "bound", Workspaces: []string{"root:team-a", "root:secret"}, Unschedulable: true, EvictAfter: &soon, Ready: metav1.ConditionFalse},
		"past":  {Name: "past", EvictAfter: &past, Err: errors.New("no Secret")},
	}
	log := &bytes.Buffer{}
	c := configure(t, unreachable(t), unreachable(t))
	c.SyncTargets[0].Name = "taken"
	c.Discovery = &config.Discovery{Workspace: "root:infra", SecretNamespace: "keys", Workspaces: []string{"root:team-a"}}
	a, err := New(c, zerolog.New(log).Level(zerolog.InfoLevel))
	if err != nil {
		t.Fatal(err)
	}
	defer a.upstream.Close()
	for range 2 {
		all, until := a.wantedTargets(a.desired.Load().targets, found, now)
		if len(all) != 4 || !until.Equal(soon) {
			t.Errorf("%d SyncTargets until %v", len(all), until)
		}
		if got := all["taken"]; got.config == nil || got.object {
			t.Errorf("taken: %+v", got)
		}
		if got := all["plain"].target; got.Cluster != "abc" || got.UID != "u" || len(got.Workspaces) != 0 {
			t.Errorf("plain: %+v", got)
		}
		got := all["bound"]
		if got.target.Cluster != "root:infra" || len(got.target.Workspaces) != 1 || got.target.Workspaces[0] != "root:team-a" ||
			got.target.Scheduling != (supervisor.Scheduling{Unschedulable: true}) || got.ready != metav1.ConditionFalse {
			t.Errorf("bound: %+v", got)
		}
		if got := all["past"]; !got.target.Scheduling.Evicted || got.err == nil {
			t.Errorf("past: %+v", got)
		}
	}
	all, until := a.wantedTargets(nil, found, soon)
	if !all["bound"].target.Scheduling.Evicted || !until.IsZero() {
		t.Errorf("when its time has come: %+v until %v", all["bound"].target, until)
	}
	if got := log.String(); strings.Count(got, "object ignored") != 1 || strings.Count(got, "binding refused") != 1 || !strings.Contains(got, "root:secret") {
		t.Errorf("said:\n%s", got)
	}
}
