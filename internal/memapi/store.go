package memapi

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// Write is one change of the store.
type Write struct {
	Type        watch.EventType // Added, Modified or Deleted
	Resource    schema.GroupVersionResource
	Subresource string
	Verb        string  // create, update, patch or delete
	Manager     string  // field manager
	Old, New    *Object // Old is nil for Added; New of Deleted is the last state with the deletion's resourceVersion
	At          time.Time
}

// table holds the objects of one resource, and the latest events about them.
type table struct {
	Resource
	kind     []byte
	objects  map[string]map[types.NamespacedName]*Object // by cluster
	events   []event
	dropped  uint64 // events that came before events[0]
	oldest   uint64 // watches from a resourceVersion before this one can't be served
	watchers map[*watcher]struct{}
	retired  bool
	defined  bool // by a CustomResourceDefinition
	withheld bool // not served for now
}

type event struct {
	kind     watch.EventType
	old, new *Object   // new of a deletion is the last state, with the deletion's resourceVersion
	through  []*export // their virtual workspaces show it
}

func newTable(r Resource, version uint64) *table {
	kind := `"kind":` + strconv.Quote(r.Kind) + `,"apiVersion":` + strconv.Quote(r.GroupVersion().String()) + `,`
	return &table{
		Resource: r, kind: []byte(kind), objects: map[string]map[types.NamespacedName]*Object{}, oldest: version,
		watchers: map[*watcher]struct{}{},
	}
}

func (t *table) get(cluster, namespace, name string) *Object {
	return t.objects[cluster][types.NamespacedName{Namespace: namespace, Name: name}]
}

func (t *table) all() []*Object {
	var all []*Object
	for _, objects := range t.objects {
		all = slices.AppendSeq(all, maps.Values(objects))
	}
	slices.SortFunc(all, byKey)
	return all
}

// find are the objects in a scope, in the order of their keys.
func (t *table) find(scope scope) []*Object {
	var found []*Object
	search := func(objects map[types.NamespacedName]*Object) {
		if scope.name != "" && scope.namespace != "" {
			if o := objects[types.NamespacedName{Namespace: scope.namespace, Name: scope.name}]; o != nil && scope.matches(o) && scope.visible(o) {
				found = append(found, o)
			}
			return
		}
		for _, o := range objects {
			if scope.matches(o) && scope.visible(o) {
				found = append(found, o)
			}
		}
	}
	if scope.cluster == everywhere {
		for _, objects := range t.objects {
			search(objects)
		}
	} else {
		search(t.objects[scope.cluster])
	}
	slices.SortFunc(found, byKey)
	return found
}

// record notes an event and wakes the watchers that it may concern. Twice the window is kept at most, so that moving it is rare.
func (t *table) record(e event, window int) {
	if len(t.events) >= 2*window {
		gone := len(t.events) - window
		t.oldest = t.events[gone-1].new.version
		t.dropped += uint64(gone) //nolint:gosec // a length
		t.events = slices.Clone(t.events[gone:])
	}
	t.events = append(t.events, e)
	for w := range t.watchers {
		if w.scope.cluster == everywhere || w.scope.cluster == e.new.Cluster {
			w.notify()
		}
	}
}

func (t *table) compact(version uint64) {
	t.dropped += uint64(len(t.events))
	t.events, t.oldest = nil, version
}

func (t *table) retire() {
	t.retired = true
	for w := range t.watchers {
		w.notify()
	}
}

func (t *table) withhold(withheld bool) {
	if t.withheld = withheld; !withheld {
		return
	}
	for w := range t.watchers {
		w.ended = true
		w.notify()
	}
}

// commit stores next in place of old (nil: next is new), unless another write came first or the logical cluster is gone.
func (s *Server) commit(t *table, old, next *Object, w Write) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.retired || !s.there(next.Cluster) || t.get(next.Cluster, next.Meta.Namespace, next.Meta.Name) != old {
		return false
	}
	s.put(t, old, next, w)
	return true
}

func (s *Server) put(t *table, old, next *Object, w Write) {
	next.kind = t.kind
	s.stamp(next)
	objects := t.objects[next.Cluster]
	if objects == nil {
		objects = map[types.NamespacedName]*Object{}
		t.objects[next.Cluster] = objects
	}
	objects[types.NamespacedName{Namespace: next.Meta.Namespace, Name: next.Meta.Name}] = next
	w.Type = watch.Modified
	if old == nil {
		w.Type = watch.Added
	}
	s.publish(t, old, next, w)
}

// remove deletes old.
func (s *Server) remove(t *table, old *Object, w Write) *Object {
	last := old.clone()
	s.stamp(last)
	objects := t.objects[old.Cluster]
	delete(objects, types.NamespacedName{Namespace: old.Meta.Namespace, Name: old.Meta.Name})
	if len(objects) == 0 {
		delete(t.objects, old.Cluster)
	}
	w.Type = watch.Deleted
	s.publish(t, old, last, w)
	return last
}

func (s *Server) stamp(o *Object) {
	s.version++
	o.version = s.version
	o.Meta.ResourceVersion = strconv.FormatUint(s.version, 10)
}

func (s *Server) publish(t *table, old, next *Object, w Write) {
	if t.GroupVersionResource == apiBindings && w.Type != watch.Deleted {
		s.bind(next)
	}
	t.record(event{kind: w.Type, old: old, new: next, through: s.through(t, next.Cluster)}, s.options.Window)
	if s.options.OnWrite != nil {
		w.Resource, w.Old, w.New, w.At = t.GroupVersionResource, old, next, time.Now()
		s.options.OnWrite(w)
	}
	s.react(t, w.Type, next)
}

// lookup finds an object; nil if there is none.
func (s *Server) lookup(t *table, cluster, namespace, name string) *Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.get(cluster, namespace, name)
}

// birth completes the metadata of a new object.
func (s *Server) birth(t *table, o *Object) {
	s.mu.Lock()
	s.version++ // no two births share a number
	number := s.version
	s.mu.Unlock()
	m := &o.Meta
	m.UID = types.UID(s.uid(number))
	m.CreationTimestamp = metav1.Time{Time: s.now().Truncate(time.Second)}
	m.DeletionTimestamp, m.DeletionGracePeriodSeconds = nil, nil
	m.Generation = 0
	if !t.Unnumbered {
		m.Generation = 1
	}
	if m.Name == "" && m.GenerateName != "" {
		m.Name = m.GenerateName + s.uid(number)[:5]
	}
}

func hash(name string, number uint64) [sha256.Size]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte(name), number))
}
