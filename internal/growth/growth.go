// Package growth compares the CPU time that one piece of work takes among few things with the time that it takes among ten times as many.
// The cost of an event has to follow the objects that the event concerns, not all objects: then the ratio stays near 1.
//
// Both sizes are measured in one run, in alternating rounds, so that a busy or slow machine changes both. CPU time is that of the process
// (clock_gettime); the garbage collector is off while a round is measured and runs between rounds, so that its cost, which follows the size of
// the heap, is in neither.
//
// Long work goes on in short Steps, so that no message blocks an actor for long: the longest one is measured as well.
package growth

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// Case is one piece of work at two sizes.
type Case struct {
	Name         string // the work, and the things that grow in number
	Small, Large int    // how many things there are besides
	Bound        float64
	// New sets up the work among size things. step does it once, and leaves as many things as it found. Each call of New returns a step of
	// its own.
	New func(size int) (step func(), err error)
}

// Result holds the measurements of a case.
type Result struct {
	Case
	Few, Many time.Duration // CPU time of one step in the fastest round: other work on the machine slows some
}

// Ratio is by how much one step takes longer among many things.
func (r Result) Ratio() float64 { return float64(r.Many) / float64(r.Few) }

// Exceeded reports whether the ratio is above its bound.
func (r Result) Exceeded() bool { return r.Ratio() > r.Bound }

// Runner says how thoroughly cases are measured.
type Runner struct {
	Rounds int           // of each size; up to three times as many while the ratio is above its bound
	Runs   int           // of a Turn
	Round  time.Duration // least CPU time of one round of the smaller size: the resolution of the clock is about 1 µs
}

// Thorough tells a ratio of 1.3 from one of 1.5 on a machine that others use too.
var Thorough = Runner{Rounds: 15, Runs: 3, Round: 10 * time.Millisecond}

const mostSteps = 1 << 20 // in one round

// Run measures one case.
func (u Runner) Run(c Case) (Result, error) {
	few, err := c.New(c.Small)
	if err != nil {
		return Result{}, fmt.Errorf("set up %q with %d: %w", c.Name, c.Small, err)
	}
	many, err := c.New(c.Large)
	if err != nil {
		return Result{}, fmt.Errorf("set up %q with %d: %w", c.Name, c.Large, err)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	steps := u.stepsFor(few)
	measure(many, max(1, steps/u.Rounds)) // warms caches
	r := Result{Case: c, Few: measure(few, steps), Many: measure(many, steps)}
	for round := 1; round < u.Rounds || round < 3*u.Rounds && r.Exceeded(); round++ { // more of them if the machine is busy
		r.Few, r.Many = min(r.Few, measure(few, steps)), min(r.Many, measure(many, steps))
	}
	return r, nil
}

// stepsFor is how many steps make a round long enough to be measured.
func (u Runner) stepsFor(step func()) int {
	for n := 1; ; n *= 2 {
		if took := measure(step, n) * time.Duration(n); took >= u.Round || n >= mostSteps {
			return n
		}
	}
}

// measure is the CPU time of one step, by n of them.
func measure(step func(), n int) time.Duration {
	collect()
	from := cpu(unix.CLOCK_PROCESS_CPUTIME_ID)
	for range n {
		step()
	}
	return (cpu(unix.CLOCK_PROCESS_CPUTIME_ID) - from) / time.Duration(n)
}

// collect frees garbage. Among a million objects this takes a second, so it waits until half of the heap is garbage.
func collect() {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(heap)
	if heap[0].Value.Uint64() > 2*heap[1].Value.Uint64() {
		runtime.GC()
	}
}

// Turn is work in many Steps, of which none may take long.
type Turn struct {
	Name  string // the work, and the things that there are many of
	Size  int    // how many
	Bound time.Duration
	// New sets up the work among size things. run does it once, in the same Steps each time, and returns the CPU time of each.
	New func(size int) (run func() []time.Duration, err error)
}

// Longest measures the Step that takes longest, each by the fastest of its runs: a busy machine delays some Steps of each.
func (u Runner) Longest(c Turn) (longest time.Duration, steps int, err error) {
	run, err := c.New(c.Size)
	if err != nil {
		return 0, 0, fmt.Errorf("set up %q: %w", c.Name, err)
	}
	fastest := run()
	for range u.Runs - 1 {
		runtime.GC()
		again := run()
		if len(again) != len(fastest) {
			return 0, 0, fmt.Errorf("%q: %d Steps, then %d", c.Name, len(fastest), len(again))
		}
		for i, took := range again {
			fastest[i] = min(fastest[i], took)
		}
	}
	return slices.Max(fastest), len(fastest), nil
}

// cpu is the CPU time that the process, or the thread, has taken.
func cpu(clock int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		panic(fmt.Sprintf("clock_gettime: %v", err)) // it fails only for bad arguments
	}
	return time.Duration(t.Nano())
}

// Report runs all cases and turns, and prints two tables. exceeded names those above their bounds.
func (u Runner) Report(w io.Writer, cases []Case, turns []Turn) (exceeded []string, err error) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	verdict := func(name string, above bool) string {
		if !above {
			return ""
		}
		exceeded = append(exceeded, name)
		return "EXCEEDED"
	}
	if len(cases) > 0 {
		_, _ = fmt.Fprintln(table, "work\t×1\tCPU\t×10\tCPU\tratio\tbound\t")
	}
	for _, c := range cases {
		r, err := u.Run(c)
		if err != nil {
			return nil, err
		}
		_, _ = fmt.Fprintf(table, "%s\t%d\t%v\t%d\t%v\t%.2f\t%.1f\t%s\n", c.Name, c.Small, r.Few, c.Large, r.Many, r.Ratio(), c.Bound, verdict(c.Name, r.Exceeded()))
	}
	if len(turns) > 0 {
		_, _ = fmt.Fprintln(table, "\nwork\tamong\tSteps\tlongest\tbound\t")
	}
	for _, t := range turns {
		longest, steps, err := u.Longest(t)
		if err != nil {
			return nil, err
		}
		_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%v\t%v\t%s\n", t.Name, t.Size, steps, longest, t.Bound, verdict(t.Name, longest > t.Bound))
	}
	return exceeded, table.Flush()
}
