package aggregate

import (
	"slices"

	"github.com/upstreamd/upstreamd/internal/policy"
)

// rule is the value of one field; nil: none.
func (d *decider) rule(f *policy.Field) (any, error) {
	published := d.published(f.Path)
	if f.Immutable && published != nil || d.heldBack() && f.Rule != policy.RulePrimary && f.Rule != policy.RuleDrop {
		return published, nil
	}
	said := 0
	for i := range d.views {
		d.vals[i] = lookup(d.views[i].status, f.Path)
		if d.vals[i] != nil {
			said++
		}
	}
	if f.RequireAll && said < d.counted {
		return published, nil
	}
	value, err := d.apply(f, published)
	switch {
	case !f.Monotonic || err != nil || published == nil:
		return value, err
	case value == nil:
		return published, nil
	}
	if larger, err := extreme(1)(published, value); err == nil {
		return larger, nil
	}
	return value, nil // what is published is of another type: there is nothing to compare with
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
		return d.fold(add)
	case policy.RuleMin:
		return d.fold(extreme(-1))
	case policy.RuleMax:
		return d.fold(extreme(1))
	case policy.RuleAnyTrue, policy.RuleAllTrue:
		return d.truth(f.Rule == policy.RuleAllTrue), nil
	case policy.RuleUnion:
		if f.Prefixed {
			return d.prefixed()
		}
		return d.union(f.Path, f.Keys, d.vals), nil
	case policy.RuleConcat:
		return d.concat(f.Keys)
	case policy.RuleFirst:
		i := slices.IndexFunc(d.vals, func(v any) bool { return v != nil })
		if i < 0 {
			return nil, nil
		}
		return d.vals[i], nil
	case policy.RuleLatest:
		return d.newestOf(d.vals), nil
	case policy.RuleUnanimous:
		return d.agree(f.Path, published, d.vals, len(d.in.Sources)), nil
	case policy.RuleQuorum:
		return d.agree(f.Path, published, d.vals, len(d.in.Sources)/2+1), nil
	case policy.RulePrimary:
		if v := d.primary(); v != nil {
			return lookup(v.status, f.Path), nil
		}
		return published, nil
	default: // Rank
		return d.rank(f), nil
	}
}

// fold combines the values that there are, in the order of the SyncTargets' names, beginning with nil.
func (d *decider) fold(combine func(a, b any) (any, error)) (any, error) {
	var total any
	var err error
	for _, v := range d.vals {
		if v == nil {
			continue
		}
		if total, err = combine(total, v); err != nil {
			return nil, err
		}
	}
	return total, nil
}

// truth is true if any, or all, of the SyncTargets that report say so. Nothing is said where nobody says true or false.
func (d *decider) truth(all bool) any {
	said, yes := 0, 0
	for _, v := range d.vals {
		if b, ok := v.(bool); ok {
			said++
			if b {
				yes++
			}
		}
	}
	if said == 0 {
		return nil
	}
	if all {
		return yes == d.reporting
	}
	return yes > 0
}

// newestOf is the value of the SyncTarget whose status changed last, of those who have one.
func (d *decider) newestOf(vals []any) any {
	latest := -1
	for i, v := range vals {
		if v != nil && (latest < 0 || d.views[i].time.After(d.views[latest].time)) {
			latest = i
		}
	}
	if latest < 0 {
		return nil
	}
	return vals[latest]
}

// rank is the value that comes first in the order; those that the order does not name come last.
func (d *decider) rank(f *policy.Field) any {
	var best any
	place := func(v any) int {
		s, _ := v.(string)
		if i := slices.Index(f.Order, s); i >= 0 {
			return i
		}
		return len(f.Order)
	}
	consider := func(v any) {
		if v != nil && (best == nil || place(v) < place(best)) {
			best = v
		}
	}
	silent := d.counted
	for _, v := range d.vals {
		if v != nil {
			silent--
		}
		consider(v)
	}
	if silent > 0 && f.Absent != "" {
		consider(f.Absent)
	}
	return best
}

// generation is the upstream object's generation once every SyncTarget that counts has acted on it; else what is published stays.
func (d *decider) generation(path policy.Path, published any) any {
	for i := range d.in.Sources {
		s := &d.in.Sources[i]
		if !d.counts(s) {
			continue
		}
		if s.State != Reporting || !s.CaughtUp || s.Stale && d.p.Stale == policy.Zero {
			return published
		}
		if observed, ok := integer(lookup(s.Contribution.Status, path)); !ok || observed < s.Contribution.Generation {
			return published
		}
	}
	if d.in.Generation == 0 {
		return published
	}
	return d.in.Generation
}

// evaluate runs a CEL rule.
func (d *decider) evaluate(program *policy.Program) (any, error) {
	targets := make([]any, 0, len(d.views))
	for _, v := range d.views {
		if v.status == nil {
			continue
		}
		targets = append(targets, map[string]any{"name": string(v.Target), "status": v.status, "generation": v.Contribution.Generation, "stale": v.Stale})
	}
	status := d.in.Published
	if status == nil {
		status = map[string]any{}
	}
	return program.Eval(targets, map[string]any{"status": status, "metadata": map[string]any{
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
