// Package runner takes a subject through a scenario and measures.
package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/upstreamd/upstreamd/bench/arena"
	"github.com/upstreamd/upstreamd/bench/load"
	"github.com/upstreamd/upstreamd/bench/measure"
	"github.com/upstreamd/upstreamd/bench/report"
	"github.com/upstreamd/upstreamd/bench/scenario"
	"github.com/upstreamd/upstreamd/bench/subject"
	"github.com/upstreamd/upstreamd/bench/wire"
)

const (
	settleFor  = 10 * time.Minute // the longest that a start may take
	catchUpFor = 60 * time.Second // the longest that is waited for changes to be seen after a load
	silence    = 3 * time.Second  // without a PATCH: nothing more will come
	tick       = 100 * time.Millisecond
	idleTicks  = 6 // in a row: all is idle
)

// Options are the flags of the command line.
type Options struct {
	arena.Options
	Self     string                                // this program, to run subjects in processes of their own
	Progress func(format string, args ...any)      // one line at a time
	Profile  func(begin bool, during string) error // called around the load, if a profile is wanted
}

// attempt is one subject in one scenario.
type attempt struct {
	Options
	scenario scenario.Scenario
	name     string
	arena    arena.Arena
	tracker  *load.Tracker
	subject  handle
	out      *report.Result

	mu     sync.Mutex
	errors map[string]int
}

// Attempt measures a subject in a scenario.
func Attempt(ctx context.Context, s scenario.Scenario, name string, o Options) (*report.Result, error) {
	a := &attempt{
		Options: o, scenario: s, name: name, tracker: load.NewTracker(s.Shape), errors: map[string]int{},
		out: &report.Result{Scenario: s.Name, Subject: name, Figures: map[string]float64{}},
	}
	var err error
	if a.arena, err = arena.Open(ctx, s, o.Options); err != nil {
		return nil, fmt.Errorf("putting up the servers: %w", err)
	}
	defer a.arena.Close()
	a.arena.OnPatch(func(p wire.Patch) {
		if p.Code == 200 {
			a.tracker.Published(p.Object, p.Replicas, p.At)
		}
	})
	if err := a.run(ctx); err != nil {
		return nil, err
	}
	for text, n := range a.errors {
		a.out.Errors = append(a.out.Errors, fmt.Sprintf("%d× %s", n, text))
	}
	return a.out, nil
}

func (a *attempt) run(ctx context.Context) error {
	took, err := a.start(ctx)
	if err != nil {
		return err
	}
	a.figure("firstSeconds", took.Seconds())
	switch {
	case a.name == subject.Informers: // they publish nothing
		defer a.subject.stop(ctx)
		return a.held(0, took)
	case a.scenario.Load.Pattern == scenario.Start:
		return a.again(ctx)
	}
	defer a.subject.stop(ctx)
	if err := a.underLoad(ctx); err != nil {
		return err
	}
	if a.name == subject.Bare {
		return nil
	}
	return a.check()
}

func (a *attempt) figure(name string, value float64) { a.out.Figures[name] = value }

// start starts the subject and waits until it has nothing to do any more. The bare loop never has.
func (a *attempt) start(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	var err error
	if a.subject, err = a.begin(ctx); err != nil {
		return 0, fmt.Errorf("starting %s: %w", a.name, err)
	}
	if a.name == subject.Bare {
		return 0, sleep(ctx, time.Second)
	}
	at, err := a.settle(ctx, settleFor)
	return at.Sub(begin), err
}

// settle waits until all events are read, no PATCH comes and the subject's CPU rests. It returns when that began.
func (a *attempt) settle(ctx context.Context, within time.Duration) (since time.Time, err error) {
	var idle int
	calls, before := a.arena.Calls(), a.subject.usage()
	for deadline := time.Now().Add(within); time.Now().Before(deadline); {
		if idle == 0 {
			since = time.Now()
		}
		if err := sleep(ctx, tick); err != nil {
			return since, err
		}
		nowCalls, now := a.arena.Calls(), a.subject.usage()
		if a.arena.Waiting() == 0 && nowCalls == calls && now.CPU-before.CPU <= tick/5 {
			idle++
		} else {
			idle = 0
		}
		calls, before = nowCalls, now
		if idle == idleTicks {
			return since, nil
		}
	}
	return since, fmt.Errorf("%s was still busy after %v", a.name, within)
}

// underLoad puts the load on and measures until its last change is to be seen.
func (a *attempt) underLoad(ctx context.Context) error {
	s := a.scenario
	var plan []load.Change
	if s.Load.Pattern != scenario.Flood {
		plan = load.Plan(s)
	}
	if err := a.profile(true); err != nil {
		return err
	}
	from := a.snapshot()
	var made load.Made
	switch {
	case a.name == subject.Bare:
		if err := sleep(ctx, s.Load.For.Duration); err != nil {
			return err
		}
	case plan == nil:
		made = load.Flood(ctx, a.arena, a.tracker, s)
	default:
		made = load.Run(ctx, a.arena, a.tracker, plan, a.trouble)
	}
	a.Progress("%s: %d changes made in %.1f s, waiting for them to be seen", a.name, made.Changes, made.Took.Seconds())
	if a.name != subject.Bare {
		if err := a.catchUp(ctx); err != nil {
			return err
		}
	}
	to := a.snapshot()
	if err := a.profile(false); err != nil {
		return err
	}
	for target := range s.Load.Silent {
		a.arena.Silence(target, false)
	}
	if a.scenario.Load.Delay.Duration > 0 {
		a.arena.Delay(func(int) time.Duration { return 0 })
	}
	a.figures(from, to, made)
	return ctx.Err()
}

// trouble begins the trouble of the second half.
func (a *attempt) trouble() {
	for target := range a.scenario.Load.Silent {
		a.arena.Silence(target, true)
	}
	if d := a.scenario.Load.Delay.Duration; d > 0 {
		a.arena.Delay(func(workspace int) time.Duration {
			if workspace == 0 {
				return d
			}
			return 0
		})
	}
}

// catchUp waits until all changes are published, or nothing moves any more.
func (a *attempt) catchUp(ctx context.Context) error {
	calls, moved := a.arena.Calls(), time.Now()
	faulty := a.scenario.Load.Pattern == scenario.Faulty
	for begin := time.Now(); time.Since(begin) < catchUpFor; {
		unseen, counted := a.tracker.Unseen()
		if unseen == 0 || counted == 0 && (faulty || a.scenario.Load.Pattern == scenario.Noisy) {
			return nil
		}
		if now := a.arena.Calls(); now != calls {
			calls, moved = now, time.Now()
		}
		if time.Since(moved) > silence && (faulty || a.arena.Waiting() == 0) {
			return nil
		}
		if err := sleep(ctx, tick/10); err != nil {
			return err
		}
	}
	return nil
}

// check waits until all is quiet again, and compares the published statuses with the copies.
func (a *attempt) check() error {
	deadline := time.Now().Add(catchUpFor)
	for {
		wrong, first := a.arena.Check()
		if wrong == 0 || time.Now().After(deadline) {
			a.figure("wrongObjects", float64(wrong))
			if first != nil {
				a.out.Wrong = first.Error()
			}
			return nil
		}
		if a.name != subject.Upstreamd && a.scenario.Shape.Copies > 1 {
			deadline = time.Now() // it does not add up, and never will
		}
		time.Sleep(tick)
	}
}

// again stops the subject and starts another over the published statuses: nothing has changed, and nothing is to be written.
func (a *attempt) again(ctx context.Context) error {
	if err := a.check(); err != nil {
		return err
	}
	if _, here := a.arena.World(); !here {
		heap, err := a.subject.heap()
		if err != nil {
			return err
		}
		a.figure("heapBytesPerObjectAfterWrites", float64(heap)/float64(a.scenario.Shape.Total()))
	}
	a.Progress("%s: published once, starting anew", a.name)
	a.subject.stop(ctx)
	a.subject = nil // else its heap would count as the heap before
	before := int64(0)
	if _, here := a.arena.World(); here {
		before = measure.LiveHeap()
	}
	calls := a.arena.Calls()
	if err := a.profile(true); err != nil {
		return err
	}
	took, err := a.start(ctx)
	if err != nil {
		return err
	}
	defer a.subject.stop(ctx)
	if err := a.profile(false); err != nil {
		return err
	}
	a.figure("startPatches", float64(a.arena.Calls().Patches-calls.Patches))
	return a.held(before, took)
}

// held measures the cost of a start, and the memory after it. Before is the heap of everything but the subject.
func (a *attempt) held(before int64, took time.Duration) error {
	objects := float64(a.scenario.Shape.Total())
	u := a.subject.usage()
	heap, err := a.subject.heap()
	if err != nil {
		return err
	}
	a.figure("startSeconds", took.Seconds())
	a.figure("startCPUSeconds", u.CPU.Seconds())
	a.figure("heapMiB", float64(heap-before)/(1<<20))
	a.figure("heapBytesPerObject", float64(heap-before)/objects)
	a.figure("rssMiB", float64(u.RSS)/(1<<20))
	a.figure("peakRSSMiB", float64(u.PeakRSS)/(1<<20))
	a.figure("rssBytesPerObject", float64(u.RSS)/objects)
	a.figure("objects", objects)
	return nil
}

// profile begins or ends profiles, if they are wanted.
func (a *attempt) profile(begin bool) error {
	if a.Profile == nil {
		return nil
	}
	return a.Profile(begin, a.scenario.Name)
}

func (a *attempt) failed(err error) {
	text := err.Error()
	if len(text) > 200 {
		text = text[:200]
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.errors) < 5 || a.errors[text] > 0 {
		a.errors[text]++
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errEnded = errors.New("the subject's process ended")
