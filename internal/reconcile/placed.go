package reconcile

import (
	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// placed are the SyncTargets that count, by name: those that the object's labels name, else those that are bound to its workspace and have
// a copy or have not listed yet. SyncTargets that are to hold nothing do not count.
func (s *State) placed(o *object) (names []ref.SyncTarget, targets []*target, byLabel bool) {
	add := func(name ref.SyncTarget, t *target) {
		if t != nil && t.Evicted {
			return
		}
		names, targets = append(names, name), append(targets, t)
	}
	if len(o.view.placements) > 0 {
		for _, p := range o.view.placements {
			if t := p.on.target; t != nil {
				add(t.Name, t)
			} else {
				add(ref.SyncTarget(p.on.key), nil) // a SyncTarget without configuration counts, and never reports
			}
		}
		return names, targets, true
	}
	for i, c := range o.copies {
		t := c.target
		if !t.gone && t.bound(o.name.Workspace) && (i == 0 || o.copies[i-1].target != t) {
			add(t.Name, t)
		}
	}
	for _, t := range s.pending {
		if t.bound(o.name.Workspace) && len(o.from(t)) == 0 {
			add(t.Name, t)
		}
	}
	return names, targets, false
}

// possible reports whether any SyncTarget could hold the object.
func (s *State) possible(o *object, placed int) bool {
	w := o.name.Workspace
	return placed > 0 || len(o.view.placements) == 0 && (s.bound[w] > 0 || w != "" && s.bound["*"] > 0)
}

// sources are the facts about each placed SyncTarget. aggregate.Decide orders them by name.
func (s *State) sources(o *object) (sources []aggregate.Source, ambiguous []ref.SyncTarget, placed int) {
	names, targets, byLabel := s.placed(o)
	for i, name := range names {
		t := targets[i]
		source := aggregate.Source{Target: name, State: aggregate.Unknown, Stale: true, Since: o.generationSince, Bound: !byLabel}
		var copies []*contribution
		if t != nil {
			source.Stale, source.Since, source.Over, source.Unschedulable = t.stale, t.since, t.over, t.Unschedulable
			copies = o.from(t)
		}
		switch {
		case t == nil || !t.listed: // its reports may be a part of those to come
		case len(copies) == 0:
			source.State = aggregate.Absent
		case len(copies) > 1:
			ambiguous = append(ambiguous, name)
			continue
		default:
			s.fromCopy(&source, o, copies[0])
		}
		if source.State == aggregate.Absent && !byLabel {
			continue // a candidate without a copy is not placed
		}
		sources = append(sources, source)
	}
	return sources, ambiguous, len(names)
}

// fromCopy adds the facts about a SyncTarget's only copy.
func (s *State) fromCopy(source *aggregate.Source, o *object, c *contribution) {
	if c.refused != "" {
		source.NotReporting = "status refused (" + c.refused + ")"
	}
	switch {
	case c.awaited:
		source.Stale = false // its report is on its way
	case s.earlier(o, c):
		source.State, source.NotReporting = aggregate.NoStatus, "holds a copy of an earlier object"
	case c.value == nil:
		source.State = aggregate.NoStatus
	default:
		source.State, source.Contribution = aggregate.Reporting, c.value
		source.CaughtUp = s.current(o, c)
		source.Lagging = !source.CaughtUp && (s.now.Sub(o.generationSince) >= lagAfter || aggregate.Lags(s.published(o), source.Target, o.generation))
	}
}
