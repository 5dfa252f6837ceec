package patch

import (
	"maps"
	"slices"
	"time"

	"github.com/upstreamd/upstreamd/internal/ref"
)

const (
	slowCall     = time.Second      // how long a call takes, or is under way, to count as slow
	serverMemory = 10 * time.Minute // how long an unused server is remembered once there is another one
	maxSlow      = 1 << 14          // slow workspaces that are remembered
)

// Slots are the calls that may be under way at a time. There are no more than a given number in all; each API server has a limit of its
// own below that, which follows its throughput (see climber). A quarter of a server's slots is out of reach for any one workspace as
// long as there are others, and for all slow workspaces together; a quarter of all slots is out of reach for any one server.
//
// The times that it is given do not decrease. The zero Slots is not usable.
type Slots struct {
	most     int
	inFlight int
	servers  map[string]*server
	began    map[ref.Workspace][]time.Time // the calls under way, the oldest first
	slow     map[ref.Workspace]bool        // the last call that ended was
	first    *ref.Workspace                // that was written to
	several  bool                          // there are others
}

// server is an API server.
type server struct {
	climber
	inFlight int
	used     time.Time // when the last call began
}

// NewSlots makes Slots for at most so many calls at a time.
func NewSlots(most int) *Slots {
	return &Slots{most: most, servers: map[string]*server{}, began: map[ref.Workspace][]time.Time{}, slow: map[ref.Workspace]bool{}}
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

// Slow reports whether the calls of a workspace count as slow: those under way, or else the last one.
func (s *Slots) Slow(w ref.Workspace, now time.Time) bool {
	began := s.began[w]
	return !s.alone(w) && (s.slow[w] || len(began) > 0 && now.Sub(began[0]) >= slowCall)
}

// alone reports whether there never was another workspace.
func (s *Slots) alone(w ref.Workspace) bool { return !s.several && s.first != nil && *s.first == w }

// Open reports whether a call for any workspace of a group may begin.
func (s *Slots) Open(g Group, now time.Time) bool {
	limit, here := s.at(g.Host)
	if s.Full() || here >= limit || len(s.servers) > 1 && here >= shared(s.most) {
		return false
	}
	return !g.Slow || s.slowCalls(now) < shared(limit)
}

// Free reports whether a call for a workspace of an open group may begin. There are few for which it may not: each takes three quarters
// of a server's slots.
func (s *Slots) Free(g Group, w ref.Workspace) bool {
	limit, _ := s.at(g.Host)
	return s.alone(w) || len(s.began[w]) < shared(limit)
}

func (s *Slots) at(host string) (limit, inFlight int) {
	if h := s.servers[host]; h != nil {
		return h.limit(), h.inFlight
	}
	return s.most, 0
}

// Begin takes a slot.
func (s *Slots) Begin(host string, w ref.Workspace, now time.Time) {
	h := s.servers[host]
	if h == nil {
		maps.DeleteFunc(s.servers, func(_ string, h *server) bool { return h.inFlight == 0 && now.Sub(h.used) >= serverMemory })
		h = &server{climber: newClimber(s.most)}
		s.servers[host] = h
	}
	s.inFlight++
	h.used = now
	if h.inFlight++; h.inFlight >= h.limit() {
		h.fill(now)
	}
	s.began[w] = append(s.began[w], now)
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
	h := s.servers[host]
	i := slices.IndexFunc(s.began[w], began.Equal)
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
	if s.began[w] = slices.Delete(s.began[w], i, i+1); len(s.began[w]) == 0 {
		delete(s.began, w)
	}
	delete(s.slow, w)
	if s.inFlight == 0 || len(s.slow) >= maxSlow {
		clear(s.slow) // no calls are under way that they could hold up, or deleted workspaces have piled up
	}
	if s.inFlight > 0 && now.Sub(began) >= slowCall {
		s.slow[w] = true
	}
}

// shared is how many of so many slots one user of them may have when there are others. A single slot can't be shared.
func shared(slots int) int {
	if slots < 2 {
		return slots
	}
	return slots - max(1, slots/4)
}

// slowCalls is how many calls of slow workspaces are under way. It visits the workspaces with calls under way: fewer than there are slots.
func (s *Slots) slowCalls(now time.Time) (n int) {
	for w, began := range s.began {
		if s.Slow(w, now) {
			n += len(began)
		}
	}
	return n
}
