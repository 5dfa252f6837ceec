package aggregate

import (
	"cmp"
	"slices"
	"strings"

	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// latest is the view whose status changed last; ties go to the name.
func (d *decider) latest() *Source {
	var latest *Source
	for _, v := range d.views {
		if v.Contribution != nil && (latest == nil || v.Contribution.Time.After(latest.Contribution.Time)) {
			latest = v
		}
	}
	return latest
}

// primary is the view whose status is published: the one that the annotation names; else the published one while it is healthy; else the
// first fresh one that takes workloads, else the first fresh one, else the first, in the order of the policy and then of names. It is
// nil if the one that is named has no status.
func (d *decider) primary() *Source {
	if named := d.named(); named != nil {
		if named.Contribution == nil {
			return nil
		}
		return named
	}
	candidates := d.candidates()
	fresh := slices.ContainsFunc(candidates, func(v *Source) bool { return !v.Stale })
	if published := d.publishedFrom(candidates); published != nil && (!published.Stale || !fresh) {
		return published
	}
	for _, eligible := range []func(*Source) bool{
		func(v *Source) bool { return !v.Stale && !v.Unschedulable },
		func(v *Source) bool { return !v.Stale || !fresh },
	} {
		if i := slices.IndexFunc(candidates, eligible); i >= 0 {
			return candidates[i]
		}
	}
	return nil
}

// named is the placed SyncTarget that the upstream object names as its primary; nil: none, or one that the policy excludes.
func (d *decider) named() *Source {
	name := ref.SyncTarget(d.in.Annotations[PrimaryAnnotation])
	if i := slices.IndexFunc(d.in.Sources, func(s Source) bool { return s.Target == name && d.counts(&s) }); i >= 0 {
		return &d.in.Sources[i]
	}
	return nil
}

// primaryKnown reports whether the primary is settled, regardless of the SyncTargets that have not listed.
func (d *decider) primaryKnown() bool {
	if d.p.Strategy != policy.Primary {
		return false
	}
	if named := d.named(); named != nil {
		return named.State != Unknown
	}
	name, _ := d.publishedBase()
	return slices.ContainsFunc(d.views, func(v *Source) bool { return v.Target == name && v.Contribution != nil && !v.Stale })
}

// publishedBase is the primary or representative that the published summary names.
func (d *decider) publishedBase() (ref.SyncTarget, bool) {
	_, name, named := strings.Cut(summaryIn(d.in.Published), baseNamed[d.p.Strategy])
	return ref.SyncTarget(name), named
}

// candidates are the views with a status in the order in which they are preferred.
func (d *decider) candidates() []*Source {
	candidates := slices.DeleteFunc(slices.Clone(d.views), func(v *Source) bool { return v.Contribution == nil })
	if goOn := slices.DeleteFunc(slices.Clone(candidates), d.hasEnded); len(goOn) > 0 {
		candidates = goOn // no end is published while others go on
	}
	candidates = slices.DeleteFunc(candidates, func(v *Source) bool { return v.remembered }) // only its end is known
	place := func(v *Source) int {
		if i := slices.Index(d.p.Primary, string(v.Target)); i >= 0 {
			return i
		}
		return len(d.p.Primary)
	}
	slices.SortStableFunc(candidates, func(a, b *Source) int { return cmp.Compare(place(a), place(b)) })
	return candidates
}

// publishedFrom is the candidate whose status is published: the one that the summary names, else the first with the published values.
func (d *decider) publishedFrom(candidates []*Source) *Source {
	name, named := d.publishedBase()
	if i := slices.IndexFunc(candidates, func(v *Source) bool { return named && v.Target == name }); i >= 0 {
		return candidates[i]
	}
	if d.p.Strategy != policy.Primary && d.defaultRule() != policy.RulePrimary || !d.in.Owned.Field() {
		return nil // the published values are not one SyncTarget's, or an API server's own for a new object
	}
	ignore := slices.Clip(d.p.Ignore)
	for _, f := range d.p.Fields { // these may be published with other values
		ignore = append(ignore, f.Path)
	}
	for _, v := range candidates {
		if patch.Diff(d.in.Published, v.status(), nil, patch.Options{Whole: true, Typed: true, Ignore: ignore}) == nil {
			return v
		}
	}
	return nil
}
