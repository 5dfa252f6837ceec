package patch

import (
	"maps"
	"slices"
	"time"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// slowCall is how long a call takes, or is under way, to count as slow.
const slowCall = time.Second

// Slots are the calls that may be under way at a time. There are no more than a given number in all; each API server has a limit of its
// own below that, which follows its throughput (see climber). A quarter of a server's slots is out of reach for any one workspace as
// long as there are others, and for all slow workspaces together; a quarter of all slots is out of reach for any one server.
//
// The times that it is given do not decrease. The zero Slots is not usable.
type Slots struct {
	most       int
	inFlight   int
	servers    map[string]*server
	workspaces map[ref.Workspace]*callers // those with calls under way, and those that were slow
	first      *ref.Workspace             // that was written to
	several    bool                       // there are others
}

// server is an API server.
type server struct {
	climber
	inFlight int
}

// callers are the calls of one workspace.
type callers struct {
	began []time.Time // of those under way, the oldest first
	slow  bool        // the last one that ended was
}

// NewSlots makes Slots for at most so many calls at a time.
func NewSlots(most int) *Slots {
	return &Slots{most: most, servers: map[string]*server{}, workspaces: map[ref.Workspace]*callers{}}
}

// InFlight is the number of calls under way.
func (s *Slots) InFlight() int { return s.inFlight }

// Full says that no call may begin, wherever it goes.
func (s *Slots) Full() bool { return s.inFlight >= s.most }

// Limit is the least limit of any server.
func (s *Slots) Limit() int {
	limit := s.most
	for _, h := range s.servers {
		limit = min(limit, h.limit())
	}
	return limit
}

// Free says whether a call for a workspace may begin at a server.
func (s *Slots) Free(host string, w ref.Workspace, now time.Time) bool {
	limit, here := s.most, 0
	if h := s.servers[host]; h != nil {
		limit, here = h.limit(), h.inFlight
	}
	if s.Full() || here >= limit || len(s.servers) > 1 && here >= shared(s.most) {
		return false
	}
	c := s.workspaces[w]
	if c == nil || !s.several && *s.first == w {
		return true
	}
	return len(c.began) < shared(limit) && (!c.isSlow(now) || s.slowCalls(now) < shared(limit))
}

// Begin takes a slot.
func (s *Slots) Begin(host string, w ref.Workspace, now time.Time) {
	h := s.servers[host]
	if h == nil {
		if len(s.servers) >= maxServers {
			maps.DeleteFunc(s.servers, func(_ string, h *server) bool { return h.inFlight == 0 })
		}
		h = &server{climber: newClimber(s.most)}
		s.servers[host] = h
	}
	s.inFlight++
	if h.inFlight++; h.inFlight >= h.limit() {
		h.fill(now)
	}
	c := s.workspaces[w]
	if c == nil {
		c = &callers{}
		s.workspaces[w] = c
	}
	c.began = append(c.began, now)
	if s.first == nil {
		s.first = &w
	}
	s.several = s.several || *s.first != w
}

// Ending is how a call ended, as far as it shows the load on the server.
type Ending int

// The endings.
const (
	Answered   Ending = iota // the server did what there was to do, or said why it did not
	Overloaded               // it has asked for fewer calls
	Unanswered               // the call did not reach it, or its result is unknown
)

// End gives back the slot of a call that began at a time.
func (s *Slots) End(host string, w ref.Workspace, began, now time.Time, how Ending) {
	h, c := s.servers[host], s.workspaces[w]
	i := -1
	if c != nil {
		i = slices.IndexFunc(c.began, began.Equal)
	}
	if h == nil || i < 0 {
		return // no such call
	}
	full := h.inFlight >= h.limit()
	s.inFlight--
	h.inFlight--
	if how == Overloaded {
		h.retreat(began, now)
	} else {
		h.ended(full && how == Answered, now)
	}
	c.began = slices.Delete(c.began, i, i+1)
	c.slow = now.Sub(began) >= slowCall
	if len(c.began) == 0 && !c.slow {
		delete(s.workspaces, w)
	}
	if s.inFlight == 0 {
		clear(s.workspaces) // nothing is under way that they could hold up
	}
}

// maxServers is how many servers without a call under way are remembered. Beyond, their limits are measured anew.
const maxServers = 256

// shared is how many of so many slots one user of them may have when there are others. A single slot can't be shared.
func shared(slots int) int {
	if slots < 2 {
		return slots
	}
	return slots - max(1, slots/4)
}

func (c *callers) isSlow(now time.Time) bool {
	return c.slow || len(c.began) > 0 && now.Sub(c.began[0]) >= slowCall
}

// slowCalls is how many calls of slow workspaces are under way.
func (s *Slots) slowCalls(now time.Time) (n int) {
	for _, c := range s.workspaces {
		if c.isSlow(now) {
			n += len(c.began)
		}
	}
	return n
}
