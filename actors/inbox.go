package actors

import (
	"slices"
	"sync"
	"time"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// inbox lies between a watch's goroutine and its actor. It keeps the latest event per object, so its memory is bounded by the number of
// objects, not of events, and it pokes the actor once when it is no longer empty. Objects that come and go faster than the actor takes
// them count, too: beyond maxChanges, the inbox drops them all, and the actor lists again.
type inbox struct {
	poke func(*inbox)

	mu      sync.Mutex
	scopes  *arrival  // the latest announcement of scopes
	lists   []arrival // lists and ends of scopes that the actor has not taken yet, at most one per scope
	changes map[changeKey]arrival
	order   []changeKey                   // keys of changes in the order of their first arrival
	live    map[ref.Workspace]struct{}    // scopes with a last event other than a failure
	health  map[ref.Workspace]scopeHealth // news since the last take; nil: none
	poked   bool
	merged  int // events that a later one replaced, since the last take

	overflown bool // no change is kept any more
}

// maxChanges bounds the objects with a pending change. A list of more is one event.
const maxChanges = 1 << 18

// scopeHealth is how the watch of one scope went since the last take.
type scopeHealth struct {
	failed error     // the latest failure; nil: none
	broken time.Time // when the first failure came after the last event of a working watch
	live   bool      // an event that only a working watch reports came after the failures
}

// changeKey names an object in an inbox, or a workspace that left: that has no name.
type changeKey struct {
	workspace       ref.Workspace
	namespace, name string
}

// arrival is an event and when it came.
type arrival struct {
	event    ref.Event
	received time.Time
}

func newInbox(poke func(*inbox)) *inbox {
	return &inbox{poke: poke, changes: map[changeKey]arrival{}, live: map[ref.Workspace]struct{}{}}
}

// emit takes an event from the edge; it is a ref.Emit.
func (b *inbox) emit(e ref.Event) {
	now := time.Now()
	b.mu.Lock()
	b.assess(e, now)
	switch e.Type {
	case ref.Listed:
		b.list(e, now)
	case ref.Left:
		if e.Workspace == "" {
			b.list(e, now)
		} else {
			b.leave(e, now)
		}
	case ref.Failed, ref.Resumed:
	case ref.Scopes:
		b.scopes = &arrival{e, now}
	default:
		for _, o := range e.Objects {
			b.change(ref.Event{Type: e.Type, Scope: e.Scope, Objects: []*ref.Object{o}}, now)
		}
	}
	poke := !b.poked
	b.poked = true
	b.mu.Unlock()
	if poke {
		b.poke(b)
	}
}

// assess notes how the watch of the event's scope goes. A scope that is no more has no health.
func (b *inbox) assess(e ref.Event, now time.Time) {
	_, live := b.live[e.Scope]
	h := b.health[e.Scope]
	switch {
	case e.Type == ref.Scopes:
		return
	case e.Type == ref.Left && e.Workspace == "":
		delete(b.live, e.Scope)
		delete(b.health, e.Scope)
		return
	case e.Type == ref.Failed:
		delete(b.live, e.Scope)
		if h.failed == nil || h.live {
			h.broken = now
		}
		h.failed, h.live = e.Err, false
	case live:
		return
	default:
		b.live[e.Scope] = struct{}{}
		h.live = true
	}
	if b.health == nil {
		b.health = map[ref.Workspace]scopeHealth{}
	}
	b.health[e.Scope] = h
}

// list keeps a list, or the end of a scope, and drops the earlier events of its scope: the list is newer than all of them.
func (b *inbox) list(e ref.Event, now time.Time) {
	keep := b.order[:0]
	for _, k := range b.order {
		if b.changes[k].event.Scope == e.Scope {
			delete(b.changes, k)
			b.merged++
			continue
		}
		keep = append(keep, k)
	}
	b.order = keep
	for i := range b.lists {
		if b.lists[i].event.Scope == e.Scope {
			b.lists[i] = arrival{e, now}
			return
		}
	}
	b.lists = append(b.lists, arrival{e, now})
}

// leave drops the events of a workspace that left its scope.
func (b *inbox) leave(e ref.Event, now time.Time) {
	b.order = slices.DeleteFunc(b.order, func(k changeKey) bool {
		c := b.changes[k].event
		if k.workspace != e.Workspace || c.Scope != e.Scope || c.Type != ref.Left && ref.Newer(c.Objects[0].ResourceVersion, e.Version) {
			return false
		}
		delete(b.changes, k)
		b.merged++
		return true
	})
	key := changeKey{workspace: e.Workspace}
	b.order = append(b.order, key)
	b.changes[key] = arrival{e, now}
}

func (b *inbox) change(e ref.Event, now time.Time) {
	o := e.Objects[0]
	key := changeKey{o.Workspace, o.Namespace, o.Name}
	if before, ok := b.changes[key]; ok {
		b.merged++
		now = before.received // latency counts from the oldest event that is in it
	} else if b.overflown || len(b.order) >= maxChanges {
		b.changes, b.order, b.overflown = map[changeKey]arrival{}, nil, true
		return
	} else {
		b.order = append(b.order, key)
	}
	b.changes[key] = arrival{e, now}
}

// batch is the content of an inbox that an actor takes in one turn.
type batch struct {
	scopes  *arrival
	list    *arrival
	changes []arrival
	health  map[ref.Workspace]scopeHealth // of the scopes that reported something
	merged  int
	more    bool // another poke is due
	lost    bool // changes were dropped: only a list brings them
}

// take returns a list if there is one, else up to limit changes in the order of their arrival.
func (b *inbox) take(limit int) batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := batch{health: b.health, merged: b.merged, scopes: b.scopes, lost: b.overflown}
	b.health, b.merged, b.scopes = nil, 0, nil
	if len(b.lists) > 0 {
		first := b.lists[0]
		out.list = &first
		b.lists = b.lists[1:]
	} else {
		n := min(limit, len(b.order))
		out.changes = make([]arrival, 0, n)
		for _, k := range b.order[:n] {
			out.changes = append(out.changes, b.changes[k])
			delete(b.changes, k)
		}
		b.order = b.order[n:]
	}
	out.more = len(b.lists) > 0 || len(b.order) > 0
	if !out.more {
		b.order, b.lists = nil, nil
		if len(b.changes) == 0 {
			b.changes = map[changeKey]arrival{}
		}
	}
	b.poked = out.more
	return out
}
