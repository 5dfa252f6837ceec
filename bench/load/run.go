package load

import (
	"context"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/upstreamd/upstreamd/bench/fleet"
	"github.com/upstreamd/upstreamd/bench/measure"
)

// World is what load is put on.
type World interface {
	Change(copy int) (changes int)
	Waiting() int // events that nobody has read
}

// Made is what a load did.
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

// Flood makes changes as fast as they are read, for so long, or until each copy has changed once.
func Flood(ctx context.Context, w World, t *Tracker, shape fleet.Shape, over time.Duration, once bool) Made {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin, cpu := time.Now(), measure.Thread()
	made := Made{}
	order := rand.New(rand.NewPCG(1, 2)).Perm(shape.Total()) //nolint:gosec // the same load each time
	for ctx.Err() == nil && (once && made.Changes < len(order) || !once && time.Since(begin) < over) {
		if w.Waiting() > ahead {
			time.Sleep(time.Millisecond)
			continue
		}
		for range min(256, len(order)) {
			if once && made.Changes == len(order) {
				break
			}
			c := Change{Copy: order[made.Changes%len(order)]}
			t.Made(c, time.Now())
			w.Change(c.Copy)
			made.Changes++
		}
	}
	made.Took, made.CPU = time.Since(begin), measure.Thread()-cpu
	return made
}
