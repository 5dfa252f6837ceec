package aggregate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/upstreamd/upstreamd/internal/policy"
)

// outcome is the way in which a copy ended, or all of them.
type outcome int

const (
	goesOn outcome = iota
	succeeded
	failed
)

// completed are the phases that tell of success in common use. A kind without a policy may go on after them, so nothing is frozen; but the
// worst copy is not one that has completed, and such a phase is published only if all copies have one.
var completed = &policy.Finished{Phase: policy.Path{"phase"}, SuccessPhases: []string{"Succeeded", "Completed", "Complete", "Finished"}}

// endsOf is what tells of an end under a policy; nil: nothing does.
func endsOf(p *policy.Policy) *policy.Finished {
	if p.Finished == nil && p.Strategy == policy.Representative {
		return completed
	}
	return p.Finished
}

// outcomeOf is how a status tells that it ended, and by which condition or phase.
func outcomeOf(f *policy.Finished, status map[string]any) (outcome, string) {
	phase := ""
	if f.Phase != nil {
		phase, _ = lookup(status, f.Phase).(string)
	}
	switch {
	case holds(status, f.Failure):
		return failed, last(f.Failure).String()
	case holds(status, f.Success):
		return succeeded, last(f.Success).String()
	case slices.Contains(f.FailurePhases, phase):
		return failed, phase
	case slices.Contains(f.SuccessPhases, phase):
		return succeeded, phase
	}
	return goesOn, ""
}

// holds reports whether a status has the last of these conditions.
func holds(status map[string]any, ends []policy.End) bool {
	return len(ends) > 0 && matches(status, last(ends))
}

func matches(status map[string]any, e policy.End) bool {
	return text(find(status, topConditions, e.Type), "status") == e.Status
}

// endedBy makes the status of a copy that ended by a condition or phase at a time.
func endedBy(f *policy.Finished, name, at string) (status map[string]any, ok bool) {
	status = map[string]any{}
	for _, ends := range [...][]policy.End{f.Success, f.Failure} {
		if len(ends) == 0 || last(ends).String() != name {
			continue
		}
		var conditions []any
		for _, e := range ends {
			conditions = append(conditions, map[string]any{"type": e.Type, "status": e.Status, "reason": "", "message": "", "lastTransitionTime": at})
		}
		status["conditions"] = conditions
		return status, true
	}
	if !slices.Contains(f.SuccessPhases, name) && !slices.Contains(f.FailurePhases, name) {
		return nil, false
	}
	set(status, f.Phase, name)
	return status, true
}

// ending is the end of all; its conditions are none while it goes on.
type ending struct {
	outcome
	conditions []policy.End
}

// isOver reports whether an end is published.
func (d *decider) isOver() bool {
	if d.p.Finished == nil {
		return false
	}
	end, _ := outcomeOf(d.p.Finished, d.in.Published)
	return end != goesOn
}

// end finds out whether all has ended, now that the other fields are decided, and drops the fields that are published with success only.
func (d *decider) end() ending {
	f := d.finished
	if f == nil {
		return ending{}
	}
	end := d.outcome(f)
	for _, path := range f.OnSuccess {
		value := lookup(d.out.Status, path)
		if end.outcome != succeeded {
			value = nil
		}
		for _, needed := range f.Needs { // clocks of clusters differ: no end before its beginning
			if value != nil {
				value = later(value, lookup(d.out.Status, needed))
			}
		}
		set(d.out.Status, path, value)
	}
	d.endPhase(f, end.outcome)
	return end
}

// endPhase publishes the phase of an end when all have ended, and until then that of a copy that goes on.
func (d *decider) endPhase(f *policy.Finished, end outcome) {
	isEnd := func(phase any) bool {
		s, _ := phase.(string)
		return slices.Contains(f.SuccessPhases, s) || slices.Contains(f.FailurePhases, s)
	}
	if f.Phase == nil || d.base != nil && d.base == d.named() { // the owner asks for that copy, whatever the others do
		return
	}
	value := lookup(d.out.Status, f.Phase)
	if end == goesOn && !isEnd(value) {
		return
	}
	if value = d.published(f.Phase); isEnd(value) {
		value = nil
	}
	for _, v := range d.views {
		one, _ := outcomeOf(f, v.status())
		if phase := lookup(v.status(), f.Phase); one == end && phase != nil && (end != goesOn || value == nil) {
			value = phase
			break
		}
	}
	set(d.out.Status, f.Phase, value)
}

// hasEnded reports whether a copy of the present generation has ended.
func (d *decider) hasEnded(s *Source) bool {
	if d.finished == nil || !s.CaughtUp {
		return false
	}
	end, _ := outcomeOf(d.finished, s.status())
	return end != goesOn
}

func (d *decider) outcome(f *policy.Finished) ending {
	if len(d.views) < len(d.in.Sources) || slices.ContainsFunc(d.views, func(v *Source) bool { return !d.hasEnded(v) }) {
		return ending{}
	}
	failure := slices.ContainsFunc(d.views, func(v *Source) bool { end, _ := outcomeOf(f, v.status()); return end == failed })
	absent := func(path policy.Path) bool { return lookup(d.out.Status, path) == nil }
	busy := func(path policy.Path) bool { n, ok := lookup(d.out.Status, path).(int64); return ok && n != 0 }
	if slices.ContainsFunc(f.Needs, absent) || slices.ContainsFunc(f.Idle, busy) {
		return ending{}
	}
	// Conditions of either end that are published can't be taken back.
	bound := func(ends []policy.End) bool {
		return slices.ContainsFunc(ends, func(e policy.End) bool { return matches(d.in.Published, e) })
	}
	switch {
	case (failure || bound(f.Failure)) && bound(f.Success):
		return ending{}
	case failure || bound(f.Failure):
		return ending{failed, f.Failure}
	case slices.ContainsFunc(f.OnSuccess, absent):
		return ending{}
	}
	return ending{succeeded, f.Success}
}

// isTerminal reports whether a condition tells of an end.
func (d *decider) isTerminal(kind string) bool {
	f := d.finished
	return f != nil && slices.ContainsFunc(slices.Concat(f.Success, f.Failure), func(e policy.End) bool { return e.Type == kind })
}

// terminal adds the conditions of the end, and those of them that are published: they can't be taken back.
func (c *conditionList) terminal(end ending) {
	f := c.p.Finished
	if f == nil {
		return
	}
	var done []string
	for _, e := range slices.Concat(f.Success, f.Failure) {
		if slices.Contains(done, e.Type) {
			continue
		}
		done = append(done, e.Type)
		published := find(c.in.Published, c.path, e.Type)
		i := slices.IndexFunc(end.conditions, func(of policy.End) bool { return of.Type == e.Type })
		switch {
		case slices.Contains(f.Success, policy.End{Type: e.Type, Status: text(published, "status")}),
			slices.Contains(f.Failure, policy.End{Type: e.Type, Status: text(published, "status")}):
			c.add(published)
		case i >= 0:
			c.add(c.ending(end.conditions[i], end))
		case slices.Contains(f.Success, policy.End{Type: e.Type, Status: "True"}) && slices.Contains(f.Failure, policy.End{Type: e.Type, Status: "False"}):
			c.add(c.going(e.Type, published))
		}
	}
}

// going is a condition whose True and False are ends, while it goes on.
func (c *conditionList) going(kind string, published map[string]any) map[string]any {
	var votes []vote
	for _, v := range c.views {
		if entry := find(v.status(), c.path, kind); text(entry, "status") == "Unknown" && !c.hasEnded(v) {
			votes = append(votes, vote{kind: kind, entry: entry, source: v})
		}
	}
	if len(votes) == 0 {
		return nil
	}
	return c.entry(kind, "Unknown", votes, votes, published)
}

// ending is one condition of the end, made from the SyncTargets that ended so. A failure names them.
func (c *conditionList) ending(e policy.End, end ending) map[string]any {
	var votes []vote
	for _, v := range c.views {
		for _, of := range [...]policy.End{e, last(end.conditions)} { // clusters of older versions have the last one only
			if entry := find(v.status(), c.path, of.Type); text(entry, "status") == of.Status {
				votes = append(votes, vote{entry: entry, source: v})
				break
			}
		}
	}
	failures := end.outcome == failed && len(votes) > 0
	if len(votes) == 0 { // no SyncTarget ended so, but the published condition binds
		i := slices.IndexFunc(end.conditions, func(e policy.End) bool { return matches(c.in.Published, e) })
		if i < 0 {
			return nil
		}
		votes = []vote{{entry: find(c.in.Published, c.path, end.conditions[i].Type), source: &Source{}}}
	}
	entry := c.entry(e.Type, e.Status, votes, votes, nil)
	if failures {
		entry["message"] = together(fmt.Sprintf("%d/%d SyncTargets failed: ", len(votes), len(c.in.Sources)), votes)
	}
	return entry
}

// ends is winner for terminal types of kinds without a policy on their end: such a condition is absent until every placed SyncTarget has
// ended with a current copy. One failure is enough to fail.
func (c *conditionList) ends(votes []vote) (status string, decided bool) {
	if c.held || len(votes) == 0 {
		return "", false
	}
	for i := range votes {
		votes[i].status, votes[i].reason = text(votes[i].entry, "status"), "" // an end is final, stale or not
	}
	sources := c.scope
	if !c.copied {
		if len(c.views) < len(c.in.Sources) {
			return "", true
		}
		sources = c.views
	}
	if c.copied && votes[0].status != "True" {
		return votes[0].status, true
	}
	if slices.ContainsFunc(sources, func(s *Source) bool { return !s.CaughtUp || !ends(c.p, s.status(), c.path) }) {
		return "", true
	}
	different := slices.ContainsFunc(votes, func(v vote) bool { return v.status != votes[0].status })
	switch failure := strings.HasSuffix(votes[0].kind, "Failed"); {
	case !different:
		return votes[0].status, true
	case failure && slices.ContainsFunc(votes, func(v vote) bool { return v.status == "True" }):
		return "True", true
	}
	return "", true
}

// Ends reports whether a status tells of an end.
func Ends(p *policy.Policy, status map[string]any) bool {
	if f := p.Finished; f != nil {
		end, _ := outcomeOf(f, status)
		return end != goesOn
	}
	return ends(p, status, topConditions)
}

// ends reports whether a list of conditions has one that is terminal.
func ends(p *policy.Policy, status map[string]any, path policy.Path) bool {
	list, _ := conditionsIn(status, path)
	return slices.ContainsFunc(list, func(item any) bool {
		return text(item, "status") == "True" && p.Conditions.Polarity(text(item, "type")) == policy.Terminal
	})
}

func last[T any](list []T) T { return list[len(list)-1] }
