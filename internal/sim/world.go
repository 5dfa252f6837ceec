package sim

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/ref"
)

const (
	locatorAnnotation = "kcp.io/namespace-locator"
	computeWorkspace  = "root:compute" // where the SyncTarget objects live
	namespace         = "default"
)

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// world is the environment of the daemons: the API servers and their users. Its steps are drawn from one generator and run by one
// goroutine.
type world struct {
	seed  Seed
	rand  *rand.Rand
	trace *trace

	upstream   *memapi.Server
	workspaces []string
	targets    []*target
	annotates  bool // the way down says from which generation a copy stems
	typed      bool // upstream has types of its own, and normalises; a kcp has not
	steps      steps
	denials    map[*object]denial
	healed     atomic.Bool // nothing goes wrong any more, but for denials that last

	mu      sync.Mutex // guards the fields that the judge reads too
	objects []*object
}

// target is a SyncTarget.
type target struct {
	name     string
	server   *memapi.Server
	located  locator.Target
	resolver *locator.Resolver
	bound    []string
	gone     bool      // removed from all daemons
	changed  time.Time // when it went, came, or became another one last
}

// object is an upstream object with the wishes of its users.
type object struct {
	kind            *kind
	workspace       string
	namespace, name string
	assigned        []int // targets that it is to be copied to
	labelled        bool  // placement labels say so; else all targets that are bound to the workspace are asked
	exists          bool
}

func (o *object) String() string { return o.workspace + " " + o.kind.resource.Resource + " " + o.name }

func newWorld(seed Seed, t *trace, onWrite func(memapi.Write)) *world {
	r := seed.generator(2)
	w := &world{seed: seed, rand: r, trace: t, annotates: r.IntN(2) == 0}
	resources := memapi.KCP()
	if w.typed = r.IntN(4) == 0; w.typed {
		resources = memapi.Kubernetes()
	}
	w.upstream = memapi.New(memapi.Options{Name: "upstream", Resources: resources, Fault: faultOf, OnWrite: onWrite})
	for i := range 1 + r.IntN(3) {
		name := "ws" + string(rune('a'+i))
		w.workspaces = append(w.workspaces, name)
		w.upstream.AddWorkspace(name, "root:"+name)
	}
	for i := range 2 + r.IntN(maxTargets-1) {
		w.addTarget(i, onWrite)
	}
	w.makeObjects()
	w.drawNames()
	return w
}

func (w *world) addTarget(i int, onWrite func(memapi.Write)) {
	t := &target{name: targetName(i)}
	t.server = memapi.New(memapi.Options{Name: t.name, Fault: faultOf, OnWrite: onWrite})
	for _, ws := range w.workspaces {
		if w.rand.IntN(2) == 0 {
			t.bound = append(t.bound, ws)
		}
	}
	t.located = locator.Target{Name: ref.SyncTarget(t.name), Cluster: computeWorkspace}
	for _, ws := range t.bound {
		t.located.Workspaces = append(t.located.Workspaces, ref.Workspace(ws))
	}
	t.become("uid-" + t.name)
	w.targets = append(w.targets, t)
}

func targetName(i int) string { return "target-" + strconv.Itoa(i) }

// become makes a SyncTarget another one of the same name.
func (t *target) become(uid string) {
	t.located.UID = uid
	var err error
	if t.resolver, err = locator.New([]string{locator.NamespaceLocator}, t.located); err != nil {
		panic(err) // our own names
	}
}

func (w *world) makeObjects() {
	for _, ws := range w.workspaces {
		for i, k := range []*kind{deployments, deployments, deployments, services, pods} {
			o := &object{kind: k, workspace: ws, namespace: namespace, name: fmt.Sprintf("%c%d", k.resource.Resource[0], i)}
			o.labelled = len(w.bound(ws)) == 0 || w.rand.IntN(2) == 0
			o.assigned = w.someTargets(o)
			w.objects = append(w.objects, o)
		}
	}
}

// someTargets are those that an object might be assigned to.
func (w *world) someTargets(o *object) []int {
	from := w.bound(o.workspace)
	if o.labelled {
		from = nil
		for i := range w.targets {
			from = append(from, i)
		}
	}
	var some []int
	for _, i := range from {
		if w.rand.IntN(3) > 0 {
			some = append(some, i)
		}
	}
	return some
}

// bound are the targets that may speak for a workspace without a label.
func (w *world) bound(workspace string) []int {
	var bound []int
	for i, t := range w.targets {
		if slices.Contains(t.bound, workspace) && !t.gone {
			bound = append(bound, i)
		}
	}
	return bound
}

// labelled reports whether labels say where an object is placed.
func (w *world) labelled(o *object) bool { return o.labelled }

// placed are the targets with copies that count.
func (o *object) placed(w *world) []int {
	if o.labelled {
		return o.assigned
	}
	return w.bound(o.workspace)
}

// placedBy are the targets that count for a version of an upstream object.
func (w *world) placedBy(o *memapi.Object) []int {
	var placed []int
	labelled := false
	for i, t := range w.targets {
		if o.Meta.Labels["state.workload.kcp.io/"+t.located.Key()] == "Sync" {
			placed, labelled = append(placed, i), true
		}
	}
	if !labelled {
		return w.bound(o.Cluster)
	}
	return placed
}

// change makes a SyncTarget go, come or become another.
func (w *world) change(t *target, how func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	how()
	t.changed = time.Now()
}

// changing reports whether a SyncTarget came, went or became another one a moment before.
func (w *world) changing(at time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.targets, func(t *target) bool { return t.changed.Add(30 * time.Second).After(at) })
}

func (w *world) find(k *kind, c call) *object {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.objects {
		if o.kind == k && o.workspace == c.workspace && o.namespace == c.namespace && o.name == c.name {
			return o
		}
	}
	return nil
}

func (w *world) downNamespace(o *object, i int) string {
	ns, err := w.targets[i].resolver.DownNamespace(ref.Workspace(o.workspace), o.namespace)
	if err != nil {
		panic(err) // our own names
	}
	return ns.Name
}

// ---- steps

// step is something that happens at its time.
type step struct {
	at time.Duration
	do func()
}

type steps []step

func (s steps) Len() int           { return len(s) }
func (s steps) Less(i, j int) bool { return s[i].at < s[j].at }
func (s steps) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *steps) Push(x any)        { *s = append(*s, x.(step)) } //nolint:forcetypeassert // heap's
func (s *steps) Pop() any {
	old := *s
	last := old[len(old)-1]
	*s = old[:len(old)-1]
	return last
}

// after has something done later.
func (w *world) after(d time.Duration, do func()) {
	heap.Push(&w.steps, step{time.Since(w.trace.begin) + d, do})
}

// within has something done at some time up to d from now.
func (w *world) within(d time.Duration, do func()) {
	w.after(time.Duration(w.rand.Int64N(int64(d))), do)
}

// live runs the steps until a time.
func (w *world) live(until time.Duration) {
	for len(w.steps) > 0 && w.steps[0].at < until {
		next := heap.Pop(&w.steps).(step) //nolint:forcetypeassert // our own
		time.Sleep(next.at - time.Since(w.trace.begin))
		next.do()
	}
	time.Sleep(until - time.Since(w.trace.begin))
}

// ---- users

func (w *world) labels(o *object) map[string]any {
	labels := map[string]any{}
	if !o.labelled {
		return labels
	}
	for i, t := range w.targets {
		key := "state.workload.kcp.io/" + t.located.Key()
		if labels[key] = nil; slices.Contains(o.assigned, i) {
			labels[key] = "Sync"
		}
	}
	return labels
}

// create makes an object upstream.
func (w *world) create(o *object) {
	if o.namespace != namespace {
		_, _ = w.upstream.Cluster(o.workspace).Create(namespaces, map[string]any{"metadata": map[string]any{"name": o.namespace}})
	}
	labels := w.labels(o)
	maps.DeleteFunc(labels, func(_ string, v any) bool { return v == nil })
	spec := maps.Clone(o.kind.spec)
	_, err := w.upstream.Cluster(o.workspace).As("user").Create(o.kind.resource, map[string]any{
		"apiVersion": o.kind.apiVersion, "kind": o.kind.name,
		"metadata": map[string]any{"name": o.name, "namespace": o.namespace, "labels": labels}, "spec": spec,
	})
	o.exists = o.exists || err == nil
	w.trace.note("create %s on %v: %v", o, o.assigned, err)
}

func (w *world) remove(o *object) {
	err := w.upstream.Cluster(o.workspace).Delete(o.kind.resource, o.namespace, o.name)
	o.exists = false
	w.trace.note("delete %s: %v", o, err)
}

func (w *world) place(o *object) {
	_, err := w.upstream.Cluster(o.workspace).As("scheduler").Patch(o.kind.resource, o.namespace, o.name, map[string]any{
		"metadata": map[string]any{"labels": w.labels(o)},
	})
	w.trace.note("place %s on %v: %v", o, o.assigned, err)
}

// edit changes an object, and of Deployments the spec: the other kinds have no field that can change.
func (w *world) edit(o *object) {
	change := map[string]any{"metadata": map[string]any{"annotations": map[string]any{"edited": strconv.FormatInt(w.rand.Int64N(1e9), 36)}}}
	if seconds := w.rand.Int64N(1e6); o.kind == deployments {
		change["spec"] = map[string]any{"minReadySeconds": seconds}
	}
	_, err := w.upstream.Cluster(o.workspace).As("user").Patch(o.kind.resource, o.namespace, o.name, change)
	w.trace.note("edit %s: %v", o, err)
}

// hostile overwrites a published status.
func (w *world) hostile(o *object) {
	at := w.upstream.Cluster(o.workspace)
	published, err := at.Get(o.kind.resource, o.namespace, o.name)
	if err != nil {
		return
	}
	status := map[string]any{}
	if len(published.Status) > 0 {
		_ = json.Unmarshal(published.Status, &status)
	}
	for field := range status {
		if field != "conditions" {
			delete(status, field)
		}
	}
	_, err = at.As("hostile").UpdateStatus(o.kind.resource, o.namespace, o.name, status)
	w.trace.note("hostile status of %s: %v", o, err)
}

// ---- the way down

// sync brings the copy of an object in one target in line with upstream.
func (w *world) sync(o *object, i int) {
	at := w.targets[i].server.Cluster("").As("syncer")
	published, err := w.upstream.Cluster(o.workspace).Get(o.kind.resource, o.namespace, o.name)
	if err != nil || !slices.Contains(o.assigned, i) {
		if at.Delete(o.kind.resource, w.downNamespace(o, i), o.name) == nil {
			w.trace.note("target %d: delete the copy of %s", i, o)
		}
		return
	}
	w.ensureNamespace(o, i, true)
	down, err := w.targets[i].resolver.DownObject(o.kind.resource, ref.Upstream{
		Workspace: ref.Workspace(o.workspace), Namespace: o.namespace, Name: o.name,
	})
	if err != nil {
		panic(err) // our own names
	}
	meta := map[string]any{"name": o.name, "namespace": down.Namespace, "labels": down.Labels}
	if w.annotates {
		meta["annotations"] = map[string]any{evidence.GenerationAnnotations[0]: strconv.FormatInt(published.Meta.Generation, 10)}
	}
	spec := maps.Clone(o.kind.spec)
	var wanted struct{ Spec map[string]any }
	_ = published.Unmarshal(&wanted)
	if o.kind == deployments && wanted.Spec["minReadySeconds"] != nil {
		spec["minReadySeconds"] = wanted.Spec["minReadySeconds"]
	}
	copied := map[string]any{"apiVersion": o.kind.apiVersion, "kind": o.kind.name, "metadata": meta, "spec": spec}
	before, err := at.Get(o.kind.resource, down.Namespace, o.name)
	if err == nil && o.kind == pods && before.Meta.CreationTimestamp.Before(&published.Meta.CreationTimestamp) {
		_ = at.Delete(o.kind.resource, down.Namespace, o.name) // what ends is not taken over by another object
	}
	if _, err = at.Create(o.kind.resource, copied); err != nil {
		_, err = at.Patch(o.kind.resource, w.downNamespace(o, i), o.name, map[string]any{"metadata": meta, "spec": spec})
	}
	w.trace.note("target %d: copy %s: %v", i, o, err)
}

// ensureNamespace makes the Namespace of an object in a target. Its locator may come later.
func (w *world) ensureNamespace(o *object, i int, atOnce bool) {
	ns, err := w.targets[i].resolver.DownNamespace(ref.Workspace(o.workspace), o.namespace)
	if err != nil {
		panic(err) // our own names
	}
	at := w.targets[i].server.Cluster("").As("syncer")
	meta := map[string]any{"name": ns.Name, "labels": ns.Labels, "annotations": ns.Annotations}
	if !atOnce {
		meta["annotations"] = nil
	}
	if _, err := at.Create(namespaces, map[string]any{"metadata": meta}); err == nil {
		w.trace.note("target %d: namespace of %s", i, o.workspace)
	} else if atOnce {
		_, _ = at.Patch(namespaces, "", ns.Name, map[string]any{"metadata": meta})
	}
}

// report has a target's controllers report the status of a copy; value 0 draws one.
func (w *world) report(o *object, i, value int) {
	at := w.targets[i].server.Cluster("").As("controller")
	down, err := at.Get(o.kind.resource, w.downNamespace(o, i), o.name)
	if err != nil {
		return
	}
	if value == 0 {
		value = 1 + w.rand.IntN(9)
	}
	status := o.kind.report(i, value, down.Meta.Generation, w.rand.IntN(4) > 0)
	if _, err = at.UpdateStatus(o.kind.resource, down.Meta.Namespace, o.name, status); err != nil {
		panic(fmt.Sprintf("a status that can't be: %v", err))
	}
	text := o.kind.token(mustJSON(status))
	w.trace.note("target %d: %s reports %s", i, o, strings.TrimSpace(text))
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of our own
	}
	return b
}

// spread has the way down follow an object's wishes after a while, and controllers report after another.
func (w *world) spread(o *object) {
	for i := range w.targets {
		w.within(3*time.Second, func() {
			w.sync(o, i)
			w.within(2*time.Second, func() { w.report(o, i, 0) })
		})
	}
}

// reported reports whether the copy of an object in one target has a status of its present generation.
func (w *world) reported(o *object, i int) bool {
	down, err := w.targets[i].server.Cluster("").Get(o.kind.resource, w.downNamespace(o, i), o.name)
	if err != nil || o.kind.token(down.Status) == "" {
		return false
	}
	if isTooMuch(down.Status) {
		return false
	}
	return o.kind != deployments || parse(down.Status).ObservedGeneration == down.Meta.Generation
}

// settle has everything be as it is wanted, at once. In half of the runs the copies that are right already report nothing new: then a daemon
// that lost one of them never learns of it by an event.
func (w *world) settle() {
	quietly := w.seed.draw("settle quietly", 0).below(0.5)
	for _, ws := range w.workspaces {
		w.restore(ws)
	}
	for _, o := range w.objects {
		if !o.exists {
			w.create(o)
		}
		w.place(o)
		for i := range w.targets {
			w.sync(o, i)
			if !quietly || !w.reported(o, i) {
				w.report(o, i, 0)
			}
		}
	}
}

func (w *world) close() {
	w.upstream.Close()
	for _, t := range w.targets {
		t.server.Close()
	}
}
