package patch

import (
	"container/heap"
	"slices"
	"time"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Key names what a write is for.
type Key struct {
	Resource ref.Resource
	Upstream ref.Upstream
}

// Lane is the urgency of a write.
type Lane int

// The lanes.
const (
	Normal Lane = iota // counters and the like
	Urgent             // readiness flips, terminal states
)

// Patience is the age from which a waiting item is no longer overtaken by more urgent ones.
const Patience = 5 * time.Second

// Queue holds the writes that wait: the latest per key. Workspaces are served in turn, however much waits in the others. Within a workspace
// the SyncTargets that caused the writes are served in turn, Urgent ones first; but none twice in a row while others wait, however urgent, so
// that one that floods does not keep the others waiting. Within a SyncTarget's items the Urgent lane goes first and each lane goes by age.
// An item older than Patience is overtaken by nothing younger of its workspace. Age counts from the first Put; a newer value takes over age,
// SyncTarget and lane, unless it is the more urgent.
//
// A workspace that may not be served keeps its place. Workspaces that are held back together wait in one Group, which is asked once.
//
// Each operation takes O(log n), Next also the number of groups, of workspaces that are not free, and of SyncTargets that wait in the workspace
// that it serves. RemoveFunc visits all items: it is for rare events, such as the restart of a bucket. The zero Queue is not usable.
type Queue[V any] struct {
	admission  Admission
	items      map[Key]*item[V]
	workspaces map[ref.Workspace]*workspace[V]
	groups     map[Group]*ordered[*workspace[V]] // none is empty
	seq        uint64                            // of the last first Put, or turn
	peak       int                               // the most items since the maps were made
}

// Group is the workspaces of one host that are slow, or those that are not.
type Group struct {
	Host string
	Slow bool
}

// Admission decides which workspaces may be served at a time.
type Admission interface {
	Group(w ref.Workspace, now time.Time) Group // the present group of a workspace
	Open(g Group, now time.Time) bool           // whether any workspace of a group may be served
	Free(g Group, w ref.Workspace) bool         // whether a workspace of an open group may be; it may not for few at a time
}

type item[V any] struct {
	position // by the first Put
	key      Key
	value    V
	from     *source[V]
	lane     Lane
	since    int64 // of the first Put, unix nanoseconds
}

type workspace[V any] struct {
	position // by the last turn, or by the first Put since something waits
	name     ref.Workspace
	group    Group
	sources  []*source[V] // the next to be served first
	last     *source[V]   // that was served
}

// source holds the items of a workspace that one SyncTarget caused.
type source[V any] struct {
	name  ref.SyncTarget
	lanes [Urgent + 1]ordered[*item[V]]
}

// NewQueue makes an empty Queue.
func NewQueue[V any](a Admission) *Queue[V] {
	q := &Queue[V]{admission: a}
	q.Reset()
	return q
}

// Reset takes out all items.
func (q *Queue[V]) Reset() {
	q.items, q.workspaces, q.groups, q.peak = map[Key]*item[V]{}, map[ref.Workspace]*workspace[V]{}, map[Group]*ordered[*workspace[V]]{}, 0
}

// Put queues v under key, in the place of the value that waits there, and reports whether one did. From is the SyncTarget that caused it;
// empty: no single one.
func (q *Queue[V]) Put(key Key, l Lane, from ref.SyncTarget, v V, now time.Time) (replaced bool) {
	if it := q.items[key]; it != nil {
		it.value = v
		if l > it.lane {
			it.leave()
			it.lane = l
			it.enter()
		}
		return true
	}
	q.seq++
	ws := q.workspaces[key.Upstream.Workspace]
	if ws == nil {
		ws = &workspace[V]{position: position{seq: q.seq}, name: key.Upstream.Workspace}
		ws.group = q.admission.Group(ws.name, now)
		q.workspaces[ws.name] = ws
		q.enter(ws)
	}
	i := slices.IndexFunc(ws.sources, func(s *source[V]) bool { return s.name == from })
	if i < 0 {
		i = len(ws.sources)
		ws.sources = append(ws.sources, &source[V]{name: from})
	}
	it := &item[V]{position: position{seq: q.seq}, key: key, value: v, from: ws.sources[i], lane: l, since: now.UnixNano()}
	q.items[key] = it
	q.peak = max(q.peak, len(q.items))
	it.enter()
	return false
}

func (it *item[V]) enter() { heap.Push(&it.from.lanes[it.lane], it) }
func (it *item[V]) leave() { heap.Remove(&it.from.lanes[it.lane], it.index) }

func (q *Queue[V]) enter(ws *workspace[V]) {
	g := q.groups[ws.group]
	if g == nil {
		g = &ordered[*workspace[V]]{}
		q.groups[ws.group] = g
	}
	heap.Push(g, ws)
}

func (q *Queue[V]) leave(ws *workspace[V]) {
	g := q.groups[ws.group]
	heap.Remove(g, ws.index)
	if len(*g) == 0 {
		delete(q.groups, ws.group)
	}
}

// Next takes out the item to be served next. ok is false if none waits that may be served.
func (q *Queue[V]) Next(now time.Time) (v V, ok bool) {
	var passed []*workspace[V]
	defer func() {
		for _, ws := range passed {
			q.enter(ws)
		}
	}()
	for {
		ws := q.first(now)
		switch {
		case ws == nil:
			return v, false
		case q.regroup(ws, now): // such as one with a call that became slow
		case !q.admission.Free(ws.group, ws.name):
			q.leave(ws)
			passed = append(passed, ws)
		default:
			it := ws.first(now.UnixNano())
			q.seq++
			ws.seq = q.seq
			heap.Fix(q.groups[ws.group], ws.index)
			ws.served(it.from)
			q.remove(it)
			return it.value, true
		}
	}
}

// first is the workspace to be served next of all open groups.
func (q *Queue[V]) first(now time.Time) (first *workspace[V]) {
	for group, g := range q.groups {
		if ws := g.first(); (first == nil || ws.seq < first.seq) && q.admission.Open(group, now) {
			first = ws
		}
	}
	return first
}

// Regroup asks again for the group of a workspace. Next does so as well, when its turn comes in its former group.
func (q *Queue[V]) Regroup(w ref.Workspace, now time.Time) {
	if ws := q.workspaces[w]; ws != nil {
		q.regroup(ws, now)
	}
}

func (q *Queue[V]) regroup(ws *workspace[V], now time.Time) (moved bool) {
	g := q.admission.Group(ws.name, now)
	if g == ws.group {
		return false
	}
	q.leave(ws)
	ws.group = g
	q.enter(ws)
	return true
}

// Remove takes out the item that waits under key, if one does.
func (q *Queue[V]) Remove(key Key) {
	if it := q.items[key]; it != nil {
		q.remove(it)
	}
}

// RemoveFunc takes out the items for which del is true.
func (q *Queue[V]) RemoveFunc(del func(V) bool) {
	for _, it := range q.items {
		if del(it.value) {
			q.remove(it)
		}
	}
}

// Len is the number of items that wait.
func (q *Queue[V]) Len() int { return len(q.items) }

func (q *Queue[V]) remove(it *item[V]) {
	it.leave()
	delete(q.items, it.key)
	ws := q.workspaces[it.key.Upstream.Workspace]
	if it.from.first() == nil {
		i := slices.Index(ws.sources, it.from)
		ws.sources = slices.Delete(ws.sources, i, i+1)
	}
	if len(ws.sources) == 0 {
		q.leave(ws)
		delete(q.workspaces, ws.name)
	}
	if len(q.items) == 0 && q.peak > 1000 {
		q.Reset() // maps never shrink by themselves
	}
}

// first is the workspace's item to be served next.
func (ws *workspace[V]) first(now int64) *item[V] {
	var oldest, urgent *item[V] // urgent: of a source that was not served last
	for _, s := range ws.sources {
		for i := range s.lanes {
			if it := s.lanes[i].first(); it != nil && (oldest == nil || it.seq < oldest.seq) {
				oldest = it
			}
		}
		if it := s.lanes[Urgent].first(); urgent == nil && it != nil && s != ws.last {
			urgent = it
		}
	}
	switch {
	case now-oldest.since >= int64(Patience):
		return oldest
	case urgent != nil:
		return urgent
	}
	return ws.sources[0].first()
}

// served ends a source's turn.
func (ws *workspace[V]) served(s *source[V]) {
	i := slices.Index(ws.sources, s)
	ws.sources = append(slices.Delete(ws.sources, i, i+1), s)
	ws.last = s
}

// first is the next item by urgency, then by age; nil: there is none.
func (s *source[V]) first() *item[V] {
	if it := s.lanes[Urgent].first(); it != nil {
		return it
	}
	return s.lanes[Normal].first()
}
