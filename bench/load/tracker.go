package load

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/upstreamd/upstreamd/bench/fleet"
)

// Tracker finds, for every change, when it was first published: the published status tells how many changes of the
// object are in it (fleet.First).
type Tracker struct {
	shape   fleet.Shape
	shards  [64]shard
	mu      sync.Mutex
	phases  [2][]time.Duration
	patches []time.Time

	unseen, unseenCounted atomic.Int64
}

type shard struct {
	sync.Mutex
	objects map[int]*object
}

type object struct {
	changes   int64 // made so far
	published int64 // the most that was to be seen
	pending   []pending
}

type pending struct {
	number   int64
	intended time.Time
	phase    int
	counted  bool
}

// NewTracker makes a tracker of a world in which nothing has changed yet.
func NewTracker(shape fleet.Shape) *Tracker {
	t := &Tracker{shape: shape}
	for i := range t.shards {
		t.shards[i].objects = map[int]*object{}
	}
	return t
}

func (t *Tracker) object(number int) (*object, func()) {
	s := &t.shards[number%len(t.shards)]
	s.Lock()
	o := s.objects[number]
	if o == nil {
		o = &object{}
		s.objects[number] = o
	}
	return o, s.Unlock
}

// Made notes a change, right before it is made.
func (t *Tracker) Made(c Change, intended time.Time) {
	o, done := t.object(t.shape.Object(c.Copy))
	defer done()
	o.changes++
	t.unseen.Add(1)
	if c.Counted {
		t.unseenCounted.Add(1)
	}
	o.pending = append(o.pending, pending{o.changes, intended, c.Phase, c.Counted})
}

// Published notes how many replicas an upstream object was given.
func (t *Tracker) Published(number int, replicas int64, at time.Time) {
	o, done := t.object(number)
	changes := replicas - int64(t.shape.Copies*fleet.First)
	o.published = max(o.published, changes)
	n := 0
	for n < len(o.pending) && o.pending[n].number <= changes {
		n++
	}
	seen := slices.Clone(o.pending[:n])
	if o.pending = slices.Delete(o.pending, 0, n); len(o.pending) == 0 {
		o.pending = nil
	}
	done()
	t.unseen.Add(-int64(n))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.patches = append(t.patches, at)
	for _, p := range seen {
		if p.counted {
			t.unseenCounted.Add(-1)
			t.phases[p.phase] = append(t.phases[p.phase], at.Sub(p.intended))
		}
	}
}

// Unseen is the number of changes that are not published, and of those among them that count for latency.
func (t *Tracker) Unseen() (all, counted int) {
	return int(t.unseen.Load()), int(t.unseenCounted.Load())
}

// Latencies are those of a phase, sorted.
func (t *Tracker) Latencies(phase int) []time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	sorted := slices.Clone(t.phases[phase])
	slices.Sort(sorted)
	return sorted
}

// PatchesIn counts patches in equal parts of the time from begin to end.
func (t *Tracker) PatchesIn(begin, end time.Time, parts int) []float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := make([]float64, parts)
	for _, at := range t.patches {
		if i := int(float64(at.Sub(begin)) / float64(end.Sub(begin)) * float64(parts)); at.After(begin) && i < parts {
			counts[i]++
		}
	}
	return counts
}
