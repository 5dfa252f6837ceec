package aggregate

import (
	"slices"

	"github.com/upstreamd/upstreamd/internal/policy"
)

// agree is the value that at least need placed SyncTargets have, the published one if there is none. To have none is a
// value too. Objects are decided by field, and keyed lists compared in the order of their keys. Timestamps are not compared: those who
// agree give the newest.
func (d *decider) agree(path []string, published any, vals []any, need int) any {
	names := d.namesIn(vals)
	if len(names) > 0 && !slices.ContainsFunc(vals, func(v any) bool { _, ok := v.(map[string]any); return v != nil && !ok }) {
		merged := make(map[string]any, len(names))
		before, _ := published.(map[string]any)
		for name := range before {
			if !slices.Contains(names, name) && d.in.Owned.Field(append(slices.Clip(path), name)...) {
				names = append(names, name)
			}
		}
		for _, name := range names {
			if value := d.agree(append(slices.Clip(path), name), before[name], fieldOf(vals, name), need); value != nil {
				merged[name] = value
			}
		}
		if len(merged) == 0 {
			return nil
		}
		return merged
	}
	keys := d.p.Keys(path)
	for i, v := range vals {
		vals[i] = byKey(v, keys)
	}
	for i, v := range vals {
		if d.views[i].status == nil || d.grouped(path) {
			continue
		}
		votes, newest := 0, v
		for j, other := range vals {
			if d.views[j].status != nil && alike(v, other) {
				votes, newest = votes+1, newer(newest, other)
			}
		}
		if votes >= need {
			return newest
		}
	}
	if !d.grouped(path) && (published != nil || slices.ContainsFunc(vals, func(v any) bool { return v != nil })) {
		d.kept = append(d.kept, policy.Path(path).String())
	}
	return published
}

func (d *decider) grouped(path []string) bool {
	return slices.ContainsFunc(d.p.Groups, func(group []policy.Path) bool {
		return slices.ContainsFunc(group, func(p policy.Path) bool { return slices.Equal(p, path) })
	})
}

// group decides fields that belong together as if they were one.
func (d *decider) group(group []policy.Path, rule policy.Rule) {
	tuple := func(status map[string]any) []any {
		values := make([]any, len(group))
		for i, path := range group {
			values[i] = byKey(lookup(status, path), d.p.Keys(path))
		}
		return values
	}
	need := len(d.in.Sources)/2 + 1
	if rule == policy.RuleUnanimous {
		need = len(d.in.Sources)
	}
	for _, v := range d.views {
		votes, newest := 0, any(tuple(v.status))
		for _, other := range d.views {
			if said := tuple(other.status); v.status != nil && other.status != nil && alike(newest, said) {
				votes, newest = votes+1, newer(newest, said)
			}
		}
		if votes >= need {
			for i, value := range newest.([]any) {
				set(d.out.Status, group[i], value)
			}
			return
		}
	}
	for _, path := range group {
		d.kept = append(d.kept, path.String())
		set(d.out.Status, path, d.published(path))
	}
}
