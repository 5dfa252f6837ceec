package supervisor

import (
	"time"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Event is what Subscribe hands out: Published, Failure, Health or Quarantine.
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

// Quarantine says that a SyncTarget went over a limit with a kind, so that what it said of that is stale, or (Over empty) that it is up to
// date again. Without a Resource it is about the Namespaces, and so about all kinds.
type Quarantine struct {
	Target   actors.SyncTarget
	Resource actors.Resource
	Over     ref.Limit
}

func (Published) event()  {}
func (Failure) event()    {}
func (Health) event()     {}
func (Quarantine) event() {}

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
