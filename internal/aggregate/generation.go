package aggregate

import (
	"maps"
	"slices"
	"strconv"
)

// generation is the upstream object's generation once every SyncTarget that counts has acted on it; else the published value stays.
func (d *decider) generation(path []string, published any) any {
	var observed any
	for i := range d.in.Sources {
		s := &d.in.Sources[i]
		if !d.counts(s) || s.remembered {
			continue
		}
		if observed = lookup(s.status(), path); !s.observed(observed) {
			return published
		}
	}
	return d.upstreamGeneration(observed, published)
}

// observed reports whether a SyncTarget's copy is current and a generation in its status is the copy's present one.
func (s *Source) observed(generation any) bool {
	n, ok := Integer(generation)
	return ok && s.CaughtUp && s.Contribution != nil && n >= s.Contribution.Generation
}

// upstreamGeneration is the upstream object's generation in the form of a reported one: an integer or a text.
func (d *decider) upstreamGeneration(form, published any) any {
	if d.in.Generation == 0 || form == nil {
		return published
	}
	if _, isText := form.(string); isText {
		return strconv.FormatInt(d.in.Generation, 10)
	}
	return d.in.Generation
}

// conditionGeneration translates a condition's own observedGeneration.
func (c *conditionList) conditionGeneration(deciding []vote, published map[string]any) any {
	if slices.ContainsFunc(deciding, func(v vote) bool { return !v.source.observed(v.entry["observedGeneration"]) }) {
		return published["observedGeneration"]
	}
	return c.upstreamGeneration(deciding[0].entry["observedGeneration"], published["observedGeneration"])
}

// translated returns a value of a copied status with the observedGeneration of all conditions in it translated, and whether there were any.
// Published is the value in the same place, which keeps its generation while the copies have not observed the upstream object's.
func (d *decider) translated(value, published any) (any, bool) {
	changed := false
	switch v := value.(type) {
	case map[string]any:
		out := v
		for name, below := range v {
			if t, ok := d.translated(below, object(published)[name]); ok {
				if !changed {
					out, changed = maps.Clone(v), true
				}
				out[name] = t
			}
		}
		return out, changed
	case []any:
		before, _ := published.([]any)
		before = append(slices.Clip(before), make([]any, max(0, len(v)-len(before)))...)
		out, conditions := v, areConditions(v)
		for i, item := range v {
			var t any
			var ok bool
			if entry := object(item); conditions && entry["observedGeneration"] != nil {
				t, ok = d.translatedCondition(entry, find(map[string]any{"": before}, []string{""}, text(item, "type"))), true
			} else {
				t, ok = d.translated(item, before[i])
			}
			if ok {
				if !changed {
					out, changed = slices.Clone(v), true
				}
				out[i] = t
			}
		}
		return out, changed
	}
	return value, false
}

func (d *decider) translatedCondition(entry, published map[string]any) any {
	generation := published["observedGeneration"]
	waiting := slices.ContainsFunc(d.in.Sources, func(s Source) bool { return d.counts(&s) && !s.CaughtUp })
	if !waiting && d.base.observed(entry["observedGeneration"]) {
		generation = d.upstreamGeneration(entry["observedGeneration"], generation)
	}
	entry = maps.Clone(entry)
	if entry["observedGeneration"] = generation; generation == nil {
		delete(entry, "observedGeneration")
	}
	return entry
}

// Integer reads a generation: an integer, or one in text form.
func Integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	}
	return 0, false
}
