package aggregate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

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

// byKey is a list in the order of its keys; anything else, or a list without keys, as it is.
func byKey(v any, keys []string) any {
	list, _ := v.([]any)
	if len(keys) == 0 || len(list) < 2 {
		return v
	}
	type entry struct {
		key  string
		item any
	}
	entries := make([]entry, len(list))
	for i, item := range list {
		key, _ := keyOf(item, keys)
		entries[i] = entry{key, item}
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	sorted := make([]any, len(list))
	for i, e := range entries {
		sorted[i] = e.item
	}
	return sorted
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
