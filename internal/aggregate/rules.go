package aggregate

import (
	"slices"

	"github.com/upstreamd/upstreamd/internal/policy"
)

// rule returns the value of one field; nil: none.
func (d *decider) rule(f *policy.Field) (any, error) {
	published := d.published(f.Path)
	if f.Immutable && published != nil || d.heldBack() && f.Rule != policy.RulePrimary && f.Rule != policy.RuleDrop {
		return published, nil
	}
	if reported := d.collect(f.Path); f.RequireAll && reported < d.counted {
		return published, nil
	}
	value, err := d.apply(f, published)
	if value == nil && err == nil && f.Default != nil {
		value = *f.Default
	}
	if !f.Monotonic || err != nil || published == nil {
		return value, err
	}
	return notBelow(published, value), nil
}

// collect reads the value of each view at a path into vals. It returns the number of views that have one.
func (d *decider) collect(path policy.Path) (reported int) {
	for i, v := range d.views {
		d.vals[i] = lookup(v.status(), path)
		if d.vals[i] != nil {
			reported++
		}
	}
	return reported
}

// notBelow is the value of a field that never decreases or disappears once it is published.
func notBelow(published, value any) any {
	if value == nil {
		return published
	}
	if larger, err := policy.Largest.Of([]any{published, value}); err == nil {
		return larger
	}
	return value // the published value is of another type: there is nothing to compare with
}

func (d *decider) apply(f *policy.Field, published any) (any, error) {
	switch f.Rule {
	case policy.RuleDrop:
		return nil, nil
	case policy.RuleGeneration:
		return d.generation(f.Path, published), nil
	case policy.RuleCEL:
		return d.evaluate(f.Program)
	}
	if len(d.in.Sources) == 1 {
		return d.vals[0], nil // a copy
	}
	switch f.Rule {
	case policy.RuleSum:
		return policy.Sum.Of(d.vals)
	case policy.RuleMin:
		return policy.Smallest.Of(d.vals)
	case policy.RuleMax:
		return policy.Largest.Of(d.vals)
	case policy.RuleUnion:
		keys := f.Keys
		if keys == nil && !f.Implied {
			keys = []string{} // a rule that is written down joins any list
		}
		return d.union(f.Path, keys, d.vals), nil
	case policy.RuleUnanimous, policy.RuleQuorum:
		return d.agree(f.Path, published, d.vals, d.need(f.Rule)), nil
	case policy.RulePrimary:
		if v := d.primary(); v != nil {
			return lookup(v.status(), f.Path), nil
		}
		return published, nil
	default: // Rank
		return d.rank(f), nil
	}
}

// need is the number of placed SyncTargets that must agree.
func (d *decider) need(rule policy.Rule) int {
	if rule == policy.RuleQuorum {
		return len(d.in.Sources)/2 + 1
	}
	return len(d.in.Sources)
}

// rank is the value that comes first in the order; values that the order does not name come last.
func (d *decider) rank(f *policy.Field) any {
	reported := slices.DeleteFunc(slices.Clone(d.vals), func(v any) bool { return v == nil })
	if len(reported) < d.counted && f.Absent != "" {
		reported = append(reported, f.Absent)
	}
	if len(reported) == 0 {
		return nil
	}
	place := func(v any) int {
		s, _ := v.(string)
		if i := slices.Index(f.Order, s); i >= 0 {
			return i
		}
		return len(f.Order)
	}
	return slices.MinFunc(reported, func(a, b any) int { return place(a) - place(b) })
}

// evaluate runs a CEL rule.
func (d *decider) evaluate(program *policy.Program) (any, error) {
	targets := make([]any, 0, len(d.views))
	for _, v := range d.views {
		if v.Contribution != nil {
			targets = append(targets, map[string]any{
				"name": string(v.Target), "status": v.Contribution.Status, "generation": v.Contribution.Generation,
				"fresh": !v.Stale, "current": v.CaughtUp,
			})
		}
	}
	status := d.in.Published
	if status == nil {
		status = map[string]any{}
	}
	return program.Eval(targets, map[string]any{"status": status, "placed": len(d.in.Sources), "metadata": map[string]any{
		"workspace": d.in.Workspace.String(), "namespace": d.in.Namespace, "name": d.in.Name, "generation": d.in.Generation,
		"labels": plain(d.in.Labels), "annotations": plain(d.in.Annotations),
	}})
}

func plain(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
