package reconcile

import (
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// slice is how many objects long work concerns in one Step.
const slice = 64

// ripeAfter is the time in which the SyncTargets of a process become known to a new State.
const ripeAfter = 10 * time.Second

// Config is fixed for the life of a State, but for the policy.
type Config struct {
	Policy      *policy.Policy
	Quiet       time.Duration // least time between two writes to one object that reports cause
	Deadline    time.Duration // how long an unlisted SyncTarget is waited for under the staleness policy Exclude
	Incarnation uint64        // unique in the process
	// Decide merges; nil: aggregate.Decide.
	Decide func(*policy.Policy, aggregate.Input) aggregate.Decision
}

// State is the state machine of one resource in one bucket. It is not safe for concurrent use.
type State struct {
	Config
	want   *ref.Want // immutable
	reread uint32    // views of an earlier reading lack metadata that the policy needs

	objects map[ref.Upstream]*object
	targets map[ref.SyncTarget]*target
	keys    map[string]*placementKey // by placement key
	bound   map[ref.Workspace]int    // SyncTargets bound to a workspace, locator.All included, and not evicted
	pending []*target                // SyncTargets that have not listed yet
	scopes  map[ref.Workspace]*scope
	places  map[ref.Workspace][]*place // by workspace: one in each scope that shows it

	due     dueTimes
	woken   int64 // the time of the last Wake effect; 0: stopped
	work    []work
	asked   bool // a Continue effect is on its way
	reads   reads
	warm    warm
	owners  ownership
	decided uint64 // decisions so far
	flush   bool   // the process is stopping: quiet windows do not count

	now     time.Time
	at      int64 // now in Unix nanoseconds
	ripe    bool  // all SyncTargets are known: it counts that none is placed
	ripens  timer
	cause   ref.SyncTarget
	effects []Effect
	count   counts
}

// New makes a State that knows nothing.
func New(c Config) *State {
	if c.Decide == nil {
		c.Decide = aggregate.Decide
	}
	want := Want(c.Policy)
	return &State{
		Config:  c,
		want:    &want,
		objects: map[ref.Upstream]*object{},
		targets: map[ref.SyncTarget]*target{},
		keys:    map[string]*placementKey{},
		bound:   map[ref.Workspace]int{},
		scopes:  map[ref.Workspace]*scope{},
		places:  map[ref.Workspace][]*place{},
		owners:  ownership{},
		count:   newCounts(),
	}
}

// Bucket is the bucket of a namespace of a workspace, of n buckets; n is a power of two. All kinds of a namespace fall into one.
func Bucket(w ref.Workspace, namespace string, n int) int {
	var h xxhash.Digest
	h.Reset()
	_, _ = h.WriteString(string(w))
	_, _ = h.Write([]byte{0})
	_, _ = h.WriteString(namespace)
	return int(h.Sum64() & uint64(n-1)) //nolint:gosec // a power of two, so below n
}

// Want is the metadata of upstream objects that decisions by a policy need, be it from a watch, a read or the answer to a write: each
// replaces the metadata of the others. CEL rules may use any label and annotation.
func Want(p *policy.Policy) ref.Want {
	if slices.ContainsFunc(p.Fields, func(f policy.Field) bool { return f.Program != nil }) {
		return ref.Want{Labels: []string{ref.All}, Annotations: []string{ref.All}, Managers: true, Spec: true}
	}
	return ref.Want{
		Labels:      []string{locator.PlacementPrefix, locator.LegacyPlacementPrefix},
		Annotations: append(evidence.Annotations(), aggregate.PrimaryAnnotation),
		Managers:    true,
		Spec:        true,
	}
}

// Step takes one event at a time that never goes back, and returns the effects to carry out. The slice is valid until the next Step.
func (s *State) Step(now time.Time, e Event) []Effect {
	s.now, s.at, s.cause = now, now.UnixNano(), ""
	if !s.ripe && s.ripens.index == 0 {
		s.due.set(ripening{s}, s.at+int64(ripeAfter))
	}
	clear(s.effects)
	s.effects = s.effects[:0]
	s.apply(e)
	s.warm.cool(s)
	s.wake()
	if len(s.work) > 0 && !s.asked {
		s.asked = true
		s.emit(Continue{})
	}
	return s.effects
}

func (s *State) apply(e Event) {
	switch e := e.(type) {
	case Reported:
		s.reported(e)
	case Withdrew:
		s.withdrew(e)
	case UpstreamObserved:
		s.upstreamObserved(e)
	case UpstreamGone:
		s.upstreamGone(e)
	case Acknowledged:
		s.acknowledged(e)
	case Refused:
		s.refused(e)
	case Fetched:
		s.fetched(e)
	case TimePassed:
		s.woken = 0
		s.due.fire(s)
	case Continue:
		s.asked = false
		s.proceed()
	case WriterRestarted:
		s.writerRestarted()
	case PolicyChanged:
		s.policyChanged(e)
	case Flush:
		s.flushAll()
	default:
		s.applyTarget(e)
		s.applyScope(e)
	}
}

func (s *State) applyTarget(e Event) {
	switch e := e.(type) {
	case CopiesListed:
		s.copiesListed(e)
	case ListConfirmed:
		s.listConfirmed(e)
	case SyncTargetAdded:
		s.targetAdded(e)
	case SyncTargetChanged:
		s.targetChanged(e)
	case SyncTargetRemoved:
		s.targetRemoved(e)
	case FreshnessChanged:
		s.freshnessChanged(e)
	}
}

func (s *State) applyScope(e Event) {
	switch e := e.(type) {
	case UpstreamListed:
		s.upstreamListed(e)
	case WorkspaceLeft:
		s.workspaceLeft(e)
	case ScopeLeft:
		s.scopeLeft(e)
	case ScopeDescribed:
		s.scopeDescribed(e)
	}
}

func (s *State) emit(e Effect) { s.effects = append(s.effects, e) }

func (s *State) warn(once, message string, fields ...any) {
	s.emit(Log{Once: once, Message: message, Fields: fields})
}

func (s *State) policyChanged(e PolicyChanged) {
	s.Policy = e.Policy
	want := Want(e.Policy)
	s.want = &want // the writer may still read the one before
	if e.Reread {
		s.reread++
		return // the list that is due decides
	}
	s.eachScope(func(c *scope) { s.reconsider(c) })
}

func (s *State) writerRestarted() {
	s.eachScope(func(c *scope) {
		s.each(c, func(o *object) {
			o.note(o.pending.received)
			o.pending = nil
			s.consider(o)
		}, func(i int) bool { return c.at(i).pending != nil })
	})
}

// flushAll decides at once on the objects that wait for their quiet window.
func (s *State) flushAll() {
	s.flush = true
	waiting := s.due.objects()
	s.each(waiting, s.consider, func(i int) bool { return waiting[i].notBefore > s.at && waiting[i].suppressed == "" })
}

// Busy reports whether long work is under way: a Continue effect asked for an event that has not come yet.
func (s *State) Busy() bool { return len(s.work) > 0 }

// counts are the Count effects that every event may have: made once, as an interface value costs an allocation.
type counts struct {
	contribution, suppressed, unchanged, coalesced Effect
}

func newCounts() counts {
	one := func(c Counter) Effect { return Count{What: c, Delta: 1} }
	return counts{one(Contributions), one(SuppressedEarly), one(Unchanged), one(Coalesced)}
}

// statusHash identifies a patch without the version that it was decided on.
func statusHash(body []byte) uint64 {
	_, status, _ := strings.Cut(string(body), `"status":`)
	return xxhash.Sum64String(status)
}

// equality says which differences count where an object lives.
func (s *State) equality(o *object, whole bool) patch.Options {
	in := aggregate.Input{Schema: o.place.scope.schema}
	keys := func(path []string) []string { return in.Keys(s.Policy, path) }
	options := patch.Options{Whole: whole, Typed: o.place.scope.typed, Ignore: s.Policy.Ignore, Keys: keys}
	if len(o.place.lessons) > 0 {
		options.Learned = o.learned
	}
	return options
}
