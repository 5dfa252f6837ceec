package supervisor

import (
	"time"

	"github.com/upstreamd/upstreamd/actors"
)

// Event is what Subscribe hands out: Published, Failure or Health.
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

// Health says that a SyncTarget became stale, or fresh again.
type Health struct {
	Target actors.SyncTarget
	Stale  bool
}

func (Published) event() {}
func (Failure) event()   {}
func (Health) event()    {}

// Subscribe calls fn for every event from now on, on the goroutine that it happens on: fn must not block. The returned function
// ends the subscription.
func (s *System) Subscribe(fn func(Event)) (unsubscribe func()) {
	subscription := s.engine.EventStream.Subscribe(func(e any) {
		switch e := e.(type) {
		case actors.Published:
			fn(Published{e})
		case Event:
			fn(e)
		}
	})
	return func() { s.engine.EventStream.Unsubscribe(subscription) }
}
