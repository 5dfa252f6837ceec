// Package aggregate decides the status of an upstream object from the contributions of the SyncTargets, the published status and a policy.
// Decide is a pure function: equal inputs give equal decisions, and everything that must outlive the process is read back from the
// published status.
package aggregate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// PrimaryAnnotation names the primary SyncTarget on an upstream object.
const PrimaryAnnotation = "upstreamd.dev/primary"

// Decide returns the status to publish for one upstream object, and the reason for it. It modifies nothing of its input; the decision shares
// values with it.
func Decide(p *policy.Policy, in Input) Decision {
	if !slices.IsSortedFunc(in.Sources, byTarget) {
		in.Sources = slices.Clone(in.Sources)
		slices.SortFunc(in.Sources, byTarget)
	}
	d := decider{p: p, in: &in, finished: endsOf(p)}
	d.recall()
	switch {
	case len(in.Ambiguous) > 0:
		return stay(ReasonAmbiguous, "several objects claim to be the copy in "+join(in.Ambiguous))
	case d.isOver():
		return stay(ReasonFinished, "it has ended, and stays as it is published")
	case in.Withdrawn:
		return d.empty("no SyncTarget has a copy any more")
	case len(in.Sources) == 0 && in.Unplaced:
		return d.empty("no SyncTarget is placed any more")
	case len(in.Sources) == 0:
		return stay(ReasonNotPlaced, "no SyncTarget is placed")
	}
	d.settleAway()
	if waiting := d.admit(); len(waiting) > 0 {
		return stay(ReasonWaiting, fmt.Sprintf("%d/%d SyncTargets listed: not yet %s", len(in.Sources)-len(waiting), len(in.Sources), join(waiting)))
	}
	d.report = d.reporters()
	d.out = Decision{Publish: true, Message: d.report}
	switch {
	case d.heldBack() && !d.primaryKnown():
		d.hold(ReasonHeld)
	case d.reporting == 0:
		d.hold(ReasonNoStatus)
	default:
		d.decide()
	}
	return d.out
}

func byTarget(a, b Source) int { return strings.Compare(string(a.Target), string(b.Target)) }

// decider is one decision in the making.
type decider struct {
	p        *policy.Policy
	in       *Input
	finished *policy.Finished // what tells of an end; nil: nothing does

	views     []*Source // the SyncTargets whose copies are merged, in the order of their names
	counted   int       // the placed SyncTargets that count: all but those that the policy excludes
	reporting int       // the views with a status
	blind     int       // the views without one: their SyncTargets are unknown

	worst    *Source  // the representative, once it is known
	base     *Source  // the SyncTarget that fields without a rule are copied from, if there is one
	item     []string // the path of the item that stands for the status, if it is one of many
	holding  bool     // the published status stays, but for conditions and the summary
	problems int      // the placed SyncTargets that do not report
	report   string   // the SyncTargets that report, and those that do not
	vals     []any    // scratch: the value of each view for the field that is decided
	failed   []string // fields whose rule failed
	kept     []string // fields that stay as published because the SyncTargets do not agree
	out      Decision
}

// stay leaves the published status untouched.
func stay(r Reason, message string) Decision { return Decision{Reason: r, Message: message} }

// status is nil if there is none, or it is not known.
func (s *Source) status() map[string]any {
	if s.Contribution == nil {
		return nil
	}
	return s.Contribution.Status
}

// stale reports whether a SyncTarget's last contribution is no longer known to be true.
func (s *Source) stale() bool { return s.Stale || s.NotReporting != "" }

// counts reports whether a placed SyncTarget counts under the policy.
func (d *decider) counts(s *Source) bool {
	return d.p.Stale != policy.Exclude || s.remembered || !s.stale() && s.State != Unknown
}

// admit finds the SyncTargets whose copies are merged. It returns those that have to be waited for.
func (d *decider) admit() (waiting []ref.SyncTarget) {
	d.views = make([]*Source, 0, len(d.in.Sources))
	for i := range d.in.Sources {
		s := &d.in.Sources[i]
		switch {
		case s.State == Unknown && (d.p.Stale == policy.Hold && !s.Stale || d.p.Stale != policy.Hold && !d.in.Overdue):
			waiting = append(waiting, s.Target)
			continue
		case !d.counts(s):
			continue
		case s.State == Unknown:
			d.blind++
			d.views = append(d.views, s)
		case s.State == Reporting:
			d.reporting++
			d.views = append(d.views, s)
		}
		d.counted++
	}
	return waiting
}

// settleAway reads from the published summary which stale SyncTargets that have not listed in this process held no share: those that it names so,
// and those that were not placed, as all that were are here. The latter are placed since, or, by a binding alone, still not. Without a summary
// any may have held a share.
func (d *decider) settleAway() {
	var reported, placed int
	message := summaryIn(d.in.Published)
	if n, _ := fmt.Sscanf(message, "%d/%d SyncTargets reporting", &reported, &placed); n < 2 || d.p.Stale != policy.Hold {
		return
	}
	here := d.here()
	if here == 0 || here == len(d.in.Sources) {
		return
	}
	named := func(s Source, problem string) bool {
		return strings.Contains(message, " "+string(s.Target)+" "+problem)
	}
	since := func(s Source) bool { return s.Bound && s.away() && here >= placed && !named(s, "") } // one that is named was counted; labels may have moved
	d.in.Sources = slices.DeleteFunc(slices.Clone(d.in.Sources), func(s Source) bool { return s.Bound && since(s) })
	for i := range d.in.Sources {
		s := &d.in.Sources[i]
		if s.away() && (since(*s) || named(*s, problemAway) || named(*s, problemAbsent) || named(*s, problemNoStatus)) {
			s.State, s.Stale, s.NotReporting = NoStatus, false, problemAway
		}
	}
}

// away reports whether a SyncTarget is stale and has not listed in this process.
func (s *Source) away() bool { return s.State == Unknown && s.Stale }

// here is the number of placed SyncTargets that are not away.
func (d *decider) here() int {
	n := 0
	for i := range d.in.Sources {
		if !d.in.Sources[i].away() {
			n++
		}
	}
	return n
}

// heldBack reports whether fields stay as published because a SyncTarget has not listed: nothing is made of the others alone.
func (d *decider) heldBack() bool { return d.blind > 0 && d.p.Stale == policy.Hold }

// empty decides when no SyncTarget has a copy or is placed any more.
func (d *decider) empty(message string) Decision {
	if d.p.OnEmpty == policy.Keep {
		return stay(ReasonKept, message)
	}
	status := map[string]any{}
	if foreign := d.foreign(topConditions, nil); len(foreign) > 0 {
		status["conditions"] = foreign
	}
	for i := range d.p.Fields {
		if f := &d.p.Fields[i]; f.Immutable || f.Monotonic { // API servers refuse their removal
			set(status, f.Path, d.published(f.Path))
		}
	}
	return Decision{Reason: ReasonCleared, Message: message, Publish: true, Status: status}
}

// hold leaves the published status, but for conditions and the summary: those name the unknown.
func (d *decider) hold(r Reason) {
	d.out.Reason, d.holding = r, true
	d.out.Status = make(map[string]any, len(d.in.Published)+1)
	maps.Copy(d.out.Status, d.in.Published)
	if r == ReasonNoStatus && !d.in.Owned.Field() {
		d.out.Publish = false // nothing was published yet, and nothing is now
		return
	}
	d.conditionLists(ending{})
}

// decide makes the status of the contributions.
func (d *decider) decide() {
	d.vals = make([]any, len(d.views))
	d.out.Status = make(map[string]any, len(d.p.Fields)+2)
	switch {
	case len(d.in.Sources) == 1:
		d.copyFrom(ReasonCopied, d.views[0], d.p.Strategy != policy.Merge)
	case d.p.Strategy == policy.Latest:
		d.copyFrom(ReasonLatest, d.latest(), true)
	case d.p.Strategy == policy.Primary:
		if d.base = d.primary(); d.base == nil {
			d.hold(ReasonNoStatus)
			return
		}
		d.copyFrom(ReasonPrimary, d.base, true)
	case d.p.Strategy == policy.Representative:
		if d.base = d.representative(); d.base == nil {
			d.hold(ReasonNoStatus)
			return
		}
		d.copyFrom(ReasonRepresentative, d.base, true)
		d.counters()
	default:
		d.out.Reason = ReasonMerged
		d.byDefault(d.defaultRule())
	}
	for i := range d.p.Fields {
		if f := &d.p.Fields[i]; f.Rule != policy.RuleConditions && d.applies(f) {
			d.field(f, ending{})
		}
	}
	d.conditionLists(d.end()) // last: the end depends on the other fields
	d.explain()
}

// copyFrom takes the whole status of one SyncTarget; rules of fields still apply.
func (d *decider) copyFrom(r Reason, from *Source, whole bool) {
	d.base, d.out.Reason, d.out.Whole = from, r, whole
	for name, value := range from.status() {
		if !d.ruled(name) {
			value, _ = d.translated(value, d.in.Published[name])
		}
		d.out.Status[name] = value
	}
	if r != ReasonCopied {
		d.out.Message += ", taken from " + string(from.Target)
	}
}

// byDefault decides the fields directly below status that have no rule.
func (d *decider) byDefault(rule policy.Rule) {
	if rule == policy.RuleDrop {
		return
	}
	statuses := make([]any, len(d.views), len(d.views)+1)
	for i, v := range d.views {
		statuses[i] = v.status()
	}
	voting := rule == policy.RuleQuorum || rule == policy.RuleUnanimous
	if voting { // a field that no SyncTarget has any more may have to be held
		statuses = append(statuses, d.in.Published)
	}
	for _, name := range policy.FieldNames(statuses) {
		reported := slices.ContainsFunc(d.views, func(v *Source) bool { _, ok := v.status()[name]; return ok })
		if !d.ruled(name) && (reported || d.in.Owned.Field(name)) {
			d.field(&policy.Field{Path: policy.Path{name}, Implied: true, FieldRule: policy.FieldRule{Rule: rule, Keys: d.keys([]string{name})}}, ending{})
		}
	}
}

// defaultRule is the rule of fields without one, where no single SyncTarget is copied.
func (d *decider) defaultRule() policy.Rule {
	switch d.p.Strategy {
	case policy.Union:
		return policy.RuleUnion
	case policy.Quorum:
		return policy.RuleQuorum
	case policy.All:
		return policy.RuleUnanimous
	}
	return d.p.Default
}

func (d *decider) ruled(name string) bool {
	return slices.ContainsFunc(d.p.Fields, func(f policy.Field) bool { return len(f.Path) == 1 && f.Path[0] == name && d.applies(&f) })
}

// applies reports whether a rule decides its field. An implied one does if fields without a rule are published, unless there is something
// else than conditions where they are expected.
func (d *decider) applies(f *policy.Field) bool {
	if !f.Implied || f.Rule != policy.RuleConditions || !d.publishesAll() {
		return !f.Implied || d.publishesAll()
	}
	views := d.views
	if d.base != nil && d.p.Strategy != policy.Representative {
		views = []*Source{d.base}
	}
	others := false
	for _, v := range views {
		list, err := conditionsIn(v.status(), f.Path)
		if len(list) > 0 {
			return true
		}
		others = others || err != nil
	}
	return !others
}

// publishesAll reports whether fields without a rule are published.
func (d *decider) publishesAll() bool {
	return d.base != nil || d.p.Strategy != policy.Merge || d.p.Default != policy.RuleDrop
}

// conditionLists decides the lists of conditions.
func (d *decider) conditionLists(end ending) {
	for i := range d.p.Fields {
		if f := &d.p.Fields[i]; f.Rule == policy.RuleConditions && (d.holding || d.applies(f)) {
			d.field(f, end)
		}
	}
}

// field decides one field.
func (d *decider) field(f *policy.Field, end ending) {
	var value any
	var err error
	switch {
	case slices.Contains(f.Path, "*"):
		if err = d.each(f, end); err == nil {
			return
		}
		f = &policy.Field{Path: f.Path[:slices.Index(f.Path, "*")]}
	case f.Rule == policy.RuleConditions:
		value = d.conditions(f, end)
	default:
		value, err = d.rule(f)
	}
	d.put(f, value, err)
}

// keys are the key fields of the list at a path; none if its order counts.
func (d *decider) keys(path []string) []string { return d.in.Keys(d.p, d.absolute(path)) }

// absolute is a path below status.
func (d *decider) absolute(path []string) []string {
	if d.item == nil {
		return path
	}
	return append(slices.Clip(d.item), path[1:]...)
}

func (d *decider) fail(path policy.Path, err error) {
	d.out.Errors = append(d.out.Errors, fmt.Errorf("%s: %w", path, err))
	d.failed = append(d.failed, path.String())
}

// put sets the value of a field. A rule that failed keeps the published one.
func (d *decider) put(f *policy.Field, value any, err error) {
	if err != nil {
		d.fail(f.Path, err)
		value = d.published(f.Path)
	}
	set(d.out.Status, f.Path, value)
}

// explain sets the reason and the message of everything that did not come from a plain merge.
func (d *decider) explain() {
	strategy := d.p.Strategy
	switch voting := d.out.Reason == ReasonMerged && (strategy == policy.Quorum || strategy == policy.All); {
	case voting && len(d.kept) == 0:
		d.out.Reason = ReasonAgreed
	case voting && strategy == policy.Quorum:
		d.out.Reason = ReasonNoQuorum
	case voting:
		d.out.Reason = ReasonDisagreed
	case d.p.Stale == policy.Hold && slices.ContainsFunc(d.views, (*Source).stale):
		d.out.Reason = ReasonHeld
	}
	for _, err := range d.out.Errors {
		d.out.Message += "; failed: " + err.Error()
	}
	if len(d.kept) > 0 {
		slices.Sort(d.kept)
		d.out.Message += "; as published: " + strings.Join(slices.Compact(d.kept), ", ")
	}
}

func (d *decider) published(path []string) any { return lookup(d.in.Published, path) }

func join(targets []ref.SyncTarget) string {
	names := make([]string, len(targets))
	for i, t := range targets {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
}
