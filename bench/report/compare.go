package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"golang.org/x/perf/benchmath"

	"github.com/upstreamd/upstreamd/bench/measure"
)

func sortByX(points []measure.Point) {
	slices.SortStableFunc(points, func(a, b measure.Point) int { return cmp.Compare(a.X, b.X) })
}

// Compare writes upstreamd's figures of two runs beside each other: medians, their ratio, and whether the rounds differ by more than
// chance (Mann-Whitney, as benchstat has it; that needs four rounds of each or more). Figures divided by a baseline of the same run
// can be compared between machines.
func Compare(w io.Writer, a, b *Run) error {
	p := printer{w: w}
	p.line("A: %s, %s, %s", a.Date.Format("2006-01-02 15:04"), a.Revision, a.Machine)
	p.line("B: %s, %s, %s\n", b.Date.Format("2006-01-02 15:04"), b.Revision, b.Machine)
	p.cells([]string{"scenario", "subject", "figure", "A", "B", "B/A", ""})
	p.cells(slices.Repeat([]string{"---"}, 7))
	shown := 0
	for _, key := range pairs(a, b) {
		for _, figure := range figuresOf(a, key) {
			from, to := a.Of(key.scenario, key.subject, figure), b.Of(key.scenario, key.subject, figure)
			if len(from) == 0 || len(to) == 0 || Median(from) == Median(to) {
				continue
			}
			ratio := "–"
			if Median(from) != 0 {
				ratio = short(Median(to) / Median(from))
			}
			p.cells([]string{key.scenario, key.subject, figure, format(figure, Median(from)), format(figure, Median(to)), ratio, significance(from, to)})
			shown++
		}
	}
	if shown == 0 {
		p.line("\nThe runs have no scenario in common, or do not differ.")
	}
	return p.err
}

type pair struct{ scenario, subject string }

func pairs(a, b *Run) (out []pair) {
	in := map[pair]bool{}
	for _, one := range b.Results {
		in[pair{one.Scenario, one.Subject}] = true
	}
	for _, one := range a.Results {
		if key := (pair{one.Scenario, one.Subject}); in[key] {
			out = append(out, key)
			in[key] = false
		}
	}
	return out
}

func figuresOf(r *Run, key pair) []string {
	for _, one := range r.Results {
		if one.Scenario == key.scenario && one.Subject == key.subject {
			return slices.Sorted(maps.Keys(one.Figures))
		}
	}
	return nil
}

func significance(a, b []float64) string {
	thresholds := benchmath.DefaultThresholds
	c := benchmath.AssumeNothing.Compare(benchmath.NewSample(a, &thresholds), benchmath.NewSample(b, &thresholds))
	switch {
	case len(a) < 4 || len(b) < 4 || math.IsNaN(c.P):
		return fmt.Sprintf("n=%d+%d", len(a), len(b))
	case c.P > c.Alpha:
		return fmt.Sprintf("~ (p=%.3f n=%d+%d)", c.P, len(a), len(b))
	}
	return fmt.Sprintf("p=%.3f n=%d+%d", c.P, len(a), len(b))
}
