package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/upstreamd/upstreamd/bench/scenario"
	"github.com/upstreamd/upstreamd/bench/subject"
)

// row is one aim and its outcome.
type row struct {
	scenario, says, aim, figure, verdict string
	baselines                            map[string]string
}

// rows are all aims of a run.
func (r *Run) rows() []row {
	var rows []row
	for _, s := range r.Scenarios {
		for _, a := range s.Aims {
			rows = append(rows, r.row(s, a))
		}
	}
	return rows
}

func (r *Run) row(s scenario.Scenario, a scenario.Aim) row {
	own := Median(r.Of(s.Name, subject.Upstreamd, a.Figure))
	out := row{scenario: s.Title, says: a.Says, figure: format(a.Figure, own), aim: bound(a), verdict: "", baselines: map[string]string{}}
	if out.says == "" {
		out.says = a.Figure
	}
	for _, name := range s.Subjects {
		if name == subject.Upstreamd {
			continue
		}
		other := Median(r.Of(s.Name, name, a.Figure))
		if math.IsNaN(other) {
			continue
		}
		text := format(a.Figure, other)
		if other != 0 && !math.IsNaN(own) {
			text += fmt.Sprintf(" (%s×)", short(own/other))
		}
		out.baselines[name] = text
	}
	value := own
	if a.Over != "" {
		value = own / Median(r.Of(s.Name, a.Over, a.Figure))
	}
	out.verdict = verdict(a, value)
	return out
}

func bound(a scenario.Aim) string {
	limit, sign := a.AtLeast, "≥"
	if limit == nil {
		limit, sign = a.AtMost, "≤"
	}
	switch {
	case limit == nil:
		return ""
	case a.Over != "":
		return fmt.Sprintf("%s %s× %s", sign, short(*limit), a.Over)
	}
	return sign + " " + format(a.Figure, *limit)
}

func verdict(a scenario.Aim, value float64) string {
	switch {
	case a.AtLeast == nil && a.AtMost == nil:
		return ""
	case math.IsNaN(value):
		return "not measured"
	case a.AtLeast != nil && value >= *a.AtLeast, a.AtMost != nil && value <= *a.AtMost:
		return "met"
	}
	return "**missed**"
}

// Markdown writes the tables of a run.
func (r *Run) Markdown(w io.Writer) error {
	p := printer{w: w}
	p.line("Set `%s` of %s at revision %s on %s.\n", r.Set, r.Date.Format("2006-01-02 15:04 MST"), r.Revision, r.Machine)
	baselines := r.baselines()
	head := []string{"scenario", "figure", "aim", "upstreamd", ""}
	head = append(head, baselines...)
	p.cells(head)
	p.cells(slices.Repeat([]string{"---"}, len(head)))
	before := ""
	for _, row := range r.rows() {
		title := row.scenario
		if title == before {
			title = ""
		}
		before = row.scenario
		cells := []string{title, row.says, row.aim, row.figure, row.verdict}
		for _, b := range baselines {
			cells = append(cells, row.baselines[b])
		}
		p.cells(cells)
	}
	p.line("\nIn a baseline's column: its figure, and upstreamd's divided by it.")
	r.truth(&p)
	return p.err
}

func (r *Run) baselines() (names []string) {
	for _, name := range []string{subject.Bare, subject.Sketch, subject.Karmada, subject.Reconciler, subject.Informers} {
		if slices.ContainsFunc(r.Results, func(one Result) bool { return one.Subject == name }) {
			names = append(names, name)
		}
	}
	return names
}

// truth lists attempts with wrong statuses in the end, or failed calls.
func (r *Run) truth(p *printer) {
	clean := true
	for _, one := range r.Results {
		if n := one.Figures["wrongObjects"]; n > 0 {
			clean = false
			p.line("- %s, %s: %s objects are not published as they should be in the end, such as %s", one.Scenario, one.Subject, short(n), one.Wrong)
		}
		for _, e := range one.Errors {
			clean = false
			p.line("- %s, %s: %s", one.Scenario, one.Subject, e)
		}
	}
	if clean {
		p.line("\nEvery end state was checked and true, and no call failed.")
	}
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *printer) cells(cells []string) { p.line("| %s |", strings.Join(cells, " | ")) }

// Line sums up a result in one line: the figures that the scenario aims at.
func Line(one Result, s scenario.Scenario) string {
	var parts []string
	for _, a := range s.Aims {
		if v, told := one.Figures[a.Figure]; told {
			parts = append(parts, a.Figure+" "+format(a.Figure, v))
		}
	}
	if n := one.Figures["wrongObjects"]; n > 0 {
		parts = append(parts, fmt.Sprintf("%s objects wrong in the end", short(n)))
	}
	return strings.Join(parts, ", ")
}
