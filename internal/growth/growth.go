// Package growth compares the CPU time that one piece of work takes among few things with the time that it takes among ten times as many.
// The cost of an event has to follow the objects that the event concerns, not all objects: then the ratio stays near 1.
//
// Both sizes are measured in one run, in alternating rounds, so that a busy or slow machine changes both. CPU time is that of the process
// (getrusage); the garbage collector is off while a round is measured and runs between rounds, so that its cost, which follows the size of
// the heap, is in neither.
package growth

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
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
	Few, Many time.Duration // CPU time of one step, the median of all rounds
}

// Ratio is by how much one step takes longer among many things.
func (r Result) Ratio() float64 { return float64(r.Many) / float64(r.Few) }

// Exceeded reports whether the ratio is above its bound.
func (r Result) Exceeded() bool { return r.Ratio() > r.Bound }

// Runner says how thoroughly cases are measured.
type Runner struct {
	Rounds int           // of each size; an odd number has a median
	Round  time.Duration // least CPU time of one round of the smaller size: the resolution of getrusage is about 1 µs
}

// Thorough tells a ratio of 1.3 from one of 1.5 on a machine that others use too.
var Thorough = Runner{Rounds: 15, Round: 10 * time.Millisecond}

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
	var of, ofMany []time.Duration
	for range u.Rounds {
		of = append(of, measure(few, steps))
		ofMany = append(ofMany, measure(many, steps))
	}
	return Result{Case: c, Few: median(of), Many: median(ofMany)}, nil
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
	runtime.GC()
	from := cpu()
	for range n {
		step()
	}
	return (cpu() - from) / time.Duration(n)
}

// cpu is the CPU time that the process has taken.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(fmt.Sprintf("getrusage: %v", err)) // it fails only for bad arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(of []time.Duration) time.Duration {
	slices.Sort(of)
	return of[len(of)/2]
}

// Report runs all cases and prints a table. exceeded names the cases above their bounds.
func (u Runner) Report(w io.Writer, cases []Case) (exceeded []string, err error) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "work\t×1\tCPU\t×10\tCPU\tratio\tbound\t")
	for _, c := range cases {
		r, err := u.Run(c)
		if err != nil {
			return nil, err
		}
		verdict := ""
		if r.Exceeded() {
			verdict = "EXCEEDED"
			exceeded = append(exceeded, c.Name)
		}
		_, _ = fmt.Fprintf(table, "%s\t%d\t%v\t%d\t%v\t%.2f\t%.1f\t%s\n", c.Name, c.Small, r.Few, c.Large, r.Many, r.Ratio(), c.Bound, verdict)
	}
	return exceeded, table.Flush()
}
