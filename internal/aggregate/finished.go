package aggregate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/upstreamd/upstreamd/internal/policy"
)

// ending holds the conditions of the end; none while it goes on.
type ending struct {
	conditions []string
	failed     bool
}

// ended reports whether the last of these conditions is published as True.
func (d *decider) ended(conditions []string) bool {
	return isTrue(d.in.Published, last(conditions))
}

func isTrue(status map[string]any, condition string) bool {
	return text(find(status, topConditions, condition), "status") == "True"
}

// end finds out whether all has ended, now that the other fields are decided, and drops the fields that are published with success only.
func (d *decider) end() ending {
	f := d.p.Finished
	if f == nil {
		return ending{}
	}
	end := d.outcome(f)
	for _, path := range f.OnSuccess {
		value := lookup(d.out.Status, path)
		if end.conditions == nil || end.failed {
			value = nil
		}
		for _, needed := range f.Needs { // clocks of clusters differ: no end before its beginning
			if value != nil {
				value = later(value, lookup(d.out.Status, needed))
			}
		}
		set(d.out.Status, path, value)
	}
	return end
}

func (d *decider) outcome(f *policy.Finished) ending {
	goesOn := ending{}
	if len(d.views) < len(d.in.Sources) {
		return goesOn
	}
	failed := false
	for _, v := range d.views {
		switch {
		case !v.CaughtUp: // the end of an earlier spec
			return goesOn
		case isTrue(v.status(), last(f.Failure)):
			failed = true
		case !isTrue(v.status(), last(f.Success)):
			return goesOn
		}
	}
	absent := func(path policy.Path) bool { return lookup(d.out.Status, path) == nil }
	busy := func(path policy.Path) bool { n, ok := lookup(d.out.Status, path).(int64); return ok && n != 0 }
	if slices.ContainsFunc(f.Needs, absent) || slices.ContainsFunc(f.Idle, busy) {
		return goesOn
	}
	// Conditions of either end that are published can't be taken back.
	bound := func(conditions []string) bool {
		return slices.ContainsFunc(conditions, func(c string) bool { return isTrue(d.in.Published, c) })
	}
	switch {
	case failed && bound(f.Success), bound(f.Failure) && bound(f.Success):
		return goesOn
	case failed || bound(f.Failure):
		return ending{conditions: f.Failure, failed: true}
	case slices.ContainsFunc(f.OnSuccess, absent):
		return goesOn
	}
	return ending{conditions: f.Success}
}

func (d *decider) isTerminal(condition string) bool {
	f := d.p.Finished
	return f != nil && (slices.Contains(f.Success, condition) || slices.Contains(f.Failure, condition))
}

// terminal adds the conditions of the end, and those of them that are published: they can't be taken back.
func (c *conditionList) terminal(end ending) {
	f := c.p.Finished
	if f == nil {
		return
	}
	for _, kind := range slices.Concat(f.Success, f.Failure) {
		published := find(c.in.Published, c.path, kind)
		switch {
		case text(published, "status") == "True":
			c.add(published)
		case slices.Contains(end.conditions, kind):
			c.add(c.ending(kind, end))
		}
	}
}

// ending is one condition of the end, made from the SyncTargets that ended so. A failure names them.
func (c *conditionList) ending(kind string, end ending) map[string]any {
	var votes []vote
	for _, v := range c.views {
		entry := find(v.status(), c.path, kind)
		if text(entry, "status") != "True" { // clusters of older versions have the last one only
			entry = find(v.status(), c.path, last(end.conditions))
		}
		if text(entry, "status") == "True" {
			votes = append(votes, vote{entry: entry, source: v})
		}
	}
	failed := end.failed && len(votes) > 0
	if len(votes) == 0 { // no SyncTarget ended so, but the published condition binds
		i := slices.IndexFunc(end.conditions, func(kind string) bool { return isTrue(c.in.Published, kind) })
		votes = []vote{{entry: find(c.in.Published, c.path, end.conditions[i]), source: &Source{}}}
	}
	entry := c.entry(kind, "True", votes, votes, nil)
	if failed {
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
	if slices.ContainsFunc(sources, func(s *Source) bool { return !s.CaughtUp || !c.hasEnded(s) }) {
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

// hasEnded reports whether a SyncTarget has any terminal condition.
func (c *conditionList) hasEnded(s *Source) bool { return ends(c.p, s.status(), c.path) }

// Ends reports whether a status tells of an end.
func Ends(p *policy.Policy, status map[string]any) bool { return ends(p, status, topConditions) }

func ends(p *policy.Policy, status map[string]any, path policy.Path) bool {
	list, _ := conditionsIn(status, path)
	return slices.ContainsFunc(list, func(item any) bool {
		return text(item, "status") == "True" && p.Conditions.Polarity(text(item, "type")) == policy.Terminal
	})
}

func last(list []string) string { return list[len(list)-1] }
