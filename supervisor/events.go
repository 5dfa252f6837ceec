package supervisor

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Event is handed to subscribers: Published, Failure, Health or Quarantine.
type Event interface{ event() }

// Published says that a status was written, and acknowledged by the API server.
type Published struct{ actors.Published }

// Failure says that an actor failed on a message and is restarted after Pause.
type Failure struct {
	Actor    string // its path
	Reason   string
	Failures int // within the last minute
	Pause    time.Duration
}

// Health says that a resource of a SyncTarget became stale, or fresh again.
type Health struct {
	Target   actors.SyncTarget
	Resource actors.Resource
	Stale    bool
}

// Quarantine says that a SyncTarget exceeded a limit with a resource, which makes it stale, or (Over empty) that it has kept to its limits
// for the grace period. Without a Resource it is about the Namespaces, and so about all resources.
type Quarantine struct {
	Target   actors.SyncTarget
	Resource actors.Resource
	Over     ref.Limit
}

func (Published) event()  {}
func (Failure) event()    {}
func (Health) event()     {}
func (Quarantine) event() {}

// Subscribe calls fn for every event from now on, on the goroutine of the event: fn must not block. It may be called before Start. The
// returned function ends the subscription.
func (s *System) Subscribe(fn func(Event)) (unsubscribe func()) {
	return s.subscribers.add(fn)
}

// subscribers are the functions that events are handed to.
type subscribers struct {
	log   zerolog.Logger
	mu    sync.Mutex
	next  int
	calls map[int]func(Event)
	list  atomic.Pointer[[]func(Event)] // the same, to be read without the lock
}

func (s *subscribers) add(fn func(Event)) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		s.calls = map[int]func(Event){}
	}
	s.next++
	id := s.next
	s.calls[id] = fn
	s.renew()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.calls, id)
		s.renew()
	}
}

// renew is called with s.mu held. Subscribers are called in the order of their subscriptions.
func (s *subscribers) renew() {
	list := make([]func(Event), 0, len(s.calls))
	for _, id := range slices.Sorted(maps.Keys(s.calls)) {
		list = append(list, s.calls[id])
	}
	s.list.Store(&list)
}

// dispatch hands out a message of the engine's event stream, if it is an Event.
func (s *subscribers) dispatch(message any) {
	list := s.list.Load()
	if list == nil {
		return
	}
	var event Event
	switch m := message.(type) {
	case actors.Published:
		event = Published{m}
	case Event:
		event = m
	default:
		return
	}
	for _, fn := range *list {
		s.call(fn, event)
	}
}

// call recovers from a panic of a subscriber: it must not fail the actor that published the event.
func (s *subscribers) call(fn func(Event), e Event) {
	defer func() {
		if reason := recover(); reason != nil {
			s.log.Error().Str("event", fmt.Sprintf("%T", e)).Str("reason", fmt.Sprint(reason)).Msg("a subscriber of events panicked")
		}
	}()
	fn(e)
}
