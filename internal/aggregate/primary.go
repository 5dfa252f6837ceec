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
func (d *decider) latest() *view {
	var latest *view
	for i := range d.views {
		if v := &d.views[i]; v.status != nil && (latest == nil || v.time.After(latest.time)) {
			latest = v
		}
	}
	return latest
}

// primary is the view that speaks for all: the one that is named; else the healthy one whose status is what is published; else the
// first fresh one that takes workloads, else the first fresh one, else the first, in the order of the policy and then of names. It is
// nil if the one that is named has no status.
func (d *decider) primary() *view {
	if named := d.named(); named != nil {
		for i := range d.views {
			if d.views[i].Source == named && d.views[i].status != nil {
				return &d.views[i]
			}
		}
		return nil
	}
	candidates := d.candidates()
	fresh := slices.ContainsFunc(candidates, func(v *view) bool { return !v.Stale })
	if published := d.publishedFrom(candidates); published != nil && (!published.Stale || !fresh) {
		return published
	}
	for _, eligible := range []func(*view) bool{
		func(v *view) bool { return !v.Stale && !v.Unschedulable },
		func(v *view) bool { return !v.Stale || !fresh },
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

// primaryKnown says whether it is settled which SyncTarget speaks for all, whatever those that have not listed would say.
func (d *decider) primaryKnown() bool {
	if d.p.Strategy != policy.Primary {
		return false
	}
	if named := d.named(); named != nil {
		return named.State != Unknown
	}
	name, _ := d.publishedPrimary()
	return slices.ContainsFunc(d.views, func(v view) bool { return v.Target == name && v.status != nil && !v.Stale })
}

// publishedPrimary is who the published summary says the primary is.
func (d *decider) publishedPrimary() (ref.SyncTarget, bool) {
	_, name, named := strings.Cut(text(find(d.in.Published, policy.Path{"conditions"}, SummaryType), "message"), primaryNamed)
	return ref.SyncTarget(name), named
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

// publishedFrom is the candidate whose status is what is published: the one that the summary names, else the first whose values are
// those that are published.
func (d *decider) publishedFrom(candidates []*view) *view {
	name, named := d.publishedPrimary()
	for _, v := range candidates {
		if named && v.Target == name {
			return v
		}
	}
	if d.p.Strategy != policy.Primary && d.defaultRule() != policy.RulePrimary || len(d.in.Owned.Fields()) == 0 {
		return nil // what is published are not one SyncTarget's values, or what an API server says of a new object
	}
	ignore := d.p.Ignore
	for _, f := range d.p.Fields { // these may be published otherwise than they were said
		ignore = append(ignore[:len(ignore):len(ignore)], f.Path)
	}
	for _, v := range candidates {
		if patch.Diff(d.in.Published, v.status, nil, patch.Options{Whole: true, Typed: true, Ignore: ignore}) == nil {
			return v
		}
	}
	return nil
}
