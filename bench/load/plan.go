// Package load makes changes at the times that were planned for them, whether anybody keeps up or not, and measures from those times:
// a slow system cannot hide its latency by slowing its clients down.
package load

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/upstreamd/upstreamd/bench/fleet"
	"github.com/upstreamd/upstreamd/bench/scenario"
)

// Change is one change of one copy.
type Change struct {
	At      time.Duration // since the load began
	Copy    int
	Phase   int  // 0; 1 in the second half of loads that have two
	Counted bool // its latency counts
}

// Plan lists all changes of an open-loop load, in order.
func Plan(s scenario.Scenario) []Change {
	p := planner{shape: s.Shape, load: s.Load, dice: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // the same load each time
	switch s.Load.Pattern {
	case scenario.Burst:
		p.inTurns(max(1, s.Shape.Copies), func(object, n int) int { return object*s.Shape.Copies + n })
	case scenario.Hammer:
		p.inTurns(s.Load.Changes, func(object, _ int) int { return object * s.Shape.Copies })
	case scenario.RollOut:
		p.inTurns(s.Load.Changes*s.Shape.Copies, func(object, n int) int { return object*s.Shape.Copies + n%s.Shape.Copies })
	case scenario.Noisy, scenario.Faulty:
		p.twoPhases()
	default:
		p.steady(s.Load.Rate, s.Load.For.Duration, func(int) bool { return true }, func(Change) Change { return Change{Counted: true} })
	}
	slices.SortStableFunc(p.changes, func(a, b Change) int { return cmp.Compare(a.At, b.At) })
	return p.changes
}

type planner struct {
	shape   fleet.Shape
	load    scenario.Load
	dice    *rand.Rand
	changes []Change
}

// steady spreads changes evenly over the copies that are chosen, each in its turn, in an order without a pattern.
func (p *planner) steady(rate float64, over time.Duration, of func(object int) bool, as func(Change) Change) {
	var copies []int
	for _, number := range p.dice.Perm(p.shape.Total()) {
		if of(p.shape.Object(number)) {
			copies = append(copies, number)
		}
	}
	for n := range int(rate * over.Seconds()) {
		at := time.Duration(math.Round(float64(n) * float64(time.Second) / rate))
		c := as(Change{At: at})
		c.At, c.Copy = at, copies[n%len(copies)]
		p.changes = append(p.changes, c)
	}
}

// inTurns gives one object after the other its changes, spread over a moment.
func (p *planner) inTurns(changes int, of func(object, n int) int) {
	order := p.dice.Perm(p.shape.Objects)
	for turn := range int(p.load.For.Duration / p.load.Every.Duration) {
		begin := time.Duration(turn) * p.load.Every.Duration
		for n := range changes {
			at := begin + p.load.Within.Duration*time.Duration(n)/time.Duration(changes)
			p.changes = append(p.changes, Change{At: at, Copy: of(order[turn%len(order)], n), Counted: true})
		}
	}
}

// twoPhases plans a calm first half and a troubled second one. Only objects that the trouble should not affect count. A noisy workspace or
// SyncTarget floods in the second half; a slow or silent one goes on changing as before.
func (p *planner) twoPhases() {
	half := p.load.For.Duration / 2
	phase := func(c Change) Change {
		c.Counted = true
		if c.At >= half {
			c.Phase = 1
		}
		return c
	}
	p.steady(p.load.Rate, p.load.For.Duration, func(object int) bool { return !p.troubled(object) }, phase)
	uncounted := func(Change) Change { return Change{} }
	if p.load.Pattern == scenario.Faulty {
		p.steady(p.load.Rate, p.load.For.Duration, p.troubled, uncounted)
		return
	}
	quiet := len(p.changes)
	p.steady(p.load.Noise, half, p.troubled, uncounted)
	for i := range p.changes[quiet:] {
		p.changes[quiet+i].At += half
	}
}

// troubled objects are in the noisy or slow workspace, which is the first, or have a copy on a SyncTarget that is noisy or falls silent.
func (p *planner) troubled(object int) bool { return Troubled(p.shape, p.load, object) }

// Troubled reports whether a load's trouble concerns an object.
func Troubled(shape fleet.Shape, l scenario.Load, object int) bool {
	targets := max(l.Silent, l.Noisy)
	if targets == 0 {
		return shape.WorkspaceOf(object) == 0
	}
	for c := range shape.Copies {
		if shape.SyncTarget(object*shape.Copies+c) < targets {
			return true
		}
	}
	return false
}
