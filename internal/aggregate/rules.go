package aggregate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/upstreamd/upstreamd/internal/policy"
)

// rule is the value of one field; nil: none.
func (d *decider) rule(f *policy.Field) (any, error) {
	published := d.published(f.Path)
	if f.Immutable && published != nil {
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
	return extreme(1)(published, value)
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
		return d.fold(func(a, _ any) (any, error) { return a, nil })
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

// fold combines the values that there are, in the order of the SyncTargets' names.
func (d *decider) fold(combine func(a, b any) (any, error)) (any, error) {
	var total any
	var err error
	for _, v := range d.vals {
		switch {
		case v == nil:
		case total == nil:
			total = v
		default:
			if total, err = combine(total, v); err != nil {
				return nil, err
			}
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

// union merges objects by key and joins lists without repeats, keyed ones by their key. Where the kinds of values differ, and
// for scalars, the latest is taken. vals has one value, or nil, for each view.
func (d *decider) union(path, keys []string, vals []any) any {
	switch latest := d.newestOf(vals).(type) {
	case map[string]any:
		merged := make(map[string]any, len(latest))
		for _, name := range d.namesIn(vals) {
			below := append(slices.Clip(path), name)
			if value := d.union(below, d.p.Keys(below), fieldOf(vals, name)); value != nil {
				merged[name] = value
			}
		}
		return merged
	case []any:
		return d.join(path, keys, vals)
	default:
		return latest
	}
}

// join is the union of lists. A keyed one is sorted by its keys; another keeps the order of the SyncTargets' names.
func (d *decider) join(path, keys []string, vals []any) any {
	joined := []any{}
	seen := map[string]bool{}
	same := map[string][]any{} // by key: what each view says of the entry
	for i, v := range vals {
		list, _ := v.([]any)
		for _, item := range list {
			key, keyed := keyOf(item, keys)
			if !keyed {
				if key = canonical(item); !seen[key] {
					joined = append(joined, item)
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
	entries := make([]any, 0, len(same)+len(joined))
	item := append(slices.Clip(path), "*")
	for _, key := range slices.Sorted(maps.Keys(same)) {
		entries = append(entries, d.union(item, nil, same[key]))
	}
	return append(entries, joined...)
}

// concat joins lists in the order of the SyncTargets' names; of entries with the same key the first stays.
func (d *decider) concat(keys []string) (any, error) {
	var joined []any
	said := false
	seen := map[string]bool{}
	for i, v := range d.vals {
		list, ok := v.([]any)
		if v != nil && !ok {
			return nil, fmt.Errorf("%s has no list", d.views[i].Target)
		}
		said = said || ok
		for _, item := range list {
			key, keyed := keyOf(item, keys)
			if keyed && seen[key] {
				continue
			}
			seen[key] = true
			joined = append(joined, item)
		}
	}
	if !said {
		return nil, nil
	}
	return slices.Clip(append([]any{}, joined...)), nil
}

// prefixed joins objects; each key gets the name of its SyncTarget before it.
func (d *decider) prefixed() (any, error) {
	var joined map[string]any
	for i, v := range d.vals {
		m, ok := v.(map[string]any)
		if v != nil && !ok {
			return nil, fmt.Errorf("%s has no object", d.views[i].Target)
		}
		for name, value := range m {
			if joined == nil {
				joined = map[string]any{}
			}
			joined[string(d.views[i].Target)+"/"+name] = value
		}
	}
	if joined == nil {
		return nil, nil
	}
	return joined, nil
}

// agree is the value that at least need placed SyncTargets have, the published one if there is none. To have none is a
// value too. Objects are decided by field. Timestamps are not compared: those who agree give the newest.
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
			values[i] = lookup(status, path)
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

// namesIn are the field names of the objects among vals, sorted.
func (d *decider) namesIn(vals []any) []string {
	var names []string
	for _, v := range vals {
		m, _ := v.(map[string]any)
		for name := range m {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// fieldOf is one field of each of the objects among vals.
func fieldOf(vals []any, name string) []any {
	fields := make([]any, len(vals))
	for i, v := range vals {
		m, _ := v.(map[string]any)
		fields[i] = m[name]
	}
	return fields
}

// canonical is the same text for equal values.
func canonical(v any) string {
	if s, ok := v.(string); ok {
		return strconv.Quote(s)
	}
	data, _ := json.Marshal(v) // parsed JSON can always be encoded
	return string(data)
}

// keyOf tells an entry of a keyed list from others. An entry without any of the keys has none.
func keyOf(item any, keys []string) (key string, ok bool) {
	m, _ := item.(map[string]any)
	var b strings.Builder
	for _, name := range keys {
		value, there := m[name]
		ok = ok || there
		fmt.Fprintf(&b, "%v\x00", value)
	}
	return b.String(), ok
}
