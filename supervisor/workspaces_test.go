package supervisor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// workspaces is an upstream in memory, as a program may implement the port: objects by workspace, resourceVersions, conflicts.
// Tests can inspect every call, and answer one in its place.
type workspaces struct {
	mu       sync.Mutex
	version  int
	objects  map[ref.Upstream]*stored
	watchers map[int]watcher
	next     int
	calls    []call
	latency  time.Duration
	lag      time.Duration    // of watches
	answer   func(call) error // nil, or an answer in the place of the real one
	strange  int              // how many of the next answers to writes, and then to reads, are no objects
	astray   int              // how many of the next reads something in front of the server answers: 404
}

type stored struct {
	uid        types.UID
	created    time.Time
	version    int
	generation int64
	labels     map[string]string
	status     map[string]any
	managers   map[string]time.Time
}

type watcher struct {
	resource ref.Resource
	emit     ref.Emit
}

type call struct {
	at       time.Time
	upstream ref.Upstream
	body     map[string]any
}

func newWorkspaces() *workspaces {
	return &workspaces{objects: map[ref.Upstream]*stored{}, watchers: map[int]watcher{}}
}

func (w *workspaces) object(u ref.Upstream, s *stored) *ref.Object {
	o := &ref.Object{Workspace: u.Workspace, Namespace: u.Namespace, Name: u.Name, UID: s.uid, Created: s.created,
		ResourceVersion: strconv.Itoa(s.version), Generation: s.generation, Labels: maps.Clone(s.labels)}
	if s.status != nil {
		o.Status, _ = json.Marshal(s.status)
	}
	for _, name := range slices.Sorted(maps.Keys(s.managers)) {
		o.Managers = append(o.Managers, ref.Manager{Name: name, Time: s.managers[name]})
	}
	return o
}

// put creates or changes an object, as the tenant does.
func (w *workspaces) put(u ref.Upstream, generation int64, labels map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.objects[u]
	w.version++
	if s == nil {
		s = &stored{uid: types.UID(fmt.Sprintf("uid-%d", w.version)), created: time.Now(), managers: map[string]time.Time{}}
		w.objects[u] = s
	}
	s.version, s.generation, s.labels = w.version, generation, labels
	w.send(ref.Event{Type: ref.Changed, Scope: "*", Objects: []*ref.Object{w.object(u, s)}})
}

func (w *workspaces) remove(u ref.Upstream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.objects[u]
	delete(w.objects, u)
	w.version++
	s.version = w.version
	w.send(ref.Event{Type: ref.Deleted, Scope: "*", Objects: []*ref.Object{w.object(u, s)}})
}

func (w *workspaces) write(u ref.Upstream, manager string, change map[string]any) {
	s := w.objects[u]
	before, _ := json.Marshal(s.status)
	s.status = patch.Apply(s.status, change)
	if after, _ := json.Marshal(s.status); string(after) == string(before) {
		return
	}
	w.version++
	s.version = w.version
	s.managers[manager] = time.Now()
	w.send(ref.Event{Type: ref.Changed, Scope: "*", Objects: []*ref.Object{w.object(u, s)}})
}

func (w *workspaces) send(e ref.Event) {
	for _, watcher := range w.watchers {
		if w.lag > 0 {
			time.AfterFunc(w.lag, func() { watcher.emit(e) })
			continue
		}
		watcher.emit(e)
	}
}

func (w *workspaces) status(u ref.Upstream) map[string]any {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.objects[u] == nil {
		return nil
	}
	var out map[string]any
	encoded, _ := json.Marshal(w.objects[u].status)
	_ = json.Unmarshal(encoded, &out)
	return out
}

// patches are the PATCH calls so far.
func (w *workspaces) patches() []call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// forgetCalls drops the calls so far, for tests that measure memory.
func (w *workspaces) forgetCalls() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = nil
}

func (w *workspaces) Watch(ctx context.Context, r ref.Resource, want ref.Want, deliver ref.Emit) {
	emit := func(e ref.Event) {
		kept := make([]*ref.Object, len(e.Objects))
		for i, o := range e.Objects {
			kept[i] = wanted(o, want)
		}
		e.Objects = kept
		deliver(e)
	}
	w.mu.Lock()
	var all []*ref.Object
	for u, s := range w.objects {
		all = append(all, w.object(u, s))
	}
	emit(ref.Event{Type: ref.Listed, Scope: "*", Version: strconv.Itoa(w.version), Objects: all})
	w.next++
	id := w.next
	w.watchers[id] = watcher{r, emit}
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.watchers, id)
}

func (w *workspaces) Get(_ context.Context, r ref.Resource, u ref.Upstream, want ref.Want) (*ref.Object, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.objects[u]
	if w.astray > 0 {
		w.astray--
		return nil, apierrors.NewGenericServerResponse(http.StatusNotFound, http.MethodGet, r.GroupResource(), "", "not here", 0, true)
	}
	if s == nil {
		return nil, apierrors.NewNotFound(r.GroupResource(), u.Name)
	}
	if w.strange > 0 {
		w.strange--
		return webPage(), nil
	}
	return wanted(w.object(u, s), want), nil
}

func (w *workspaces) Patch(_ context.Context, p ref.Patch, want ref.Want) (*ref.Object, error) {
	w.mu.Lock()
	latency := w.latency
	w.mu.Unlock()
	time.Sleep(latency)
	w.mu.Lock()
	defer w.mu.Unlock()
	c := call{at: time.Now(), upstream: p.Upstream}
	if err := json.Unmarshal(p.Body, &c.body); err != nil {
		return nil, err
	}
	w.calls = append(w.calls, c)
	if w.answer != nil {
		if err := w.answer(c); err != nil {
			return nil, err
		}
	}
	s := w.objects[p.Upstream]
	if s == nil {
		return nil, apierrors.NewNotFound(p.Resource.GroupResource(), p.Upstream.Name)
	}
	if c.body["metadata"].(map[string]any)["resourceVersion"] != strconv.Itoa(s.version) {
		return nil, apierrors.NewConflict(p.Resource.GroupResource(), p.Upstream.Name, fmt.Errorf("changed"))
	}
	w.write(p.Upstream, ref.FieldManager, c.body["status"].(map[string]any))
	if w.strange > 0 {
		w.strange--
		return webPage(), nil
	}
	return wanted(w.object(p.Upstream, s), want), nil
}

// webPage is the object of an answer with status 200 that is none.
func webPage() *ref.Object { return &ref.Object{Err: errors.New("invalid character '<'")} }

// wanted is the part of an object that a client keeps.
func wanted(o *ref.Object, want ref.Want) *ref.Object {
	kept := *o
	kept.Labels = maps.Clone(o.Labels)
	maps.DeleteFunc(kept.Labels, func(label, _ string) bool {
		return !slices.ContainsFunc(want.Labels, func(key string) bool { return key == ref.All || strings.HasPrefix(label, key) })
	})
	return &kept
}

func (w *workspaces) Host(ref.Upstream) string { return "memory" }

func (w *workspaces) Describe(context.Context, ref.Resource, ref.Workspace, ref.Workspace) (ref.Description, error) {
	return ref.Description{HasStatus: true}, nil
}

// refusal is an API server's answer by its code.
func refusal(code int, retryAfter int) error {
	return apierrors.NewGenericServerResponse(code, "PATCH", schema.GroupResource{Group: "apps", Resource: "deployments"}, "web", http.StatusText(code), retryAfter, true)
}

var _ actors.Upstream = (*workspaces)(nil)
