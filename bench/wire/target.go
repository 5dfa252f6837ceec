package wire

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/upstreamd/upstreamd/bench/fleet"
)

const (
	deploymentsPath = "/apis/apps/v1/deployments"
	namespacesPath  = "/api/v1/namespaces"
)

// target plays a SyncTarget.
type target struct {
	shape  fleet.Shape
	number int
	gate   gate
	feeds  feeds
	copies []int // that it holds
	meter  *meter

	mu       sync.Mutex
	version  uint64
	changes  []uint32 // in the order of copies
	versions []uint64
}

func newTarget(shape fleet.Shape, number int, m *meter) *target {
	t := &target{shape: shape, number: number, copies: shape.On(number), version: 1000, meter: m}
	t.changes, t.versions = make([]uint32, len(t.copies)), make([]uint64, len(t.copies))
	for i := range t.copies {
		t.version++
		t.versions[i] = t.version
	}
	return t
}

// change counts one more change of a copy, named by its place among the target's.
func (t *target) change(slot int) (changes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.version++
	t.changes[slot]++
	t.versions[slot] = t.version
	changes = int(t.changes[slot])
	t.feeds.push(event{number: t.copies[slot], changes: changes, version: t.version})
	return changes
}

func (t *target) serve(r *http.Request, _ []byte) answer {
	if t.gate.pass(r.Context()) != nil {
		return answer{}
	}
	if a, ok := discovery(r.URL.Path, false); ok {
		return a
	}
	query := r.URL.Query()
	watch := query.Get("watch") == "true" || query.Get("watch") == "1"
	switch path := r.URL.Path; {
	case r.Method != http.MethodGet:
		return status(http.StatusMethodNotAllowed, "MethodNotAllowed", "SyncTargets are only read")
	case path == namespacesPath && watch:
		return t.watchNamespaces(r, query.Get("sendInitialEvents") == "true")
	case path == namespacesPath:
		return ok(t.namespaceList())
	case path == deploymentsPath && watch:
		return answer{code: http.StatusOK, watch: t.watch(r, query.Get("sendInitialEvents") == "true")}
	case path == deploymentsPath:
		return ok(t.list())
	case strings.HasPrefix(path, "/apis/apps/v1/namespaces/"):
		return t.get(path)
	}
	return notFound()
}

func (t *target) snapshot() ([]event, uint64) {
	events := make([]event, len(t.copies))
	for i, number := range t.copies {
		events[i] = event{number: number, changes: int(t.changes[i]), version: t.versions[i]}
	}
	return events, t.version
}

func (t *target) watch(r *http.Request, streaming bool) *feed {
	f := newFeed(r.Context(), t.meter)
	f.gate = &t.gate
	f.draw = func(b []byte, kind string, e event) []byte {
		b = append(b, `{"type":"`...)
		b = append(b, kind...)
		b = append(b, `","object":`...)
		b = t.appendCopy(b, e)
		return append(b, "}\n"...)
	}
	f.bookmark = func(b []byte, version uint64, initialEnd bool) []byte {
		return appendBookmark(b, "apps/v1", "Deployment", version, initialEnd)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f.version = t.version
	if streaming {
		f.initial, _ = t.snapshot()
		f.ends = true
	}
	t.feeds.add(f)
	return f
}

func (t *target) appendCopy(b []byte, e event) []byte {
	var room [2048]byte
	object := t.shape.Object(e.number)
	return fleet.Body{
		Name: t.shape.Downstream(object), UID: uint64(e.number), Version: e.version, Managers: fleet.Controller, //nolint:gosec // a count
		Status: t.shape.AppendStatus(room[:0], e.changes),
	}.Append(b)
}

func (t *target) list() []byte {
	t.mu.Lock()
	events, version := t.snapshot()
	t.mu.Unlock()
	b := appendListHead(nil, "apps/v1", "DeploymentList", version)
	for i, e := range events {
		if i > 0 {
			b = append(b, ',')
		}
		b = t.appendCopy(b, e)
	}
	return append(b, "]}"...)
}

func (t *target) get(path string) answer {
	name := path[strings.LastIndexByte(path, '/')+1:]
	object, found := t.shape.Find(name)
	if !found {
		return notFound()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, number := range t.copies {
		if t.shape.Object(number) == object {
			return ok(t.appendCopy(nil, event{number: number, changes: int(t.changes[i]), version: t.versions[i]}))
		}
	}
	return notFound()
}

// ---- Namespaces, which never change

func (t *target) namespaces() (names []string) {
	for _, n := range t.shape.NamespaceNames() {
		if t.shape.Workspaces == 0 {
			names = append(names, n)
		}
		for _, w := range t.shape.WorkspaceNames() {
			names = append(names, fleet.DownNamespace(w, n))
		}
	}
	return names
}

func appendNamespace(b []byte, name string, number int) []byte {
	return fmt.Appendf(b, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q,"uid":"%08x-0000-4000-8000-00000000000a",`+
		`"resourceVersion":"%d"},"status":{"phase":"Active"}}`,
		name, number, number+1)
}

func (t *target) watchNamespaces(r *http.Request, streaming bool) answer {
	names := t.namespaces()
	f := newFeed(r.Context(), t.meter)
	f.gate = &t.gate
	f.draw = func(b []byte, kind string, e event) []byte {
		b = append(b, `{"type":"`+kind+`","object":`...)
		b = appendNamespace(b, names[e.number], e.number)
		return append(b, "}\n"...)
	}
	f.version = 1000 // they never change
	f.bookmark = func(b []byte, version uint64, initialEnd bool) []byte {
		return appendBookmark(b, "v1", "Namespace", version, initialEnd)
	}
	if streaming {
		for i := range names {
			f.initial = append(f.initial, event{number: i})
		}
		f.ends = true
	}
	return answer{code: http.StatusOK, watch: f}
}

func (t *target) namespaceList() []byte {
	b := appendListHead(nil, "v1", "NamespaceList", 1000)
	for i, name := range t.namespaces() {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendNamespace(b, name, i)
	}
	return append(b, "]}"...)
}

func appendListHead(b []byte, apiVersion, kind string, version uint64) []byte {
	return fmt.Appendf(b, `{"apiVersion":%q,"kind":%q,"metadata":{"resourceVersion":"%d"},"items":[`, apiVersion, kind, version)
}

func appendBookmark(b []byte, apiVersion, kind string, version uint64, initialEnd bool) []byte {
	b = append(b, `{"type":"BOOKMARK","object":{"apiVersion":"`+apiVersion+`","kind":"`+kind+`","metadata":{"resourceVersion":"`...)
	b = strconv.AppendUint(b, version, 10)
	b = append(b, '"')
	if initialEnd {
		b = append(b, `,"annotations":{"k8s.io/initial-events-end":"true"}`...)
	}
	return append(b, "}}}\n"...)
}
