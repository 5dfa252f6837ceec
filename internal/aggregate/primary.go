package aggregate

import (
	"cmp"
	"slices"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// latest is the view whose status changed last; ties go to the name.
func (d *decider) latest() *view {
	var latest *view
	for i := range d.views {
		if v := &d.views[i]; v.status != nil && (latest == nil || v.Contribution.Time.After(latest.Contribution.Time)) {
			latest = v
		}
	}
	return latest
}

// primary is the view that speaks for all: the one that is named; else the healthy one whose status is what is published; else the
// first fresh one, else the first, in the order of the policy and then of names. It is nil if the one that is named has no status.
func (d *decider) primary() *view {
	named := ref.SyncTarget(d.in.Annotations[PrimaryAnnotation])
	if slices.ContainsFunc(d.in.Sources, func(s Source) bool { return s.Target == named }) {
		for i := range d.views {
			if d.views[i].Target == named && d.views[i].status != nil {
				return &d.views[i]
			}
		}
		return nil
	}
	candidates := d.candidates()
	fresh := slices.ContainsFunc(candidates, func(v *view) bool { return !v.Stale })
	if published := d.publishedFrom(candidates, fresh); published != nil && (!published.Stale || !fresh) {
		return published
	}
	for _, v := range candidates {
		if !v.Stale || !fresh {
			return v
		}
	}
	return nil
}

// candidates are the views with a status in the order in which they are preferred.
func (d *decider) candidates() []*view {
	candidates := make([]*view, 0, len(d.views))
	for i := range d.views {
		if d.views[i].status != nil {
			candidates = append(candidates, &d.views[i])
		}
	}
	place := func(v *view) int {
		if i := slices.Index(d.p.Primary, string(v.Target)); i >= 0 {
			return i
		}
		return len(d.p.Primary)
	}
	slices.SortStableFunc(candidates, func(a, b *view) int { return cmp.Compare(place(a), place(b)) })
	return candidates
}

// publishedFrom is the view that the published status was taken from, as far as the values show: the one that shares the most with it,
// and more than half of it. Its status may have moved on since.
func (d *decider) publishedFrom(candidates []*view, conditions bool) *view {
	var best *view
	var most likeness
	for _, v := range candidates {
		var l likeness
		for name, value := range d.in.Published {
			if name != "observedGeneration" && (conditions || name != "conditions") {
				l.compare(value, v.status[name])
			}
		}
		for name, value := range v.status {
			if _, both := d.in.Published[name]; !both && name != "observedGeneration" {
				l.compare(nil, value)
			}
		}
		if best == nil || l.score() > most.score() {
			best, most = v, l
		}
	}
	if most.same*2 <= most.published {
		return nil
	}
	return best
}

// likeness counts leaves: those that are published, those that are the same in both, and those that differ or are in one only.
// What a typed API server leaves out (zero, "", false) counts as absent.
type likeness struct{ published, same, differ int }

func (l *likeness) score() int { return l.same - l.differ }

func (l *likeness) compare(published, said any) {
	switch p := published.(type) {
	case map[string]any:
		s, _ := said.(map[string]any)
		for name, value := range p {
			if name != "lastTransitionTime" && name != "observedGeneration" {
				l.compare(value, s[name])
			}
		}
		for name, value := range s {
			if _, both := p[name]; !both && name != "lastTransitionTime" && name != "observedGeneration" {
				l.compare(nil, value)
			}
		}
		return
	case []any:
		l.compareLists(p, said)
		return
	}
	switch said := said.(type) {
	case map[string]any:
		l.compare(map[string]any{}, said)
	case []any:
		l.compareLists(nil, said)
	default:
		l.leaf(published, said)
	}
}

// compareLists compares conditions by type, other lists in their order.
func (l *likeness) compareLists(published []any, said any) {
	s, _ := said.([]any)
	for i, item := range published {
		kind := text(item, "type")
		if kind == SummaryType {
			continue
		}
		j := i
		if kind != "" {
			j = slices.IndexFunc(s, func(e any) bool { return text(e, "type") == kind })
		}
		if j < 0 || j >= len(s) {
			l.compare(item, nil)
			continue
		}
		l.compare(item, s[j])
	}
	for range max(0, len(s)-len(published)) {
		l.differ++
	}
}

func (l *likeness) leaf(published, said any) {
	if isZero(published) && isZero(said) {
		return
	}
	if !isZero(published) {
		l.published++
	}
	if equal(published, said) {
		l.same++
	} else {
		l.differ++
	}
}
