// Package aggregate decides what the status of an upstream object is to be, from what the SyncTargets say of their copies, from what
// is published, and from a policy. It is a pure function: the same input gives the same decision, and what must outlive the process is
// read back from what is published.
package aggregate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// PrimaryAnnotation names the primary SyncTarget on an upstream object.
const PrimaryAnnotation = "upstreamd.dev/primary"

// Decide says what is to be published for one upstream object, and why. It modifies nothing of its input; the decision shares values
// with it.
func Decide(p *policy.Policy, in Input) Decision {
	if byName := func(a, b Source) int { return strings.Compare(string(a.Target), string(b.Target)) }; !slices.IsSortedFunc(in.Sources, byName) {
		in.Sources = slices.Clone(in.Sources)
		slices.SortFunc(in.Sources, byName)
	}
	d := decider{p: p, in: &in}
	switch {
	case len(in.Ambiguous) > 0:
		return stay(ReasonAmbiguous, "several objects claim to be the copy in "+join(in.Ambiguous))
	case p.Finished != nil && (d.ended(p.Finished.Success) || d.ended(p.Finished.Failure)):
		return stay(ReasonFinished, "it has ended, and stays as it is published")
	case in.Withdrawn:
		return d.empty()
	case len(in.Sources) == 0:
		return stay(ReasonNotPlaced, "no SyncTarget is placed")
	}
	if waiting := d.count(); len(waiting) > 0 {
		return stay(ReasonWaiting, fmt.Sprintf("%d/%d SyncTargets listed: not yet %s", len(in.Sources)-len(waiting), len(in.Sources), join(waiting)))
	}
	d.reported = d.report()
	d.out = Decision{Publish: true, Message: d.reported}
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

// decider is one decision in the making.
type decider struct {
	p  *policy.Policy
	in *Input

	views     []view // the SyncTargets that have a say, in the order of their names
	counted   int    // the placed SyncTargets that count: all but those that the policy excludes
	reporting int    // the views with a status
	blind     int    // the views without: what they would say is not known

	base     *view    // where fields without a rule are taken from, if from one SyncTarget
	reported string   // who reports, and who does not
	vals     []any    // scratch: what each view says of the field that is decided
	kept     []string // fields that stay as published because the SyncTargets do not agree
	out      Decision
}

// view is what one SyncTarget has to say, as the policy lets it count.
type view struct {
	*Source
	status map[string]any // nil: not known
	time   time.Time      // when it changed last; zero for one that only counts as zero
}

// stay leaves everything as it is published.
func stay(r Reason, message string) Decision { return Decision{Reason: r, Message: message} }

// count finds out who has a say. It gives the SyncTargets that have to be waited for.
func (d *decider) count() (waiting []ref.SyncTarget) {
	d.views = make([]view, 0, len(d.in.Sources))
	for i := range d.in.Sources {
		s := &d.in.Sources[i]
		unknown := s.State == Unknown
		switch {
		case unknown && d.p.Stale == policy.Hold && !s.Stale, unknown && d.p.Stale != policy.Hold && !d.in.Overdue:
			waiting = append(waiting, s.Target)
			continue
		case d.p.Stale == policy.Exclude && (s.Stale || unknown):
			continue
		}
		d.counted++
		switch {
		case unknown:
			d.blind++
			d.views = append(d.views, view{Source: s})
		case s.State == Reporting:
			d.reporting++
			v := view{Source: s, status: s.Contribution.Status, time: s.Contribution.Time}
			if s.Stale && d.p.Stale == policy.Zero {
				v.status, v.time = zeroed(v.status), time.Time{}
			}
			d.views = append(d.views, v)
		}
	}
	return waiting
}

// heldBack says whether what is published stays for SyncTargets that have not listed: nothing is made of what the others say alone.
func (d *decider) heldBack() bool { return d.blind > 0 && d.p.Stale == policy.Hold }

// empty decides when no SyncTarget has a copy any more.
func (d *decider) empty() Decision {
	if d.p.OnEmpty == policy.Keep {
		return stay(ReasonKept, "no SyncTarget has a copy any more")
	}
	status := map[string]any{}
	if foreign := d.foreign(policy.Path{"conditions"}, nil); len(foreign) > 0 {
		status["conditions"] = foreign
	}
	for i := range d.p.Fields {
		if f := &d.p.Fields[i]; f.Immutable || f.Monotonic { // API servers refuse that it goes
			set(status, f.Path, d.published(f.Path))
		}
	}
	return Decision{Reason: ReasonCleared, Message: "no SyncTarget has a copy any more", Publish: true, Status: status}
}

// hold leaves what is published, but for conditions and the summary: those say what is not known.
func (d *decider) hold(r Reason) {
	d.out.Reason = r
	d.out.Status = make(map[string]any, len(d.in.Published)+1)
	maps.Copy(d.out.Status, d.in.Published)
	if r == ReasonNoStatus && len(d.in.Owned.Fields()) == 0 {
		d.out.Publish = false // nothing was said yet, and nothing is now
		return
	}
	for i := range d.p.Fields {
		if f := &d.p.Fields[i]; f.Rule == policy.RuleConditions {
			set(d.out.Status, f.Path, d.heldConditions(f))
		}
	}
}

// decide makes the status of what the SyncTargets report.
func (d *decider) decide() {
	d.vals = make([]any, len(d.views))
	d.out.Status = make(map[string]any, len(d.p.Fields)+2)
	switch {
	case len(d.in.Sources) == 1:
		d.copyFrom(ReasonCopied, &d.views[0], d.p.Strategy != policy.Merge)
	case d.p.Strategy == policy.Latest:
		d.copyFrom(ReasonLatest, d.latest(), true)
	case d.p.Strategy == policy.Primary:
		if d.base = d.primary(); d.base == nil {
			d.hold(ReasonNoStatus)
			return
		}
		d.copyFrom(ReasonPrimary, d.base, true)
	default:
		d.out.Reason = ReasonMerged
		d.byDefault()
	}
	d.byRule()
	d.explain()
}

// copyFrom takes the whole status of one SyncTarget; rules of fields still hold.
func (d *decider) copyFrom(r Reason, from *view, whole bool) {
	d.base, d.out.Reason, d.out.Whole = from, r, whole
	maps.Copy(d.out.Status, from.status)
	if r != ReasonCopied {
		d.out.Message += ", taken from " + string(from.Target)
	}
}

// byDefault decides the fields directly below status that have no rule.
func (d *decider) byDefault() {
	rule := d.defaultRule()
	if rule == policy.RuleDrop {
		return
	}
	seen := map[string]bool{}
	for _, v := range d.views {
		for name := range v.status {
			seen[name] = true
		}
	}
	if rule == policy.RuleQuorum || rule == policy.RuleUnanimous {
		for name := range d.in.Published { // what nobody says any more may have to be held
			if d.in.Owned.Field(name) {
				seen[name] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if !d.ruled(name) {
			d.field(&policy.Field{Path: policy.Path{name}, Rule: rule, Keys: d.p.Keys([]string{name})})
		}
	}
	for _, group := range d.p.Groups {
		d.group(group, rule)
	}
}

// defaultRule is the rule of fields without one, where no SyncTarget speaks for all.
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
	return slices.ContainsFunc(d.p.Fields, func(f policy.Field) bool { return len(f.Path) == 1 && f.Path[0] == name })
}

// byRule decides the fields that have a rule. Conditions come last: whether all has ended depends on the others.
func (d *decider) byRule() {
	for i := range d.p.Fields {
		f := &d.p.Fields[i]
		if f.Rule == policy.RuleConditions || f.Implied && !d.takenOver() {
			continue
		}
		d.field(f)
	}
	end := d.end()
	for i := range d.p.Fields {
		f := &d.p.Fields[i]
		if f.Rule != policy.RuleConditions {
			continue
		}
		value, err := d.conditions(f, end)
		d.put(f, value, err)
	}
}

// takenOver says whether fields without a rule are published.
func (d *decider) takenOver() bool {
	return d.base != nil || d.p.Strategy != policy.Merge || d.p.Default != policy.RuleDrop
}

// field decides one field.
func (d *decider) field(f *policy.Field) {
	value, err := d.rule(f)
	d.put(f, value, err)
}

// put publishes a value. A rule that failed leaves what is published.
func (d *decider) put(f *policy.Field, value any, err error) {
	if err != nil {
		d.out.Errors = append(d.out.Errors, fmt.Errorf("%s: %w", f.Path, err))
		value = d.published(f.Path)
	}
	set(d.out.Status, f.Path, value)
}

// explain says in the reason and the message what did not come from a plain merge.
func (d *decider) explain() {
	strategy := d.p.Strategy
	switch voting := d.out.Reason == ReasonMerged && (strategy == policy.Quorum || strategy == policy.All); {
	case voting && len(d.kept) == 0:
		d.out.Reason = ReasonAgreed
	case voting && strategy == policy.Quorum:
		d.out.Reason = ReasonNoQuorum
	case voting:
		d.out.Reason = ReasonDisagreed
	case d.p.Stale == policy.Hold && slices.ContainsFunc(d.views, func(v view) bool { return v.Stale }):
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
	var b strings.Builder
	for i, t := range targets {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(t))
	}
	return b.String()
}
