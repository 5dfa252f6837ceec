package client

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// clock measures a server's clock by the Date of its answers, which has a resolution of a second.
type clock struct{ last atomic.Pointer[reading] }

type reading struct {
	ref.Clock
	taken time.Time
}

const (
	unreadClock = time.Minute     // how wrong the clock of a server without Date may be
	readAgain   = 5 * time.Minute // after that a less certain reading replaces one, as clocks drift and are set
)

// observe takes the Date of an answer to a call that began and was answered at the given times.
func (c *clock) observe(date string, began, answered time.Time) {
	at, err := http.ParseTime(date)
	if err != nil {
		return
	}
	const resolution = time.Second
	span := answered.Sub(began) // the server wrote the Date within it
	r := &reading{ref.Clock{Offset: at.Sub(began) + (resolution-span)/2, Doubt: (span + resolution) / 2}, answered}
	last := c.last.Load()
	if last == nil || r.Doubt <= last.Doubt || answered.Sub(last.taken) > readAgain || !r.agrees(last) {
		c.last.Store(r)
	}
}

// agrees reports whether two readings can both be right.
func (r *reading) agrees(other *reading) bool {
	return (r.Offset - other.Offset).Abs() <= r.Doubt+other.Doubt
}

// Clock returns the server's clock as it was measured.
func (c *Conn) Clock() ref.Clock {
	if last := c.contact.clock.last.Load(); last != nil {
		return last.Clock
	}
	return ref.Clock{Doubt: unreadClock}
}
