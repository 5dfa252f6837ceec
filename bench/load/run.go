package load

import (
	"context"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/upstreamd/upstreamd/bench/measure"
	"github.com/upstreamd/upstreamd/bench/scenario"
)

// World takes the load.
type World interface {
	Change(number int) (changes int) // of a copy
	Waiting() int                    // unread events
}

// Made counts the changes of a load.
type Made struct {
	Changes int
	Took    time.Duration
	CPU     time.Duration // of the generator itself
	Late    time.Duration // the most that a change was made after its time
}

// Run makes planned changes at their times. At the second half, troubled is called.
func Run(ctx context.Context, w World, t *Tracker, plan []Change, troubled func()) Made {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin, cpu := time.Now(), measure.Thread()
	made := Made{}
	for _, c := range plan {
		if c.Phase == 1 && troubled != nil {
			troubled()
			troubled = nil
		}
		intended := begin.Add(c.At)
		if wait := time.Until(intended); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return made
			}
		}
		made.Late = max(made.Late, time.Since(intended))
		t.Made(c, intended)
		w.Change(c.Copy)
		made.Changes++
	}
	made.Took, made.CPU = time.Since(begin), measure.Thread()-cpu
	return made
}

// ahead is how many events a flood may be ahead of its readers.
const ahead = 4096

// Flood makes changes as fast as they are read, or as fast as they are to be seen upstream but for a number, for so long or until
// each copy has changed once.
func Flood(ctx context.Context, w World, t *Tracker, s scenario.Scenario) Made {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin, cpu := time.Now(), measure.Thread()
	made := Made{}
	order := rand.New(rand.NewPCG(1, 2)).Perm(s.Shape.Total()) //nolint:gosec // the same load each time
	room := func() int {
		if s.Load.Unseen == 0 {
			return ahead - w.Waiting()
		}
		unseen, _ := t.Unseen()
		return s.Load.Unseen - unseen
	}
	more := func() bool {
		if s.Load.Once {
			return made.Changes < len(order)
		}
		return time.Since(begin) < s.Load.For.Duration
	}
	for ctx.Err() == nil && more() {
		n := min(room(), 256)
		if n <= 0 {
			time.Sleep(time.Millisecond)
			continue
		}
		for ; n > 0 && more(); n-- {
			c := Change{Copy: order[made.Changes%len(order)]}
			t.Made(c, time.Now())
			w.Change(c.Copy)
			made.Changes++
		}
	}
	made.Took, made.CPU = time.Since(begin), measure.Thread()-cpu
	return made
}
