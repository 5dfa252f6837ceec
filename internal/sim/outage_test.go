package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/kube/downstream"
	"github.com/upstreamd/upstreamd/internal/kube/upstream"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/supervisor"
)

const (
	outageLasts      = 10 * time.Minute
	outageTargets    = 4
	outageWorkspaces = 10
	patchTakes       = 10 * time.Millisecond
)

// Upstream is away for ten minutes under load: memory does not grow with the changes, only the latest of each object waits, and once it is
// back, everything is true within a minute, for about one call per object that differs.
func TestUpstreamAwayUnderLoad(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // the heap is looked at after collections that are asked for
	for _, o := range []outageLoad{
		{"connections are refused", false, 10_000 / outageScale, 1_000 / outageScale},
		{"nothing is answered", true, 1_000 / outageScale, 100 / outageScale},
	} {
		t.Run(o.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { awayUnderLoad(t, o) })
		})
	}
}

// outageLoad is the load under which upstream goes away. Each object has a copy in two of the SyncTargets.
type outageLoad struct {
	name    string
	silent  bool
	objects int
	rate    int // changes per second
}

func awayUnderLoad(t *testing.T, o outageLoad) {
	d := newDeluge(t, o)
	d.start()
	d.until(3*time.Minute, "the beginning")
	d.load(20 * time.Second)
	before := d.measure("before")

	d.gate.shut()
	calls := d.patches()
	var first, worst vitals
	for minute := range outageLasts / time.Minute {
		d.load(time.Minute)
		now := d.measure("upstream is away")
		if minute == 0 {
			first = now
		}
		worst = worst.or(now)
	}
	tried := d.patches() - calls
	differ := d.differ()
	if differ < o.objects*9/10 {
		t.Fatalf("only %d of %d objects differ: upstream was not away", differ, o.objects)
	}

	calls = d.patches()
	d.gate.open()
	took := d.until(time.Minute, "upstream is back")
	needed := d.patches() - calls
	after := d.measure("after")
	d.stop()

	t.Logf("%d changes of %d objects while upstream was away: %d PATCH calls tried, %d objects differed at the end; true again after %v, by %d PATCH calls",
		int(outageLasts.Seconds())*o.rate, o.objects, tried, differ, took, needed)
	t.Logf("live heap: %+.1f MiB in the first minute, %+.1f MiB at the most, %+.1f MiB after; at most %d writes waited for the writer",
		first.above(before), worst.above(before), after.above(before), worst.waiting)
	kib := float64(o.objects) / 1024 // MiB, if it is one for each object
	const slack = 4                  // MiB, independent of the objects: waiting clients, buffers
	if worst.above(before) > 4*kib+slack || worst.above(first) > kib/2+slack || after.above(before) > slack {
		t.Errorf("memory grows with the changes")
	}
	if worst.goroutines > before.goroutines+o.objects+100 { // a call that waits has two or three
		t.Errorf("%d goroutines, %d before", worst.goroutines, before.goroutines)
	}
	if limit := int(outageLasts/(5*time.Second)) * 16; tried > limit {
		t.Errorf("%d PATCH calls were tried while upstream was away, more than %d", tried, limit)
	}
	if worst.waiting > o.objects {
		t.Errorf("%d writes waited for %d objects", worst.waiting, o.objects)
	}
	if limit := differ + differ/20 + 32; needed > limit { // those under way when upstream came back may not count
		t.Errorf("%d PATCH calls for %d objects that differed", needed, differ)
	}
}

// gate stands before upstream.
type gate struct {
	silent bool // closed, it swallows; else it refuses

	mu     sync.Mutex
	closed chan struct{} // open watches end when it is closed
	away   bool
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away = true
	close(g.closed)
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away, g.closed = false, make(chan struct{})
}

func (g *gate) fault(r *http.Request) memapi.Fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.away && g.silent:
		return memapi.Fault{Delay: 24 * time.Hour}
	case g.away:
		return memapi.Fault{Refuse: true}
	case r.Method == http.MethodPatch:
		return memapi.Fault{Hold: patchTakes}
	case g.silent:
		return memapi.Fault{Watch: memapi.WatchFault{Kind: memapi.Silence, When: g.closed}}
	}
	return memapi.Fault{Watch: memapi.WatchFault{Kind: memapi.Reset, When: g.closed}}
}

// deluge is upstreamd between an upstream behind a gate, and SyncTargets that change all the time.
type deluge struct {
	t       *testing.T
	rate    int // changes per second
	gate    *gate
	rand    *rand.Rand
	kcp     *memapi.Server
	targets []*target
	objects []*drop
	metrics *metrics.Metrics
	counted *prometheus.Registry
	system  *supervisor.System
	up      *upstream.Client
}

// drop is one upstream object and its copies.
type drop struct {
	ref.Upstream

	copies   [2]int    // indices of targets
	down     [2]string // their namespaces
	reported [2]int    // ready replicas
}

func newDeluge(t *testing.T, o outageLoad) *deluge {
	d := &deluge{t: t, rate: o.rate, gate: &gate{silent: o.silent, closed: make(chan struct{})}, rand: Seed(1).generator(1), counted: prometheus.NewRegistry()}
	const window = 512 // of past events, which would hide the heap of upstreamd
	d.kcp = memapi.New(memapi.Options{Name: "upstream", Resources: memapi.KCP(), Fault: d.gate.fault, Window: window})
	t.Cleanup(d.kcp.Close)
	var bound []ref.Workspace
	for i := range outageWorkspaces {
		name := fmt.Sprintf("ws%d", i)
		d.kcp.AddWorkspace(name, "root:"+name)
		bound = append(bound, ref.Workspace(name))
	}
	for i := range outageTargets {
		s := &target{name: targetName(i), server: memapi.New(memapi.Options{Name: targetName(i), Resources: memapi.KCP(), Window: window})}
		t.Cleanup(s.server.Close)
		s.located = locator.Target{Name: ref.SyncTarget(s.name), Cluster: computeWorkspace, Workspaces: bound}
		s.become("uid-" + s.name)
		d.targets = append(d.targets, s)
		for _, ws := range bound {
			ns, err := s.resolver.DownNamespace(ws, namespace)
			d.must(err)
			_, err = s.server.Cluster("").Create(namespaces, map[string]any{
				"metadata": map[string]any{"name": ns.Name, "labels": ns.Labels, "annotations": ns.Annotations},
			})
			d.must(err)
		}
	}
	for i := range o.objects {
		d.add(i, bound[i%len(bound)])
	}
	return d
}

func (d *deluge) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *deluge) add(i int, ws ref.Workspace) {
	o := &drop{Upstream: ref.Upstream{Workspace: ws, Namespace: namespace, Name: fmt.Sprintf("web-%d", i)}, copies: [2]int{i % outageTargets, (i + 1) % outageTargets}}
	create := func(s memapi.Cluster, meta map[string]any) {
		_, err := s.Create(deployments.resource, map[string]any{
			"apiVersion": deployments.apiVersion, "kind": deployments.name, "metadata": meta, "spec": deployments.spec,
		})
		d.must(err)
	}
	create(d.kcp.Cluster(string(ws)), map[string]any{"name": o.Name, "namespace": namespace})
	for c, i := range o.copies {
		down, err := d.targets[i].resolver.DownObject(deployments.resource, o.Upstream)
		d.must(err)
		create(d.targets[i].server.Cluster(""), map[string]any{"name": o.Name, "namespace": down.Namespace, "labels": down.Labels})
		o.down[c] = down.Namespace
	}
	d.objects = append(d.objects, o)
	d.report(o, 0)
	d.report(o, 1)
}

// report has one of an object's SyncTargets report a new status.
func (d *deluge) report(o *drop, c int) {
	n := 100 + (o.reported[c]-99)%899 // always of three digits: stored objects do not grow
	o.reported[c] = n
	_, err := d.targets[o.copies[c]].server.Cluster("").UpdateStatus(deployments.resource, o.down[c], o.Name, fmt.Appendf(nil,
		`{"observedGeneration":1,"replicas":%d,"updatedReplicas":%d,"readyReplicas":%d,"availableReplicas":%d,"conditions":[`+
			`{"type":"Available","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z","lastUpdateTime":"2026-01-01T00:00:00Z","reason":"MinimumReplicasAvailable",`+
			`"message":"Deployment has minimum availability."}]}`, n, n, n, n))
	d.must(err)
}

func (d *deluge) start() {
	config := d.kcp.Config()
	var err error
	d.up, err = upstream.New(config, upstream.Options{Workspaces: []string{"*"}})
	d.must(err)
	d.metrics, err = metrics.New(d.counted)
	d.must(err)
	d.system, err = supervisor.New(supervisor.Options{Upstream: d.up, Locators: []string{locator.NamespaceLocator}, Metrics: d.metrics})
	d.must(err)
	d.must(d.system.AddResource(deployments.resource))
	d.must(d.system.Start(d.t.Context()))
	for _, s := range d.targets {
		down, err := downstream.New(rest.CopyConfig(s.server.Config()), downstream.Options{})
		d.must(err)
		d.must(d.system.AddTarget(supervisor.Target{
			Name: s.located.Name, Cluster: s.located.Cluster, UID: s.located.UID, Workspaces: s.located.Workspaces,
		}, down))
	}
}

func (d *deluge) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	d.must(d.system.Stop(ctx))
	d.up.Close()
}

// load changes objects at random for a while.
func (d *deluge) load(lasts time.Duration) {
	const each = 10 * time.Millisecond
	owed := 0.0
	for range lasts / each {
		time.Sleep(each)
		for owed += float64(d.rate) * each.Seconds(); owed >= 1; owed-- {
			d.report(d.objects[d.rand.IntN(len(d.objects))], d.rand.IntN(2))
		}
	}
}

// differ is how many objects are not published as their SyncTargets say.
func (d *deluge) differ() int {
	n := 0
	for _, o := range d.objects {
		published, err := d.kcp.Cluster(string(o.Workspace)).Get(deployments.resource, o.Namespace, o.Name)
		d.must(err)
		var status struct{ ReadyReplicas int }
		if len(published.Status) == 0 || json.Unmarshal(published.Status, &status) != nil || status.ReadyReplicas != o.reported[0]+o.reported[1] {
			n++
		}
	}
	return n
}

// until waits until all is true, and observing how long that took.
func (d *deluge) until(limit time.Duration, when string) time.Duration {
	began := time.Now()
	for d.differ() > 0 {
		if time.Since(began) > limit {
			d.t.Fatalf("%s: %d objects are not true after %v", when, d.differ(), limit)
		}
		time.Sleep(time.Second)
	}
	return time.Since(began)
}

// patches is how many PATCH calls there were, those that were not answered too.
func (d *deluge) patches() int {
	return d.kcp.Calls().Total(func(c memapi.Call) bool { return c.Verb == "patch" })
}

// vitals are figures of the process.
type vitals struct {
	heap       uint64 // bytes that live
	goroutines int
	waiting    int // writes
}

func (v vitals) or(w vitals) vitals {
	return vitals{max(v.heap, w.heap), max(v.goroutines, w.goroutines), max(v.waiting, w.waiting)}
}

// above is by how many MiB more lives than in w.
func (v vitals) above(w vitals) float64 { return (float64(v.heap) - float64(w.heap)) / (1 << 20) }

func (d *deluge) measure(when string) vitals {
	d.t.Helper()
	synctest.Wait()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	v := vitals{heap: m.HeapAlloc, goroutines: runtime.NumGoroutine(), waiting: int(d.gauge("upstreamd_writer_queue_depth"))}
	d.t.Logf("%-18s %4d MiB of live heap, %2d MiB of stacks, %5d goroutines, %5d writes wait", when, v.heap>>20, m.StackInuse>>20, v.goroutines, v.waiting)
	return v
}

func (d *deluge) gauge(name string) float64 {
	families, err := d.counted.Gather()
	d.must(err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	d.t.Fatalf("there is no %s", name)
	return 0
}
