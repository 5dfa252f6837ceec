package actors

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// entry is what an aggregator knows of one upstream object.
type entry struct {
	upstream ref.Upstream

	// What is there.
	seen  *seen  // nil: not seen, or gone
	scope *scope // where it was seen; nil with it

	// What the SyncTargets say, in the order of target and source. Two sources of one target are ambiguous.
	contributions []contribution

	// Generation gate: when the current upstream generation was first seen.
	generation      int64
	generationSince time.Time

	// What was decided.
	reason     aggregate.Reason
	message    string
	suppressed string    // why a due patch is held back
	received   time.Time // of the oldest event that is not in a Write yet
	queued     bool      // among the aggregator's todo
	had        bool      // a removed SyncTarget had contributed

	// What was sent.
	seq       uint64 // of the latest Write; 0: none yet
	sending   bool   // it waits or is in flight
	desired   uint64 // digest of the status that was acknowledged last; 0: none was
	notBefore time.Time
	timer     *time.Timer
	dueAt     time.Time // when timer fires

	trouble *trouble // nil as long as all goes well
}

// seen is what is kept of an upstream object. The status stays JSON until a decision needs it: parsed, it takes twice the memory.
type seen struct {
	UID                 types.UID
	ResourceVersion     string
	Generation          int64
	Labels, Annotations map[string]string
	status              []byte
	owned               *patch.Owned // what of it is ours
	other               string       // the manager of the status that is not us and wrote last; empty: there is none
}

// trouble is the state of an object whose writes do not go through as they should.
type trouble struct {
	conflicts int // in a row
	fetching  bool

	// A result that was refused as such, and until when the same is not tried again.
	parkedUntil      time.Time
	parkedPatch      string
	parkedGeneration int64
	parkedReason     string

	// The patch that changed nothing, and at which resourceVersion.
	noopPatch, noopVersion string

	// Owned fields that somebody else overwrote.
	overwrites     []time.Time
	overwrittenAt  string // resourceVersion that was counted last
	repairPause    time.Duration
	repairCalmFrom time.Time
}

// contribution is what one downstream object says.
type contribution struct {
	target   ref.SyncTarget
	source   ref.Downstream
	at       Position
	awaited  bool // listed, but it has not answered yet
	value    *aggregate.Contribution
	refused  string
	baseline int64 // downstream generation when the current upstream generation was first seen; 0: not known then
}

func (e *entry) find(t ref.SyncTarget, s ref.Downstream) (int, bool) {
	return slices.BinarySearchFunc(e.contributions, contribution{target: t, source: s}, func(a, b contribution) int {
		if c := strings.Compare(string(a.target), string(b.target)); c != 0 {
			return c
		}
		if c := strings.Compare(a.source.Namespace, b.source.Namespace); c != 0 {
			return c
		}
		return strings.Compare(a.source.Name, b.source.Name)
	})
}

// of returns the contributions of one SyncTarget.
func (e *entry) of(t ref.SyncTarget) []contribution {
	from, _ := e.find(t, ref.Downstream{})
	to := from
	for to < len(e.contributions) && e.contributions[to].target == t {
		to++
	}
	return e.contributions[from:to]
}

// contribute records what a downstream object says, and reports whether it is news.
func (e *entry) contribute(m Contributed) bool {
	i, ok := e.find(m.Target, m.Source)
	if !ok {
		e.contributions = slices.Insert(e.contributions, i, contribution{target: m.Target, source: m.Source})
	}
	c := &e.contributions[i]
	if ok && m.At.Before(c.at) {
		return false
	}
	news := !ok || c.awaited || c.value != m.Contribution || c.refused != m.Refused
	if c.at.UID != m.At.UID { // another object under the same name
		c.baseline = 0
	}
	if c.baseline == 0 && m.Contribution != nil {
		c.baseline = m.Contribution.Generation
	}
	c.at, c.value, c.refused, c.awaited = m.At, m.Contribution, m.Refused, false
	return news
}

// await notes that a listed object is going to say something, unless it has already.
func (e *entry) await(t ref.SyncTarget, s ref.Downstream, epoch uint64) {
	if i, ok := e.find(t, s); !ok {
		e.contributions = slices.Insert(e.contributions, i, contribution{target: t, source: s, awaited: true, at: Position{Epoch: epoch}})
	}
}

// awaits reports whether a listed object of a SyncTarget has not answered yet.
func (e *entry) awaits(t ref.SyncTarget) bool {
	return slices.ContainsFunc(e.of(t), func(c contribution) bool { return c.awaited })
}

// withdraw forgets what a downstream object said, unless a newer one has taken its place.
func (e *entry) withdraw(m Withdrawn) bool {
	i, ok := e.find(m.Target, m.Source)
	if !ok || m.At.Before(e.contributions[i].at) {
		return false
	}
	e.contributions = slices.Delete(e.contributions, i, i+1)
	return true
}

// withdrawTarget forgets what a SyncTarget said before an epoch.
func (e *entry) withdrawTarget(t ref.SyncTarget, before uint64) bool {
	return e.withdrawUnless(t, before, func(ref.Downstream) bool { return false })
}

// withdrawUnless forgets what a SyncTarget's objects said before an epoch, but for those that are still there.
func (e *entry) withdrawUnless(t ref.SyncTarget, before uint64, there func(ref.Downstream) bool) bool {
	n := len(e.contributions)
	e.contributions = slices.DeleteFunc(e.contributions, func(c contribution) bool {
		return c.target == t && c.at.Epoch < before && !there(c.source)
	})
	return len(e.contributions) != n
}

// knows reports whether this version of the upstream object, or a newer one, was seen: also one of another uid, as in an answer about
// the object that this one has replaced.
func (e *entry) knows(o *ref.Object) bool {
	return e.seen != nil && (e.seen.ResourceVersion == o.ResourceVersion || newer(e.seen.ResourceVersion, o.ResourceVersion))
}

// view takes the upstream object as it is now. It reports whether that is news.
func (e *entry) view(o *ref.Object, owned *patch.Owned, now time.Time) bool {
	if e.knows(o) {
		return false
	}
	if e.seen != nil && e.seen.UID != o.UID { // another object under the same name: nothing that was sent counts for it
		e.desired, e.trouble, e.generation = 0, nil, 0
	}
	e.seen = &seen{
		UID: o.UID, ResourceVersion: o.ResourceVersion, Generation: o.Generation, Labels: o.Labels, Annotations: o.Annotations,
		status: o.Status, owned: owned, other: otherManager(o),
	}
	if e.generation != o.Generation {
		e.generation, e.generationSince = o.Generation, now
		for i := range e.contributions {
			e.contributions[i].baseline = 0
			if v := e.contributions[i].value; v != nil {
				e.contributions[i].baseline = v.Generation
			}
		}
	}
	return true
}

// upstreamWant is what is needed of upstream objects, whether a watch, a GET or the answer to a PATCH brings them: each replaces what
// the others brought. CEL rules may look at any label and annotation.
func upstreamWant(p *policy.Policy) ref.Want {
	if slices.ContainsFunc(p.Fields, func(f policy.Field) bool { return f.Program != nil }) {
		return ref.Want{Labels: []string{ref.All}, Annotations: []string{ref.All}, Managers: true}
	}
	return ref.Want{
		Labels:      []string{locator.PlacementPrefix, locator.LegacyPlacementPrefix},
		Annotations: []string{aggregate.PrimaryAnnotation},
		Managers:    true,
	}
}

// otherManager names the writer of the status that is not us and wrote last.
func otherManager(o *ref.Object) (name string) {
	newest := time.Time{}
	for _, m := range o.Managers {
		if m.Name != ref.FieldManager && !m.Time.Before(newest) {
			name, newest = m.Name, m.Time
		}
	}
	return name
}

// ownership parses what of a status is ours. Objects of one kind are mostly owned alike: each form is parsed and kept once.
type ownership map[string]*patch.Owned

// ownershipLimit bounds how many forms are kept.
const ownershipLimit = 1024

func (known ownership) of(o *ref.Object) *patch.Owned {
	for _, m := range o.Managers {
		if m.Name != ref.FieldManager {
			continue
		}
		if owned, ok := known[string(m.Fields)]; ok {
			return owned
		}
		owned, err := patch.ParseOwned(m.Fields)
		if err != nil {
			return nil // foreign bytes under our name: nothing is known to be ours, so nothing is removed
		}
		if len(known) >= ownershipLimit {
			clear(known)
		}
		known[string(m.Fields)] = owned
		return owned
	}
	return nil
}

// caughtUp reports whether a copy stems from the current upstream generation, and why.
func (e *entry) caughtUp(c contribution, graceOver bool) (bool, string) {
	switch {
	case c.value.UpstreamGeneration != 0:
		return c.value.UpstreamGeneration >= e.generation, "annotation"
	case c.baseline != 0 && c.value.Generation > c.baseline:
		return true, "new downstream generation"
	case graceOver:
		return true, "grace"
	}
	return false, "waiting for a new downstream generation or the grace"
}

// sources puts together, for the placed SyncTargets in the order of their names, what is known of each.
func (e *entry) sources(
	targets map[ref.SyncTarget]*targetState, byKey map[string]ref.SyncTarget, graceOver bool,
) (sources []aggregate.Source, ambiguous []ref.SyncTarget) {
	placed, byLabel := e.placed(targets, byKey)
	for _, name := range placed {
		t := targets[name]
		s := aggregate.Source{Target: name, State: aggregate.Unknown, Stale: t == nil || t.stale, Unschedulable: t != nil && t.Unschedulable}
		said := e.of(name)
		if t != nil {
			s.Since, s.Over = t.since, t.over
		} else {
			s.Since = e.generationSince // nobody knows it: not since it was placed there
		}
		switch {
		case t == nil || !t.listed: // what it says may be a part of what it is about to say
		case len(said) == 0:
			s.State = aggregate.Absent
		case len(said) > 1:
			ambiguous = append(ambiguous, name)
			continue
		case said[0].awaited:
		case said[0].value == nil:
			s.State = aggregate.NoStatus
		default:
			s.State, s.Contribution = aggregate.Reporting, said[0].value
			s.CaughtUp, _ = e.caughtUp(said[0], graceOver)
		}
		if s.State == aggregate.Absent && !byLabel {
			continue // a candidate that does not have the object is not placed
		}
		sources = append(sources, s)
	}
	return sources, ambiguous
}

// placed names the SyncTargets that count: those that the object's labels name, else those that are bound to its workspace; none that
// is to hold nothing any more.
func (e *entry) placed(targets map[ref.SyncTarget]*targetState, byKey map[string]ref.SyncTarget) (names []ref.SyncTarget, byLabel bool) {
	for _, key := range locator.PlacedKeys(e.seen.Labels) {
		byLabel = true
		name, ok := byKey[key]
		if !ok {
			name = ref.SyncTarget(key) // placed on a SyncTarget that nobody configured: it counts, and is never heard of
		}
		if t := targets[name]; t != nil && t.Evicted {
			continue
		}
		names = append(names, name)
	}
	if !byLabel {
		for name, t := range targets {
			if t.Bound(e.upstream.Workspace) && !t.Evicted {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names, byLabel
}

// empty reports whether nothing is known that is worth keeping.
func (e *entry) empty() bool { return e.seen == nil && len(e.contributions) == 0 }

// note remembers the arrival of the oldest event that was not written.
func (e *entry) note(received time.Time) {
	if !received.IsZero() && (e.received.IsZero() || received.Before(e.received)) {
		e.received = received
	}
}

// troubled returns the trouble to write into.
func (e *entry) troubled() *trouble {
	if e.trouble == nil {
		e.trouble = &trouble{}
	}
	return e.trouble
}

func (e *entry) disarm() {
	if e.timer != nil {
		e.timer.Stop()
		e.timer, e.dueAt = nil, time.Time{}
	}
}
