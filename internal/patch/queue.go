package patch

import (
	"container/heap"
	"container/list"
	"slices"
	"time"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Key names what a write is for.
type Key struct {
	Resource ref.Resource
	Upstream ref.Upstream
}

// Lane says how much a write matters to people.
type Lane int

// The lanes.
const (
	Normal Lane = iota // counters and the like
	Urgent             // readiness flips, terminal states
)

// Patience is the age from which a waiting item is no longer overtaken by what matters more.
const Patience = 5 * time.Second

// Queue holds what waits to be written: the latest per key. Workspaces are served in turn, whatever waits in the others. Within a workspace
// the SyncTargets whose news it is are served in turn, what is Urgent first; but none twice in a row while others wait, however urgent, so
// that one that floods does not keep the others waiting. Within a SyncTarget's items the Urgent lane goes first and each lane goes by age.
// An item older than Patience is overtaken by nothing younger of its workspace. Age counts from the first Put; a newer value takes over age,
// SyncTarget and lane, unless it is the more urgent.
//
// Each operation takes O(log n), Next also the number of workspaces, of SyncTargets and of items that are not allowed at the moment. The zero
// Queue is not usable.
type Queue[V any] struct {
	items      map[Key]*item[V]
	workspaces map[ref.Workspace]*workspace[V]
	turns      list.List // of *workspace[V]: the next to be served first
	byAge      list.List // of *item[V]: the oldest first
	seq        uint64
	peak       int // the most items since the maps were made
}

type item[V any] struct {
	key   Key
	value V
	from  *source[V]
	lane  Lane
	since int64  // of the first Put, unix nanoseconds
	seq   uint64 // order of the first Put
	index int    // in its lane
	age   *list.Element
}

type workspace[V any] struct {
	name    ref.Workspace
	sources []*source[V] // the next to be served first
	last    *source[V]   // that was served
	turn    *list.Element
}

// source is what waits in a workspace because of one SyncTarget.
type source[V any] struct {
	name  ref.SyncTarget
	lanes [Urgent + 1]lane[V]
}

// NewQueue makes an empty Queue.
func NewQueue[V any]() *Queue[V] {
	q := &Queue[V]{}
	q.reset()
	return q
}

func (q *Queue[V]) reset() {
	q.items, q.workspaces, q.peak = map[Key]*item[V]{}, map[ref.Workspace]*workspace[V]{}, 0
	q.turns.Init()
	q.byAge.Init()
}

// Put lets v wait under key, in the place of what waits there. It says whether something did. From is the SyncTarget whose news it is; empty:
// no single one's.
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
	ws := q.workspaces[key.Upstream.Workspace]
	if ws == nil {
		ws = &workspace[V]{name: key.Upstream.Workspace}
		ws.turn = q.turns.PushBack(ws)
		q.workspaces[ws.name] = ws
	}
	i := slices.IndexFunc(ws.sources, func(s *source[V]) bool { return s.name == from })
	if i < 0 {
		i = len(ws.sources)
		ws.sources = append(ws.sources, &source[V]{name: from})
	}
	q.seq++
	it := &item[V]{key: key, value: v, from: ws.sources[i], lane: l, since: now.UnixNano(), seq: q.seq}
	it.age = q.byAge.PushBack(it)
	q.items[key] = it
	q.peak = max(q.peak, len(q.items))
	it.enter()
	return false
}

func (it *item[V]) enter() { heap.Push(&it.from.lanes[it.lane], it) }
func (it *item[V]) leave() { heap.Remove(&it.from.lanes[it.lane], it.index) }

// Next takes out the item whose turn it is. What allowed refuses is passed over and keeps its place; it is asked about a whole workspace
// first (a Key that holds nothing else), then about its items. ok is false if nothing waits that is allowed.
func (q *Queue[V]) Next(now time.Time, allowed func(Key) bool) (v V, ok bool) {
	for turn := q.turns.Front(); turn != nil; turn = turn.Next() {
		ws := turn.Value.(*workspace[V])
		if !allowed(Key{Upstream: ref.Upstream{Workspace: ws.name}}) {
			continue
		}
		if it := ws.next(now.UnixNano(), allowed); it != nil {
			q.turns.MoveToBack(turn)
			ws.served(it.from)
			q.remove(it)
			return it.value, true
		}
	}
	return v, false
}

// Remove takes out what waits under key, if anything does.
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

// Has says whether something waits under key.
func (q *Queue[V]) Has(key Key) bool { return q.items[key] != nil }

// Len is the number of items that wait.
func (q *Queue[V]) Len() int { return len(q.items) }

// Oldest is the age of the item that has waited longest; 0 if none does.
func (q *Queue[V]) Oldest(now time.Time) time.Duration {
	front := q.byAge.Front()
	if front == nil {
		return 0
	}
	return max(0, time.Duration(now.UnixNano()-front.Value.(*item[V]).since))
}

func (q *Queue[V]) remove(it *item[V]) {
	it.leave()
	q.byAge.Remove(it.age)
	delete(q.items, it.key)
	ws := q.workspaces[it.key.Upstream.Workspace]
	if it.from.first() == nil {
		i := slices.Index(ws.sources, it.from)
		ws.sources = slices.Delete(ws.sources, i, i+1)
	}
	if len(ws.sources) == 0 {
		q.turns.Remove(ws.turn)
		delete(q.workspaces, ws.name)
	}
	if len(q.items) == 0 && q.peak > 1000 {
		q.reset() // maps never shrink by themselves
	}
}

// next is the workspace's item that is to go first among those allowed; it stays where it is.
func (ws *workspace[V]) next(now int64, allowed func(Key) bool) *item[V] {
	var passed []*item[V]
	defer func() {
		for _, it := range passed {
			it.enter()
		}
	}()
	for {
		it := ws.first(now)
		if it == nil || allowed(it.key) {
			return it
		}
		it.leave()
		passed = append(passed, it)
	}
}

func (ws *workspace[V]) first(now int64) *item[V] {
	var oldest, urgent, next *item[V] // urgent: of one that was not served last; next: of the one whose turn it is
	for _, s := range ws.sources {
		first := s.first()
		if first == nil {
			continue
		}
		for i := range s.lanes {
			if it := s.lanes[i].first(); it != nil && (oldest == nil || it.seq < oldest.seq) {
				oldest = it
			}
		}
		if next == nil {
			next = first
		}
		if urgent == nil && first.lane == Urgent && s != ws.last {
			urgent = first
		}
	}
	switch {
	case oldest != nil && now-oldest.since >= int64(Patience):
		return oldest
	case urgent != nil:
		return urgent
	}
	return next
}

// served ends a source's turn.
func (ws *workspace[V]) served(s *source[V]) {
	i := slices.Index(ws.sources, s)
	ws.sources = append(slices.Delete(ws.sources, i, i+1), s)
	ws.last = s
}

// first is what goes first by urgency, then by age.
func (s *source[V]) first() *item[V] {
	if it := s.lanes[Urgent].first(); it != nil {
		return it
	}
	return s.lanes[Normal].first()
}

// lane is a heap of items, the oldest first.
type lane[V any] []*item[V]

func (l lane[V]) first() *item[V] {
	if len(l) == 0 {
		return nil
	}
	return l[0]
}

func (l lane[V]) Len() int           { return len(l) }
func (l lane[V]) Less(i, j int) bool { return l[i].seq < l[j].seq }
func (l lane[V]) Swap(i, j int)      { l[i], l[j] = l[j], l[i]; l[i].index, l[j].index = i, j }

func (l *lane[V]) Push(x any) {
	it := x.(*item[V])
	it.index = len(*l)
	*l = append(*l, it)
}

func (l *lane[V]) Pop() any {
	last := len(*l) - 1
	it := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	return it
}
