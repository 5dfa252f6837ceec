package aggregate

import (
	"maps"
	"slices"
	"strings"

	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/policy"
)

// union merges objects by key and joins lists without repeats, keyed ones by their key. Lists of objects without keys (nil) are atomic: they,
// scalars, and values of different types are the representative's. vals has one value, or nil, for each view.
func (d *decider) union(path, keys []string, vals []any) any {
	if policy.Objects(vals) {
		merged, _ := policy.PerField(policy.FieldNames(vals), vals, func(name string, vals []any) (any, error) {
			below := append(slices.Clip(path), name)
			return d.union(below, d.keys(below), vals), nil
		})
		return merged
	}
	preferred := d.preferred(vals)
	list, isList := preferred.([]any)
	atomic := keys == nil && slices.ContainsFunc(list, func(item any) bool { return object(item) != nil })
	if isList && !atomic {
		return d.join(path, keys, vals)
	}
	return preferred
}

// preferred is the value of the representative, else of the first SyncTarget that has one.
func (d *decider) preferred(vals []any) any {
	if d.worst == nil {
		d.worst = d.representative()
	}
	if i := slices.Index(d.views, d.worst); i >= 0 && vals[i] != nil {
		return vals[i]
	}
	if i := slices.IndexFunc(vals, func(v any) bool { return v != nil }); i >= 0 {
		return vals[i]
	}
	return nil
}

// join is the union of lists. Keyed entries are sorted by their keys; others keep the order of the SyncTargets' names.
func (d *decider) join(path, keys []string, vals []any) any {
	others := []any{}
	seen := map[string]bool{}
	same := map[string][]any{} // by key: the entry of each view
	for i, v := range vals {
		list, _ := v.([]any)
		for _, item := range list {
			key, keyed := patch.EntryKey(item, keys)
			if !keyed {
				if key = canonical(item); !seen[key] {
					others = append(others, item)
				}
				seen[key] = true
				continue
			}
			if same[key] == nil {
				same[key] = make([]any, len(vals))
			}
			if same[key][i] == nil {
				same[key][i] = item
			}
		}
	}
	entries := make([]any, 0, len(same)+len(others))
	for _, key := range slices.Sorted(maps.Keys(same)) {
		entries = append(entries, d.union(append(slices.Clip(path), "*"), nil, same[key]))
	}
	entries = append(entries, others...)
	if most := d.in.Schema.List(d.absolute(path)).MaxItems; most > 0 && len(entries) > most {
		return entries[:most]
	}
	return entries
}

// agree returns the value that at least need placed SyncTargets have, the published one if there is none. To have no value is a
// value too. Objects are decided by field.
func (d *decider) agree(path []string, published any, vals []any, need int) any {
	if policy.Objects(vals) {
		names, before := policy.FieldNames(vals), object(published)
		for name := range before {
			if !slices.Contains(names, name) && d.in.Owned.Field(append(slices.Clip(path), name)...) {
				names = append(names, name)
			}
		}
		merged, _ := policy.PerField(names, vals, func(name string, vals []any) (any, error) {
			return d.agree(append(slices.Clip(path), name), before[name], vals, need), nil
		})
		return merged
	}
	for i, v := range vals {
		vals[i] = byKey(v, d.keys(path))
	}
	if value, agreed := d.majority(vals, need); agreed {
		return value
	}
	if published != nil || slices.ContainsFunc(vals, func(v any) bool { return v != nil }) {
		d.kept = append(d.kept, policy.Path(path).String())
	}
	return published
}

// majority returns the value that need views have. Timestamps are not compared: of the values that agree, the one with the newest is taken.
func (d *decider) majority(vals []any, need int) (value any, agreed bool) {
	votes := map[string]int{}
	newest := map[string]int{} // the view whose value is taken
	for i, v := range vals {
		if d.views[i].Contribution == nil {
			continue
		}
		vote := canonical(timeless(v))
		if j, known := newest[vote]; !known || canonical(v) > canonical(vals[j]) {
			newest[vote] = i
		}
		if votes[vote]++; votes[vote] >= need {
			value, agreed = vals[newest[vote]], true
		}
	}
	return value, agreed
}

// timeless is a value without timestamps and nulls.
func timeless(v any) any {
	switch v := v.(type) {
	case map[string]any:
		kept := make(map[string]any, len(v))
		for name, value := range v {
			if value != nil {
				kept[name] = timeless(value)
			}
		}
		return kept
	case []any:
		kept := make([]any, len(v))
		for i, item := range v {
			kept[i] = timeless(item)
		}
		return kept
	case string:
		if isTime(v) {
			return ""
		}
	}
	return v
}

// byKey is a list in the order of its keys; other values, and lists without keys, as they are.
func byKey(v any, keys []string) any {
	list, _ := v.([]any)
	if len(keys) == 0 || len(list) < 2 {
		return v
	}
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b any) int {
		keyA, _ := patch.EntryKey(a, keys)
		keyB, _ := patch.EntryKey(b, keys)
		return strings.Compare(keyA, keyB)
	})
	return sorted
}
