package arena

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/bench/baselines/world"
	"github.com/upstreamd/upstreamd/bench/fleet"
	"github.com/upstreamd/upstreamd/bench/scenario"
	"github.com/upstreamd/upstreamd/bench/subject"
	"github.com/upstreamd/upstreamd/bench/wire"
	"github.com/upstreamd/upstreamd/internal/memapi"
)

var deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

// memory has servers of package memapi: they cost more than those of wire, and are closer to real ones.
type memory struct {
	s        scenario.Scenario
	upstream *memapi.Server
	targets  []*memapi.Server
	onPatch  func(wire.Patch)
	delay    atomic.Pointer[func(workspace int) time.Duration]
	silenced []chan struct{} // by SyncTarget; closed when it falls silent
	patches  atomic.Int64    // status patches that changed something

	mu      sync.Mutex
	changes []int

	urls  []string // of upstream, then the SyncTargets, where they listen
	stops []func()
}

func openMemapi(s scenario.Scenario) (*memory, error) {
	m := &memory{s: s, changes: make([]int, s.Shape.Total()), onPatch: func(wire.Patch) {}}
	m.upstream = memapi.New(memapi.Options{Name: "upstream", Resources: memapi.KCP(), OnWrite: m.written, Fault: m.slow})
	for _, w := range s.Shape.WorkspaceNames() {
		m.upstream.AddWorkspace(w, "")
	}
	for n, name := range s.Shape.TargetNames() {
		silent := make(chan struct{})
		m.silenced = append(m.silenced, silent)
		m.targets = append(m.targets, memapi.New(memapi.Options{Name: name, Resources: memapi.KCP(), Fault: silence(silent)}))
		if err := m.fill(n); err != nil {
			return nil, fmt.Errorf("SyncTarget %s: %w", name, err)
		}
	}
	if err := m.fillUpstream(); err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	if s.Servers == scenario.MemapiUp {
		return m, m.listen()
	}
	return m, nil
}

func namespace(name string) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, name)
}

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

func (m *memory) fill(target int) error {
	cluster := m.targets[target].Cluster("")
	for _, number := range m.s.Shape.On(target) {
		name := m.s.Shape.Downstream(m.s.Shape.Object(number))
		if _, err := cluster.Get(namespaces, "", name.Namespace); err != nil {
			if _, err := cluster.Create(namespaces, namespace(name.Namespace)); err != nil {
				return err
			}
		}
		if _, err := cluster.Create(deployments, newDeployment(name)); err != nil {
			return err
		}
		if _, err := cluster.UpdateStatus(deployments, name.Namespace, name.Name, m.s.Shape.AppendStatus(nil, 0)); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) fillUpstream() error {
	for object := range m.s.Shape.Objects {
		name := m.s.Shape.Upstream(object)
		cluster := m.upstream.Cluster(name.Workspace)
		if _, err := cluster.Get(namespaces, "", name.Namespace); err != nil {
			if _, err := cluster.Create(namespaces, namespace(name.Namespace)); err != nil {
				return err
			}
		}
		if _, err := cluster.Create(deployments, newDeployment(name)); err != nil {
			return err
		}
	}
	return nil
}

// newDeployment is one as a client creates it.
func newDeployment(name fleet.Name) []byte {
	return fleet.Body{Name: name, Managers: fleet.Controller, Status: []byte("{}")}.Append(nil)
}

// listen serves on loopback.
func (m *memory) listen() error {
	for _, s := range append([]*memapi.Server{m.upstream}, m.targets...) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		hs := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = hs.Serve(l) }() // ends with Close
		m.urls, m.stops = append(m.urls, "http://"+l.Addr().String()), append(m.stops, func() { _ = hs.Close() })
	}
	return nil
}

func (m *memory) written(w memapi.Write) {
	if w.Subresource != "status" || w.New == nil || w.Resource != deployments {
		return
	}
	m.patches.Add(1)
	object, found := m.s.Shape.Find(w.New.Meta.Name)
	published, err := fleet.ReadPublished(w.New.Status)
	if found && err == nil {
		m.onPatch(wire.Patch{Object: object, At: w.At, Code: http.StatusOK, Changed: true, Replicas: published.Replicas})
	}
}

// slow delays status patches as the scenario wants it.
func (m *memory) slow(r *http.Request) memapi.Fault {
	delay := m.delay.Load()
	if delay == nil || r.Method != http.MethodPatch || !strings.HasSuffix(r.URL.Path, "/status") {
		return memapi.Fault{}
	}
	for n, name := range m.s.Shape.WorkspaceNames() {
		if strings.HasPrefix(r.URL.Path, "/clusters/"+name+"/") {
			return memapi.Fault{Delay: (*delay)(n)}
		}
	}
	return memapi.Fault{}
}

// silence makes a server answer nothing once silent is closed, and its watches go quiet.
func silence(silent chan struct{}) func(*http.Request) memapi.Fault {
	return func(*http.Request) memapi.Fault {
		f := memapi.Fault{Watch: memapi.WatchFault{Kind: memapi.Silence, When: silent}}
		select {
		case <-silent:
			f.Delay = time.Hour
		default:
		}
		return f
	}
}

func (m *memory) Change(number int) (changes int) {
	m.mu.Lock()
	m.changes[number]++
	changes = m.changes[number]
	m.mu.Unlock()
	name := m.s.Shape.Downstream(m.s.Shape.Object(number))
	server := m.targets[m.s.Shape.SyncTarget(number)]
	if _, err := server.Cluster("").UpdateStatus(deployments, name.Namespace, name.Name, m.s.Shape.AppendStatus(nil, changes)); err != nil {
		panic(fmt.Sprintf("changing %v: %v", name, err)) // there is no other writer
	}
	return changes
}

// Waiting is not known of these servers.
func (m *memory) Waiting() int { return 0 }

func (m *memory) OnPatch(report func(wire.Patch)) { m.onPatch = report }

func (m *memory) Calls() (c wire.Calls) {
	for call, n := range m.upstream.Calls() {
		status := call.Verb == "patch" && call.Subresource == "status"
		switch {
		case status && call.Code == http.StatusOK:
			c.Patches += n
		case status && call.Code == http.StatusConflict:
			c.Conflicts += n
		case call.Verb == "get" && call.Resource == "deployments.apps":
			c.Gets += n
		case call.Verb == "create" || call.Verb == "patch" && call.Resource == "configmaps":
			c.Others += n
		}
	}
	c.NoOps = max(0, c.Patches-int(m.patches.Load()))
	return c
}

func (m *memory) Check() (wrong int, first error) {
	shape := m.s.Shape
	for object := range shape.Objects {
		name := shape.Upstream(object)
		found, err := m.upstream.Cluster(name.Workspace).Get(deployments, name.Namespace, name.Name)
		if err == nil {
			m.mu.Lock()
			err = fleet.Verify(found.Status, m.changes[object*shape.Copies:(object+1)*shape.Copies])
			m.mu.Unlock()
		}
		if err != nil {
			if wrong++; first == nil {
				first = fmt.Errorf("%s: %w", name.Name, err)
			}
		}
	}
	return wrong, first
}

func (m *memory) Delay(by func(workspace int) time.Duration) { m.delay.Store(&by) }

func (m *memory) Silence(target int, silent bool) {
	if silent {
		close(m.silenced[target])
	}
}

func (m *memory) Server() int { return 0 }

func (m *memory) World() (world.World, bool) {
	w := common(m.s)
	w.Upstream = unlimited(m.upstream.Config())
	for _, t := range m.targets {
		w.SyncTargets = append(w.SyncTargets, unlimited(t.Config()))
	}
	return w, m.s.Servers == scenario.Memapi
}

func unlimited(c *rest.Config) *rest.Config {
	c.QPS = -1
	return c
}

func (m *memory) Spec() subject.Spec {
	return subject.Spec{World: common(m.s), UpstreamServer: subject.Server{URL: m.urls[0]}, TargetURLs: m.urls[1:]}
}

func (m *memory) Close() {
	for _, stop := range m.stops {
		stop()
	}
	for _, s := range append([]*memapi.Server{m.upstream}, m.targets...) {
		s.Close()
	}
}
