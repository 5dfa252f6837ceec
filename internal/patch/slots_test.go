package patch

import (
	"container/heap"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// apiServer answers calls: how long one takes follows from how many are under way when it begins.
type apiServer func(underWay int) (took time.Duration, ending Ending)

// flatFrom is a server whose throughput grows with the calls at a time up to n, and stays as it is beyond.
func flatFrom(n int) apiServer {
	return func(underWay int) (time.Duration, Ending) {
		return 10 * time.Millisecond * time.Duration(max(n, underWay)) / time.Duration(n), Answered
	}
}

// free reports whether a call may begin.
func free(s *Slots, host string, w ref.Workspace, now time.Time) bool {
	g := Group{host, s.Slow(w, now)}
	return s.Open(g, now) && s.Free(g, w)
}

// second is what happened in one.
type second struct{ calls, limit int }

// run keeps the Slots as full as they allow for some virtual time.
func run(s *Slots, from time.Time, seconds int, server apiServer) (seen []second, now time.Time) {
	var calls calls
	seen, now = make([]second, seconds), from
	for begun := 0; ; {
		for free(s, "host", "", now) {
			s.Begin("host", "", now)
			begun++
			took, ending := server(s.InFlight())
			heap.Push(&calls, call{now, now.Add(took + time.Duration(begun%7)*time.Microsecond), ending})
		}
		next := heap.Pop(&calls).(call)
		if now = next.ends; now.Sub(from) >= time.Duration(seconds)*time.Second {
			heap.Push(&calls, next)
			for _, c := range calls {
				s.End("host", "", c.began, now, Answered)
			}
			return seen, now
		}
		s.End("host", "", next.began, now, next.ending)
		at := &seen[now.Sub(from)/time.Second]
		at.calls++
		at.limit = s.Limit()
	}
}

// usual is the limit that holds most of the time.
func usual(seen []second) int {
	slices.SortFunc(seen, func(a, b second) int { return a.limit - b.limit })
	return seen[len(seen)/2].limit
}

type call struct {
	began, ends time.Time
	ending      Ending
}

type calls []call

func (c calls) Len() int           { return len(c) }
func (c calls) Less(i, j int) bool { return c[i].ends.Before(c[j].ends) }
func (c calls) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *calls) Push(x any)        { *c = append(*c, x.(call)) }
func (c *calls) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

var midnight = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestTheLimitGoesWhereTheThroughputStopsToGrow(t *testing.T) {
	for _, c := range []struct{ flat, most, atLeast, atMost int }{
		{4, 16, 4, 6},
		{8, 64, 8, 11},
		{1, 16, 1, 2},
		{16, 16, 16, 16},
		{100, 16, 16, 16}, // never
		{5, 1, 1, 1},
	} {
		t.Run(fmt.Sprintf("flat from %d of %d", c.flat, c.most), func(t *testing.T) {
			s := NewSlots(c.most)
			seen, now := run(s, midnight, 60, flatFrom(c.flat))
			for i, second := range seen[15:] {
				if best := 100 * min(c.flat, c.most); second.calls < best*7/10 {
					t.Errorf("second %d: %d calls of %d: what is tried costs too much", i+15, second.calls, best)
				}
			}
			if limit := usual(seen[20:]); limit < c.atLeast || limit > c.atMost {
				t.Errorf("the limit is %d, not %d to %d", limit, c.atLeast, c.atMost)
			}
			seen, _ = run(s, now, 120, flatFrom(2*c.flat))
			if limit := usual(seen[60:]); limit < min(c.most, 2*c.flat) {
				t.Errorf("the server takes more now, yet the limit is %d", limit)
			}
		})
	}
}

func TestAnOverloadedServerIsLeftHalfOfTheCallsAtOnce(t *testing.T) {
	s := NewSlots(16)
	for range 16 {
		s.Begin("host", "", midnight)
	}
	now := midnight.Add(time.Second)
	for range 16 { // one overload, said sixteen times
		s.End("host", "", midnight, now, Overloaded)
	}
	if s.Limit() != 6 { // the level that is not above a half
		t.Errorf("the limit is %d", s.Limit())
	}
	seen, now := run(s, now, 4, flatFrom(1000))
	if slices.ContainsFunc(seen, func(s second) bool { return s.limit > 6 }) {
		t.Errorf("it is not left alone: %v", seen)
	}
	if run(s, now, 30, flatFrom(1000)); s.Limit() != 16 {
		t.Errorf("no more is tried than %d", s.Limit())
	}
}

func TestAServerThatRefusesBeyondALimitIsCalledBelowIt(t *testing.T) {
	s := NewSlots(16)
	refused := 0
	server := func(underWay int) (time.Duration, Ending) {
		if underWay > 7 {
			refused++
			return time.Millisecond, Overloaded
		}
		return 10 * time.Millisecond, Answered
	}
	_, now := run(s, midnight, 30, server)
	refused = 0
	if run(s, now, 60, server); refused > 150 {
		t.Errorf("%d of some 36,000 calls were refused", refused)
	}
}

func TestAQuietServerSaysNothingOfItsLimit(t *testing.T) {
	s, now := NewSlots(16), midnight
	for range 10000 {
		s.Begin("host", "", now)
		began := now
		now = now.Add(10 * time.Millisecond)
		s.End("host", "", began, now, Answered)
	}
	if s.Limit() != 16 {
		t.Errorf("the limit is %d", s.Limit())
	}
}

// take begins calls in turn, as many as there are slots for, and says how many each workspace got.
func take(s *Slots, host string, now time.Time, workspaces ...ref.Workspace) map[ref.Workspace]int {
	n := map[ref.Workspace]int{}
	for range 100 {
		for _, w := range workspaces {
			if free(s, host, w, now) {
				s.Begin(host, w, now)
				n[w]++
			}
		}
	}
	return n
}

func TestSomeSlotsAreOutOfReachOfWhatIsSlow(t *testing.T) {
	type taken = map[ref.Workspace]int
	expect := func(t *testing.T, got, want taken) {
		t.Helper()
		if !maps.Equal(got, want) {
			t.Errorf("taken: %v, not %v", got, want)
		}
	}
	t.Run("one workspace alone may have all", func(t *testing.T) {
		expect(t, take(NewSlots(16), "host", midnight, "a"), taken{"a": 16})
	})
	t.Run("one among others may not", func(t *testing.T) {
		s := NewSlots(16)
		s.Begin("host", "b", midnight)
		s.End("host", "b", midnight, midnight, Answered)
		expect(t, take(s, "host", midnight, "a"), taken{"a": 12})
		expect(t, take(s, "host", midnight, "b"), taken{"b": 4})
	})
	t.Run("several slow ones together may not", func(t *testing.T) {
		s := NewSlots(16)
		for range 3 {
			s.Begin("host", "a", midnight)
			s.Begin("host", "b", midnight)
		}
		later := midnight.Add(slowCall)
		expect(t, take(s, "host", later, "a", "b"), taken{"a": 3, "b": 3})
		expect(t, take(s, "host", later, "a", "b", "c"), taken{"c": 4})
	})
	t.Run("what was slow stays slow until a call is not", func(t *testing.T) {
		s := NewSlots(16)
		for range 8 {
			s.Begin("host", "a", midnight)
		}
		s.Begin("host", "b", midnight)
		now := midnight.Add(slowCall)
		for range 8 {
			s.End("host", "a", midnight, now, Answered)
		}
		expect(t, take(s, "host", now, "a"), taken{"a": 11}) // b's call is slow, too
		later := now.Add(slowCall / 2)
		if s.End("host", "a", now, later, Answered); !free(s, "host", "a", later) {
			t.Error("a is fast again, and has to wait")
		}
		expect(t, take(s, "host", later, "a"), taken{"a": 2}) // twelve in all
	})
	t.Run("one server among others may not have all", func(t *testing.T) {
		s := NewSlots(16)
		s.Begin("other", "", midnight)
		expect(t, take(s, "host", midnight, ""), taken{"": 12})
		expect(t, take(s, "other", midnight, ""), taken{"": 3})
	})
	t.Run("one slot can't be shared", func(t *testing.T) {
		s := NewSlots(1)
		s.Begin("host", "a", midnight)
		if free(s, "host", "b", midnight) {
			t.Error("there is a second slot")
		}
		if s.End("host", "a", midnight, midnight, Answered); !free(s, "host", "b", midnight) {
			t.Error("the slot is lost")
		}
	})
}

// Servers and slow workspaces that are gone are forgotten, also if a call is under way at any time.
func TestSlotsForgetServersAndWorkspaces(t *testing.T) {
	s, now := NewSlots(16), midnight
	s.Begin("steady", "steady", now)
	for n := range 2 * maxSlow {
		host, w := fmt.Sprint("host-", n/100), ref.Workspace(fmt.Sprint("ws-", n))
		s.Begin(host, w, now)
		began := now
		now = now.Add(slowCall)
		s.End(host, w, began, now, Answered)
	}
	if most := 2 + int(serverMemory/(100*slowCall)) + 1; len(s.servers) > most {
		t.Errorf("%d servers are remembered, want %d at most", len(s.servers), most)
	}
	if len(s.slow) > maxSlow || len(s.slow) == 0 || len(s.began) != 1 {
		t.Errorf("%d slow workspaces are remembered, %d have calls under way", len(s.slow), len(s.began))
	}
}

// TestSlots: whatever begins and ends, there are never more calls under way than there may be, none is lost, and when nothing is under
// way everybody may call.
func TestSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 40).Draw(t, "most")
		s, now := NewSlots(most), midnight
		type underWay struct {
			host  string
			w     ref.Workspace
			began time.Time
		}
		var calls []underWay
		hosts := rapid.SampledFrom([]string{"one", "two"})
		workspaces := rapid.SampledFrom([]ref.Workspace{"", "a", "b", "c"})
		for range rapid.IntRange(0, 400).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 700).Draw(t, "ms")) * time.Millisecond)
			if len(calls) > 0 && rapid.Bool().Draw(t, "end") {
				i := rapid.IntRange(0, len(calls)-1).Draw(t, "which")
				c := calls[i]
				s.End(c.host, c.w, c.began, now, Ending(rapid.IntRange(0, 2).Draw(t, "ending")))
				s.End(c.host, "nobody", c.began, now, Overloaded) // changes nothing
				calls = append(calls[:i], calls[i+1:]...)
			} else if c := (underWay{hosts.Draw(t, "host"), workspaces.Draw(t, "workspace"), now}); free(s, c.host, c.w, now) {
				s.Begin(c.host, c.w, now)
				calls = append(calls, c)
			}
			if s.InFlight() != len(calls) || len(calls) > most || s.Full() != (len(calls) == most) || s.Limit() < 1 || s.Limit() > most {
				t.Fatalf("%d calls under way, it counts %d of %d, limit %d", len(calls), s.InFlight(), most, s.Limit())
			}
		}
		for _, c := range calls {
			s.End(c.host, c.w, c.began, now, Answered)
		}
		for _, w := range []ref.Workspace{"", "a", "b", "c", "new"} {
			if !free(s, "one", w, now) || !free(s, "two", w, now) {
				t.Fatalf("nothing is under way, and yet %q has to wait", w)
			}
		}
	})
}
