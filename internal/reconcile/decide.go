package reconcile

import (
	"cmp"
	"fmt"
	"time"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Panicked is the reason of an object after its decision panicked.
const Panicked aggregate.Reason = "Panicked"

// outcome is a decision and the patch that it calls for. Making one changes no state but caches.
type outcome struct {
	aggregate.Decision
	in      aggregate.Input
	patch   map[string]any // nil: the decision is published already
	body    []byte
	bodyErr error
	lane    patch.Lane
	digest  uint64 // of the decided status, where an acknowledged one is known
}

// consider decides on an object now, or when its quiet window has ended.
func (s *State) consider(o *object) {
	if !s.decidable(o) {
		return
	}
	if o.notBefore > s.at && !s.flush {
		s.emit(s.count.coalesced)
		s.decideAt(o, o.notBefore)
		return
	}
	s.decide(o)
}

// decidable reports whether all that a decision needs was listed.
func (s *State) decidable(o *object) bool {
	return o.view != nil && o.view.reread == s.reread && o.place.scope.ready && !o.place.scope.left
}

// decide makes the decision and asks for the write that it calls for.
func (s *State) decide(o *object) {
	s.decided++
	o.decided = s.decided
	var out outcome
	if !s.guarded(o, func() { out = s.evaluate(o) }) {
		return
	}
	o.reason, o.suppressed = out.Reason, ""
	for _, err := range out.Errors {
		s.emit(Count{RuleFailures, "", 1})
		s.warn("rule/"+err.Error(), "a field rule failed; the published value stays", "upstream", o.name, "error", err)
	}
	s.awaitProof(o, out.in.Sources)
	switch {
	case !out.Publish:
		s.cancel(o)
	case out.patch == nil:
		s.emit(s.count.unchanged)
		o.received = time.Time{}
		s.cancel(o)
	default:
		s.write(o, out)
	}
	s.emit(Decided{o.name, o.reason, o.suppressed})
}

// guarded runs fn, which changes no state, and parks the object if it panics.
func (s *State) guarded(o *object, fn func()) (done bool) {
	defer func() {
		if r := recover(); r != nil {
			done = false
			o.reason, o.suppressed = Panicked, "Parked: Panicked"
			s.emit(Decided{o.name, o.reason, o.suppressed})
			s.warn("", "the decision on this object panicked; its status stays as published until its inputs change", "upstream", o.name, "panic", fmt.Sprint(r))
		}
	}()
	fn()
	return true
}

func (s *State) evaluate(o *object) (out outcome) {
	out.in = s.input(o)
	out.Decision = s.Decide(s.Policy, out.in)
	if !out.Publish {
		return out
	}
	out.patch = patch.Diff(out.in.Published, out.Status, out.in.Owned, s.equality(o, out.Whole))
	if out.patch == nil {
		return out
	}
	out.body, out.bodyErr = patch.Body(o.view.version, out.patch)
	out.lane = lane(out.in.Published, out.patch)
	if o.desired != 0 {
		out.digest = patch.Digest(out.Status, s.equality(o, true))
	}
	return out
}

// input is everything that a decision may depend on.
func (s *State) input(o *object) aggregate.Input {
	in := aggregate.Input{
		Generation:  o.view.generation,
		Annotations: o.view.annotations,
		Labels:      o.view.labels,
		Schema:      o.place.scope.schema,
		Workspace:   o.name.Workspace,
		Namespace:   o.name.Namespace,
		Name:        o.name.Name,
		Published:   s.published(o),
		Owned:       o.view.owned,
		Overdue:     true,
	}
	var placed int
	in.Sources, in.Ambiguous, placed = s.sources(o)
	held, unknown := 0, 0
	for _, source := range in.Sources {
		switch source.State {
		case aggregate.Unknown:
			unknown++
			if t := s.targets[source.Target]; t != nil && !t.overdue {
				in.Overdue = false
			}
		case aggregate.Reporting, aggregate.NoStatus:
			held++
		}
	}
	in.Unplaced = placed == 0 && len(in.Sources) == 0 && len(s.targets) > 0 && s.ripe && in.Owned.Field()
	in.Withdrawn = held == 0 && unknown == 0 && len(in.Ambiguous) == 0 && (o.had || s.possible(o, placed))
	return in
}

// write asks for the patch, unless there is a reason to hold it back.
func (s *State) write(o *object, out outcome) {
	if reason := s.parked(o); reason != "" {
		o.suppressed = "Parked: " + reason
		s.retract(o)
		return
	}
	if s.overwritten(o, out) {
		s.decideAt(o, o.notBefore)
		return
	}
	if out.bodyErr != nil {
		s.parkResult(o, 0, "Unencodable", out.bodyErr) // no patch has this hash: every decision tries to encode again
		return
	}
	full := s.refusedBefore(o, out)
	if full != 0 {
		var ok bool
		if out, ok = s.reduced(o, out); !ok {
			s.retract(o)
			return
		}
	}
	hash := statusHash(out.body)
	if s.heldBack(o, hash) {
		s.retract(o)
		return
	}
	if w := o.pending; w != nil {
		if w.version == o.view.version && w.hash == hash {
			s.probe(o)
			return // asked for already
		}
		o.note(w.received)
	}
	s.probe(o)
	o.pending = &sent{
		version: o.view.version, reread: s.reread, hash: hash, full: full,
		patch: out.patch, desired: out.Status, reason: out.Reason, received: o.received,
	}
	o.notBefore = s.at + int64(s.Quiet)
	s.emit(Write{
		Upstream: o.name,
		Body:     out.body,
		Version:  o.view.version,
		Lane:     out.lane,
		Cause:    s.cause,
		Received: o.received,
		Want:     s.want,
		Token:    Token{s.Incarnation, o.pending},
	})
	o.received = time.Time{}
}

// cancel takes back a write that still waits: its content is no longer due.
func (s *State) cancel(o *object) {
	if o.pending == nil {
		return
	}
	o.pending = nil
	s.emit(Cancel{o.name})
}

// retract cancels a queued write; its content stays due, and is written later.
func (s *State) retract(o *object) {
	if o.pending != nil {
		o.note(o.pending.received)
		s.cancel(o)
	}
}

// refusedBefore returns the digest of a result that was refused as it is, and is not to be tried again yet; 0: it is another one.
func (s *State) refusedBefore(o *object, out outcome) uint64 {
	t := o.trouble
	if t == nil || t.parkedReason == "" || t.parkedAny || t.parkedGeneration != o.generation || s.at >= t.parkedUntil {
		return 0
	}
	if result := patch.Digest(out.Status, s.equality(o, true)); result == t.parkedResult {
		return result
	}
	return 0
}

// heldBack reports whether this very patch has to wait for a read, changed nothing, or is forbidden, and nothing has changed since.
func (s *State) heldBack(o *object, hash uint64) bool {
	t := o.trouble
	if t == nil {
		return false
	}
	if t.outdated == o.view.version {
		o.suppressed = "waits for the object that a conflict is about"
		return true
	}
	if t.noopPatch == hash && t.noopVersion == o.view.version {
		o.suppressed = "changes nothing at the API server"
		return true
	}
	if t.parkedAny && t.parkedGeneration == o.generation && s.at < t.parkedUntil {
		o.suppressed = "Parked: " + t.parkedReason
		s.decideAt(o, t.parkedUntil)
		return true
	}
	return false
}

// lane makes a change of phase, or of a condition's status, urgent: users wait for those.
func lane(published, status map[string]any) patch.Lane {
	if _, ok := status["phase"]; ok {
		return patch.Urgent
	}
	before := statuses(published["conditions"])
	for kind, status := range statuses(status["conditions"]) {
		if before[kind] != status {
			return patch.Urgent
		}
	}
	return patch.Normal
}

// statuses are the statuses of a list of conditions, by type.
func statuses(conditions any) map[string]string {
	list, _ := conditions.([]any)
	if len(list) == 0 {
		return nil
	}
	byType := make(map[string]string, len(list))
	for _, c := range list {
		if m, ok := c.(map[string]any); ok {
			if kind, ok := m["type"].(string); ok {
				byType[kind], _ = m["status"].(string)
			}
		}
	}
	return byType
}

// ---- other managers of our fields

// contest remembers that another manager overwrites fields of ours.
type contest struct {
	overwrites    []int64 // times, within contestWindow
	overwrittenAt string  // the resourceVersion that was counted last
	pause         time.Duration
	calmFrom      int64
}

const (
	contestWindow  = time.Minute
	contestAfter   = 3 // overwrites within the window
	minRepairPause = time.Second
	maxRepairPause = 5 * time.Minute
)

// overwritten finds out whether another manager changed the status that was acknowledged. If that happens repeatedly, repairs back off; it
// then reports true, and notBefore is the time of the next repair.
func (s *State) overwritten(o *object, out outcome) bool {
	if o.desired == 0 || o.pending != nil || o.desired != out.digest {
		return false
	}
	c := &o.troubled().contest
	if c.overwrittenAt == o.view.version {
		return false // counted, and its pause is over
	}
	c.overwrittenAt = o.view.version
	if s.at > c.calmFrom {
		c.pause = 0
	}
	recent := c.overwrites[:0]
	for _, at := range c.overwrites {
		if s.at-at < int64(contestWindow) {
			recent = append(recent, at)
		}
	}
	c.overwrites = append(recent, s.at)
	if len(c.overwrites) < contestAfter && c.pause == 0 {
		return false
	}
	if len(c.overwrites) > contestAfter {
		c.overwrites = c.overwrites[len(c.overwrites)-contestAfter:]
	}
	c.pause = min(max(2*c.pause, minRepairPause), maxRepairPause)
	c.calmFrom = s.at + int64(2*c.pause+contestWindow)
	o.notBefore = s.at + int64(c.pause)
	other := cmp.Or(o.view.other, "an unknown manager")
	o.suppressed = "Contested: " + other + " overwrites the published status"
	s.emit(Count{Contested, "", 1})
	s.warn("contested/"+o.name.String()+"/"+other, "another manager keeps overwriting owned fields; repairs back off",
		"upstream", o.name, "reason", "Contested", "manager", other, "pause", c.pause)
	return true
}

// ---- explain

// Explanation holds the known facts about an object and its last decision.
type Explanation struct {
	Known      bool
	Reason     aggregate.Reason
	Message    string
	Input      aggregate.Input
	Status     map[string]any // as published
	Suppressed string         // why a due write is held back: "", "Parked: …", "Contested: …"
}

// Explain makes the decision on an object again, without any effect.
func (s *State) Explain(now time.Time, u ref.Upstream) Explanation {
	o := s.objects[u]
	if o == nil || o.view == nil {
		return Explanation{}
	}
	s.now, s.at = now, now.UnixNano()
	x := Explanation{Known: true, Reason: o.reason, Suppressed: o.suppressed}
	s.guarded(o, func() {
		x.Input = s.input(o)
		x.Status = x.Input.Published
		x.Message = s.Decide(s.Policy, x.Input).Message
	})
	clear(s.effects)
	s.effects = s.effects[:0]
	return x
}
