package load_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/upstreamd/upstreamd/bench/fleet"
	"github.com/upstreamd/upstreamd/bench/load"
	"github.com/upstreamd/upstreamd/bench/scenario"
)

func lasting(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }

func planned(pattern string, l scenario.Load) (scenario.Scenario, []load.Change) {
	l.Pattern = pattern
	s := scenario.Scenario{Shape: fleet.Shape{Objects: 40, Copies: 2, SyncTargets: 4, Workspaces: 5}, Load: l}
	return s, load.Plan(s)
}

func TestSteadyLoadIsEvenAndTakesCopiesInTurns(t *testing.T) {
	s, plan := planned(scenario.Steady, scenario.Load{Rate: 40, For: lasting(4 * time.Second)})
	times := map[int]int{}
	for n, c := range plan {
		if c.At != time.Duration(n)*25*time.Millisecond || !c.Counted {
			t.Fatalf("change %d is %+v", n, c)
		}
		times[c.Copy]++
	}
	for number := range s.Shape.Total() {
		if times[number] != 2 {
			t.Errorf("copy %d changes %d times of 160 changes to 80 copies", number, times[number])
		}
	}
}

func TestABurstTouchesAllCopiesOfOneObject(t *testing.T) {
	s, plan := planned(scenario.Burst, scenario.Load{Within: lasting(100 * time.Millisecond), Every: lasting(time.Second), For: lasting(3 * time.Second)})
	if len(plan) != 6 {
		t.Fatalf("%d changes in three bursts of two copies", len(plan))
	}
	for n := 0; n < len(plan); n += 2 {
		a, b := plan[n], plan[n+1]
		if s.Shape.Object(a.Copy) != s.Shape.Object(b.Copy) || a.Copy == b.Copy || b.At-a.At != 50*time.Millisecond || a.At != time.Duration(n/2)*time.Second {
			t.Errorf("burst %d is %+v, %+v", n/2, a, b)
		}
	}
}

func TestTroubleTouchesNothingThatCounts(t *testing.T) {
	for _, l := range []scenario.Load{
		{Pattern: scenario.Noisy, Rate: 50, Noise: 200, For: lasting(4 * time.Second)},
		{Pattern: scenario.Noisy, Rate: 50, Noise: 200, Noisy: 1, For: lasting(4 * time.Second)},
		{Pattern: scenario.Faulty, Rate: 50, Silent: 1, For: lasting(4 * time.Second)},
		{Pattern: scenario.Faulty, Rate: 50, Delay: lasting(time.Second), For: lasting(4 * time.Second)},
	} {
		pattern := l.Pattern
		s, plan := planned(pattern, l)
		count := [2]int{}
		noise := 0
		for _, c := range plan {
			if c.Counted == load.Troubled(s.Shape, s.Load, s.Shape.Object(c.Copy)) {
				t.Fatalf("%s: %+v", pattern, c)
			}
			if c.Counted {
				count[c.Phase]++
				if (c.Phase == 1) != (c.At >= 2*time.Second) {
					t.Errorf("%s: %+v is in the wrong phase", pattern, c)
				}
			} else {
				noise++
			}
		}
		if want := map[string]int{scenario.Noisy: 400, scenario.Faulty: 200}[pattern]; count != [2]int{100, 100} || noise != want {
			t.Errorf("%s: counted %v, others %d, want %d", pattern, count, noise, want)
		}
		if !slices.IsSortedFunc(plan, func(a, b load.Change) int { return int(a.At - b.At) }) {
			t.Errorf("%s is out of order", pattern)
		}
	}
}

// slow takes a while over each change.
type slow struct {
	mu      sync.Mutex
	changes []int
	takes   time.Duration
}

func (s *slow) Change(number int) int {
	time.Sleep(s.takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = append(s.changes, number)
	return 0
}

func (s *slow) Waiting() int { return 0 }

func TestLatencyCountsFromTheIntendedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shape := fleet.Shape{Objects: 2, Copies: 1, SyncTargets: 1}
		tracker := load.NewTracker(shape)
		plan := []load.Change{{At: 0, Copy: 0, Counted: true}, {At: 10 * time.Millisecond, Copy: 1, Counted: true}, {At: 20 * time.Millisecond, Copy: 0, Counted: true}}
		made := load.Run(t.Context(), &slow{takes: 30 * time.Millisecond}, tracker, plan, nil)
		if made.Changes != 3 || made.Late != 40*time.Millisecond {
			t.Errorf("made %+v", made)
		}
		begin := time.Now().Add(-90 * time.Millisecond)
		if all, counted := tracker.Unseen(); all != 3 || counted != 3 {
			t.Errorf("%d and %d changes are unseen before anything was published", all, counted)
		}
		tracker.Published(0, fleet.First, begin.Add(95*time.Millisecond)) // published before
		tracker.Published(0, fleet.First+2, begin.Add(100*time.Millisecond))
		tracker.Published(1, fleet.First+1, begin.Add(110*time.Millisecond))
		want := []time.Duration{80 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond}
		if got := tracker.Latencies(0); !slices.Equal(got, want) {
			t.Errorf("latencies %v, want %v", got, want)
		}
		if all, _ := tracker.Unseen(); all != 0 {
			t.Errorf("%d changes are unseen", all)
		}
		if got := tracker.PatchesIn(begin, begin.Add(120*time.Millisecond), 2); !slices.Equal(got, []float64{0, 3}) {
			t.Errorf("patches over time %v", got)
		}
	})
}

func TestTroubleBeginsWithTheSecondHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, plan := planned(scenario.Faulty, scenario.Load{Rate: 10, Silent: 1, For: lasting(2 * time.Second)})
		w := &slow{}
		var at int
		load.Run(t.Context(), w, load.NewTracker(fleet.Shape{Objects: 40, Copies: 2, SyncTargets: 4}), plan, func() { at = len(w.changes) })
		if at < len(plan)/2-1 || at > len(plan)/2+1 {
			t.Errorf("trouble began after %d of %d changes", at, len(plan))
		}
	})
}

func TestAFloodStopsWhereChangesAreNotSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shape := fleet.Shape{Objects: 100, Copies: 1, SyncTargets: 1}
		tracker, w := load.NewTracker(shape), &slow{}
		made := load.Flood(t.Context(), w, tracker, scenario.Scenario{Shape: shape, Load: scenario.Load{Unseen: 30, For: lasting(time.Second)}})
		if made.Changes != 30 {
			t.Errorf("%d changes though at most 30 may be unseen", made.Changes)
		}
		made = load.Flood(t.Context(), w, load.NewTracker(shape), scenario.Scenario{Shape: shape, Load: scenario.Load{Once: true}})
		slices.Sort(w.changes[30:])
		if made.Changes != 100 || w.changes[30] != 0 || w.changes[129] != 99 {
			t.Errorf("%d changes of 100 copies, each once", made.Changes)
		}
	})
}
