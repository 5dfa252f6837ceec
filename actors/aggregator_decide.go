package actors

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
)

const (
	getTimeout     = 10 * time.Second
	refetchAfter   = time.Second // how long the watch has to bring what a conflict speaks of
	maxConflicts   = 3           // in a row, before the object is read at once
	minFetchPause  = 200 * time.Millisecond
	maxFetchPause  = 10 * time.Second
	learnedFor     = time.Hour // until a field that was not kept is tried again
	resultPark     = 10 * time.Minute
	minKindPark    = 10 * time.Second
	maxKindPark    = 10 * time.Minute
	contestWindow  = time.Minute
	contestAfter   = 3 // overwrites within the window
	minRepairPause = time.Second
	maxRepairPause = 5 * time.Minute
)

// consider decides on an object now, or when its quiet window has ended.
func (a *aggregator) consider(e *entry) {
	s := e.scope
	if e.seen == nil || !s.listed {
		return
	}
	now := time.Now()
	if wait := e.notBefore.Sub(now); wait > 0 && !a.flush {
		a.count.coalesced.Inc()
		a.arm(e, wait)
		return
	}
	a.decide(e, s, now)
}

// decide makes the decision and asks for the write that it calls for. A panic parks this object only.
func (a *aggregator) decide(e *entry, s *scope, now time.Time) {
	defer func() {
		if r := recover(); r != nil {
			a.panicked(e, r)
		}
	}()
	e.queued = false // whatever it was to be decided again for counts now
	a.hear(e)
	in, graceOver := a.input(e, now)
	d := aggregate.Decide(a.policy, in)
	e.reason, e.message, e.suppressed = d.Reason, d.Message, ""
	a.Metrics.Decisions.WithLabelValues(a.resource, string(d.Reason)).Inc()
	for _, err := range d.Errors {
		a.Metrics.RuleFailures.WithLabelValues(a.resource).Inc()
		a.Log.WithLevel(a.said.level("rule/"+err.Error())).Str("upstream", e.upstream.String()).Err(err).
			Msg("a field rule failed; the published value stays")
	}
	a.armGrace(e, in, graceOver, now)
	if !d.Publish {
		a.cancelWrite(e)
		return
	}
	status := patch.Diff(in.Published, d.Status, in.Owned, a.equality(e.upstream.Workspace, s, d.Whole))
	if status == nil {
		a.count.unchanged.Inc()
		e.received = time.Time{}
		a.cancelWrite(e)
		return
	}
	a.write(e, s, d, in.Published, status, now)
}

// input gathers what a decision may depend on.
func (a *aggregator) input(e *entry, now time.Time) (in aggregate.Input, graceOver bool) {
	graceOver = now.Sub(e.generationSince) >= a.policy.SpecSyncGrace
	in = aggregate.Input{
		Generation:  e.seen.Generation,
		Annotations: e.seen.Annotations,
		Labels:      e.seen.Labels,
		Workspace:   e.upstream.Workspace,
		Namespace:   e.upstream.Namespace,
		Name:        e.upstream.Name,
		Published:   a.published(e),
		Owned:       e.seen.owned,
	}
	in.Sources, in.Ambiguous = e.sources(a.targets, a.byKey, graceOver)
	held, unknown := 0, 0
	in.Overdue = true
	for _, source := range in.Sources {
		switch source.State {
		case aggregate.Unknown:
			unknown++
			if t := a.targets[source.Target]; t != nil && !t.overdue {
				in.Overdue = false
			}
		case aggregate.Reporting, aggregate.NoStatus:
			held++
		}
	}
	in.Withdrawn = held == 0 && unknown == 0 && len(in.Ambiguous) == 0 && (e.had || a.everBound(e))
	return in, graceOver
}

// everBound reports whether any SyncTarget could hold the object. Where none could, an empty result says nothing.
func (a *aggregator) everBound(e *entry) bool {
	placed, _ := e.placed(a.targets, a.byKey)
	return len(placed) > 0
}

// armGrace decides again when the time that the way down is given for a new generation has passed.
func (a *aggregator) armGrace(e *entry, in aggregate.Input, graceOver bool, now time.Time) {
	if graceOver {
		return
	}
	for _, source := range in.Sources {
		if source.Contribution != nil && !source.CaughtUp && source.Contribution.UpstreamGeneration == 0 {
			a.arm(e, e.generationSince.Add(a.policy.SpecSyncGrace).Sub(now))
			return
		}
	}
}

// equality says what counts as equal where the object lives.
func (a *aggregator) equality(w ref.Workspace, s *scope, whole bool) patch.Options {
	o := patch.Options{Whole: whole, Typed: s.typed, Ignore: a.policy.Ignore, Keys: a.policy.Keys}
	if learned := a.learned[w]; len(learned) > 0 {
		o.Learned = func(path []string) bool {
			_, ok := learned[strings.Join(path, "\x00")]
			return ok
		}
	}
	return o
}

// write asks for a patch of what is published, unless there is a reason to hold it back.
func (a *aggregator) write(e *entry, s *scope, d aggregate.Decision, published, status map[string]any, now time.Time) {
	if reason := a.parkedKind(e, now); reason != "" {
		e.suppressed = "Parked: " + reason
		a.cancelWrite(e)
		return
	}
	if a.overwritten(e, s, d, now) {
		a.arm(e, e.notBefore.Sub(now))
		return
	}
	body, err := patch.Body(e.seen.ResourceVersion, status)
	if err != nil {
		a.parkResult(e, "", "Unencodable", err)
		return
	}
	if e.trouble != nil && a.heldBack(e, statusOf(body, e.seen.ResourceVersion), now) {
		a.cancelWrite(e)
		return
	}
	a.seq++
	e.seq, e.sending = a.seq, true
	e.notBefore = now.Add(a.Quiet)
	a.root.Send(a.Writer, Write{
		Patch:    ref.Patch{Resource: a.Resource, Upstream: e.upstream, Body: body},
		Seq:      e.seq,
		Version:  e.seen.ResourceVersion,
		Lane:     lane(published, status),
		Cause:    a.cause,
		Received: e.received,
		From:     a.self,
		answers:  &a.answers,
		status:   status,
		desired:  d.Status,
		want:     a.want,
		looks:    a.looks,
		reason:   d.Reason,
	})
	e.received = time.Time{}
}

// statusOf is a patch without the version it was decided on, to tell whether two decisions ask for the same.
func statusOf(body []byte, version string) string {
	return strings.Replace(string(body), version, "", 1)
}

// heldBack reports whether this very patch was refused, or changed nothing, and nothing has changed since.
func (a *aggregator) heldBack(e *entry, text string, now time.Time) bool {
	t := e.trouble
	if t.noopPatch == text && t.noopVersion == e.seen.ResourceVersion {
		e.suppressed = "changes nothing at the API server"
		return true
	}
	if t.parkedPatch == text && t.parkedGeneration == e.generation && now.Before(t.parkedUntil) {
		e.suppressed = "Parked: " + t.parkedReason
		a.arm(e, t.parkedUntil.Sub(now))
		return true
	}
	return false
}

// overwritten finds out whether somebody else has changed what was acknowledged. If that happens again and again, repairs back
// off; it then reports true and notBefore says when the next is due.
func (a *aggregator) overwritten(e *entry, s *scope, d aggregate.Decision, now time.Time) bool {
	if e.desired == 0 || e.sending || e.desired != patch.Digest(d.Status, a.equality(e.upstream.Workspace, s, true)) {
		return false
	}
	t := e.troubled()
	if t.overwrittenAt == e.seen.ResourceVersion {
		return false // counted, and its pause is over
	}
	t.overwrittenAt = e.seen.ResourceVersion
	if now.After(t.repairCalmFrom) {
		t.repairPause = 0
	}
	recent := t.overwrites[:0]
	for _, at := range t.overwrites {
		if now.Sub(at) < contestWindow {
			recent = append(recent, at)
		}
	}
	t.overwrites = append(recent, now)
	if len(t.overwrites) < contestAfter && t.repairPause == 0 {
		return false
	}
	t.repairPause = min(max(2*t.repairPause, minRepairPause), maxRepairPause)
	t.repairCalmFrom = now.Add(2*t.repairPause + contestWindow)
	e.notBefore = now.Add(t.repairPause)
	other := cmp.Or(e.seen.other, "an unknown manager")
	e.suppressed = "Contested: " + other + " overwrites what is published"
	a.Metrics.Contested.WithLabelValues(a.resource).Inc()
	a.Log.WithLevel(a.said.level("contested/"+e.upstream.String())).Str("upstream", e.upstream.String()).
		Str("reason", "Contested").Str("manager", other).Dur("pause", t.repairPause).
		Msg("another writer keeps overwriting owned fields; repairs back off")
	return true
}

// lane puts what matters to people first: a change of phase, or of a condition's status.
func lane(published, status map[string]any) patch.Lane {
	if _, ok := status["phase"]; ok {
		return patch.Urgent
	}
	conditions, ok := status["conditions"].([]any)
	if !ok {
		return patch.Normal
	}
	before := map[any]any{}
	old, _ := published["conditions"].([]any)
	for _, c := range old {
		if m, ok := c.(map[string]any); ok {
			before[m["type"]] = m["status"]
		}
	}
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && before[m["type"]] != m["status"] {
			return patch.Urgent
		}
	}
	return patch.Normal
}

// cancelWrite takes back a write that still waits: what it says is no longer due.
func (a *aggregator) cancelWrite(e *entry) {
	if !e.sending {
		return
	}
	a.seq++
	e.seq, e.sending = a.seq, false
	a.root.Send(a.Writer, Write{Patch: ref.Patch{Resource: a.Resource, Upstream: e.upstream}, Seq: e.seq, From: a.self})
}

// ---- answers

// hearAll takes all answers. What was decided since a write was asked for is decided again.
func (a *aggregator) hearAll() {
	for _, m := range a.answers.all() {
		e := a.entries[m.Write.Patch.Upstream]
		if e == nil {
			continue
		}
		a.acknowledged(e, m)
		switch {
		case e.seen == nil:
			a.release(e)
		case m.Write.Seq != e.seq:
			a.consider(e)
		}
	}
}

// hear takes the answer on one object, which is about to be decided.
func (a *aggregator) hear(e *entry) {
	if m := a.answers.of(e.upstream); m != nil {
		a.acknowledged(e, m)
	}
}

func (a *aggregator) acknowledged(e *entry, m *Acknowledged) {
	a.unparkKind(e)
	if m.Write.Seq == e.seq {
		e.sending = false
	}
	if e.seen == nil {
		return
	}
	if m.Write.looks == a.looks { // else it lacks what is needed now; the watch brings it whole
		a.see(e, m.Object)
	}
	if m.Object.ResourceVersion == m.Write.Version {
		t := e.troubled()
		t.noopPatch, t.noopVersion = statusOf(m.Write.Patch.Body, m.Write.Version), m.Write.Version
	} else {
		a.untrouble(e)
	}
	a.learn(e, m)
	if e.seen.UID == m.Object.UID {
		e.desired = patch.Digest(m.Write.desired, a.equality(e.upstream.Workspace, e.scope, true))
	}
	a.tell(m)
}

// untrouble forgets refusals after a success; who contests a field stays known.
func (a *aggregator) untrouble(e *entry) {
	if e.trouble == nil {
		return
	}
	a.unpark(e)
	e.trouble.conflicts, e.trouble.noopPatch = 0, ""
	if len(e.trouble.overwrites) == 0 && !e.trouble.fetching {
		e.trouble = nil
	}
}

// learn remembers which values the server does not keep as they were sent, so that they are not sent for ever.
func (a *aggregator) learn(e *entry, m *Acknowledged) {
	got, err := status.Parse(m.Object.Status)
	if err != nil {
		return
	}
	for _, path := range patch.Differences(m.Write.status, got, e.scope.typed) {
		w, key := e.upstream.Workspace, strings.Join(path, "\x00")
		if _, known := a.learned[w][key]; known {
			continue
		}
		if a.learned[w] == nil {
			a.learned[w] = map[string]*time.Timer{}
		}
		self, root := a.self, a.root
		a.learned[w][key] = time.AfterFunc(learnedFor, func() { root.Send(self, unlearn{w, key}) })
		text := strings.Join(path, ".")
		a.Log.WithLevel(a.said.level("learned/"+string(w)+"/"+text)).Str("workspace", string(w)).Str("field", "status."+text).
			Msg("the API server does not keep this field as it was sent; it counts as equal from now on")
	}
}

// unlearn has a field tried again that the server did not keep.
func (a *aggregator) unlearn(m unlearn) {
	if _, known := a.learned[m.workspace][m.path]; !known {
		return
	}
	delete(a.learned[m.workspace], m.path)
	for _, e := range a.considerWorkspace(m.workspace) {
		if e.trouble != nil {
			e.trouble.noopPatch = "" // it may change something now
		}
	}
}

// tell tells the world: metrics, and subscribers of the event stream.
func (a *aggregator) tell(m *Acknowledged) {
	var latency time.Duration
	if !m.Write.Received.IsZero() {
		latency = time.Since(m.Write.Received)
		a.Metrics.Propagation.WithLabelValues(a.resource).Observe(latency.Seconds())
	}
	a.root.ActorSystem().EventStream.Publish(Published{
		Resource: a.Resource, Upstream: m.Write.Patch.Upstream, Status: m.Object.Status, Reason: m.Write.reason, Latency: latency,
	})
}

func (a *aggregator) refused(m Refused) {
	e := a.entries[m.Write.Patch.Upstream]
	if e == nil {
		return
	}
	a.hear(e)
	if m.Write.Seq != e.seq {
		a.cancelWrite(e) // decided since, and on its way although it is not known what became of this one
	}
	e.sending = false
	e.note(m.Write.Received)
	switch m.Class {
	case Conflict:
		a.Metrics.Conflicts.WithLabelValues(a.resource).Inc()
		a.unparkKind(e)
		a.conflict(e, m)
	case OutcomeUnknown:
		a.conflict(e, m)
	case Gone:
		a.unparkKind(e)
		a.fetch(e, refetchAfter)
	case NotServed, Forbidden:
		if e.seen != nil { // else it, or all its workspace, has gone meanwhile
			a.park(e.upstream.Workspace, fmt.Sprintf("%s: %v", m.Class, m.Err))
		}
		a.consider(e)
	default: // TooLarge, Invalid
		a.unparkKind(e)
		a.parkResult(e, statusOf(m.Write.Patch.Body, m.Write.Version), string(m.Class), m.Err)
		if m.Write.Seq != e.seq {
			a.consider(e)
		}
	}
}

// conflict decides again from the newer object: the one that the watch brought already or will bring, else one that is read.
func (a *aggregator) conflict(e *entry, m Refused) {
	t := e.troubled()
	t.conflicts++
	switch {
	case e.seen == nil:
	case t.conflicts >= maxConflicts:
		pause := min(minFetchPause<<min(t.conflicts-maxConflicts, 16), maxFetchPause)
		a.fetch(e, pause/2+jittered(a.Jitter, pause/2))
	case newer(e.seen.ResourceVersion, m.Write.Version):
		a.decide(e, e.scope, time.Now())
	default:
		a.fetch(e, refetchAfter)
	}
}

// fetch reads the object aside, unless it is being read.
func (a *aggregator) fetch(e *entry, after time.Duration) {
	t := e.troubled()
	if t.fetching {
		return
	}
	t.fetching = true
	known := ""
	if e.seen != nil {
		known = e.seen.ResourceVersion
	}
	self, root, upstream, resource, want, looks, u, calls := a.self, a.root, a.Upstream, a.Resource, a.want, a.looks, e.upstream, a.calls
	time.AfterFunc(after, func() {
		m := fetched{upstream: u, known: known, looks: looks}
		defer func() {
			if r := recover(); r != nil {
				m.err = fmt.Errorf("panic: %v", r)
			}
			root.Send(self, m)
		}()
		calls <- struct{}{}
		defer func() { <-calls }()
		ctx, cancel := context.WithTimeout(context.Background(), getTimeout)
		defer cancel()
		if m.object, m.err = upstream.Get(ctx, resource, u, want); m.err == nil {
			m.err = isObject(m.object, u)
		}
	})
}

func (a *aggregator) fetched(m fetched) {
	e := a.entries[m.upstream]
	if e == nil || e.trouble == nil {
		return
	}
	e.trouble.fetching = false
	switch {
	case m.err != nil && classify(m.err) == Gone:
		if e.seen != nil && e.seen.ResourceVersion == m.known { // else the watch has brought a newer one meanwhile
			a.goneUpstream(e)
		}
	case m.err != nil:
		a.Log.WithLevel(a.said.level("get")).Str("upstream", m.upstream.String()).Err(m.err).Msg("reading the upstream object failed; tried again")
		a.fetch(e, refetchAfter+jittered(a.Jitter, 10*refetchAfter))
	case e.seen == nil || e.sending:
	case m.looks != a.looks:
		a.decide(e, e.scope, time.Now())
	default:
		if e.seen.ResourceVersion == m.known && newer(m.known, m.object.ResourceVersion) {
			e.seen.ResourceVersion = "" // the server was set back, as by a backup: this is what is there, though it looks older
		}
		a.see(e, m.object)
		a.decide(e, e.scope, time.Now())
	}
}

// ---- parks

// park keeps the resource in a workspace from being written, each time for longer.
func (a *aggregator) park(w ref.Workspace, reason string) {
	p := a.parks[w]
	if p == nil {
		p = &park{}
		a.parks[w] = p
		a.Metrics.Parked.WithLabelValues("kind").Inc()
		a.Log.Warn().Str("workspace", string(w)).Str("reason", reason).Msg("status is not written in this workspace for now")
	} else if time.Now().Before(p.until) && !p.probing {
		return
	}
	p.pause = min(max(2*p.pause, minKindPark), maxKindPark)
	p.reason, p.probing = reason, false
	a.parkFor(w, p, p.pause)
}

func (a *aggregator) parkFor(w ref.Workspace, p *park, d time.Duration) {
	p.until = time.Now().Add(d)
	self, root := a.self, a.root
	time.AfterFunc(d, func() { root.Send(self, parkEnded{w}) })
}

// parkKeys are what an object's writes may be parked by.
func parkKeys(e *entry) []ref.Workspace {
	if e.scope == nil || e.scope.name == e.upstream.Workspace {
		return []ref.Workspace{e.upstream.Workspace}
	}
	return []ref.Workspace{e.upstream.Workspace, e.scope.name}
}

// parkedKind says why a write has to wait because of a park; empty: it need not. After a pause, one write goes ahead to try, and the
// others wait for what becomes of it: not for ever, as it may be taken back, or its outcome never be known.
func (a *aggregator) parkedKind(e *entry, now time.Time) (reason string) {
	if len(a.parks) == 0 {
		return ""
	}
	for _, key := range parkKeys(e) {
		if p := a.parks[key]; p != nil && now.Before(p.until) {
			return p.reason
		}
	}
	for _, key := range parkKeys(e) {
		if p := a.parks[key]; p != nil {
			p.probing = true
			a.parkFor(key, p, minKindPark)
		}
	}
	return ""
}

// considerWorkspace decides again on what is in a workspace or scope, in the order of names: after a park, the first is the one that tries.
func (a *aggregator) considerWorkspace(w ref.Workspace) []*entry {
	var waiting []*entry
	for _, e := range a.entries {
		if e.seen != nil && slices.Contains(parkKeys(e), w) {
			waiting = append(waiting, e)
		}
	}
	a.postponeAll(waiting)
	return waiting
}

func (a *aggregator) parkEnded(m parkEnded) {
	p := a.parks[m.workspace]
	if p == nil || time.Now().Before(p.until) {
		return
	}
	p.probing = false
	if len(a.considerWorkspace(m.workspace)) == 0 {
		a.forgetWorkspace(m.workspace) // nothing is left there to be written
	}
}

// unparkKind ends the parks of an object: the API server serves the resource.
func (a *aggregator) unparkKind(e *entry) {
	if len(a.parks) == 0 {
		return
	}
	for _, key := range parkKeys(e) {
		if a.parks[key] == nil {
			continue
		}
		delete(a.parks, key)
		a.Metrics.Parked.WithLabelValues("kind").Dec()
		a.Log.Info().Str("workspace", string(key)).Msg("status is written in this workspace again")
		a.considerWorkspace(key)
	}
}

func (a *aggregator) parkResult(e *entry, text, reason string, err error) {
	a.unpark(e)
	a.Metrics.Parked.WithLabelValues(reason).Inc()
	t := e.troubled()
	t.parkedPatch, t.parkedGeneration, t.parkedReason = text, e.generation, reason
	t.parkedUntil = time.Now().Add(resultPark)
	e.suppressed = "Parked: " + reason
	a.Log.WithLevel(a.said.level("park/"+reason)).Str("upstream", e.upstream.String()).Str("reason", reason).Err(err).
		Msg("the result was refused; it waits until its inputs change")
	a.arm(e, resultPark)
}

func (a *aggregator) unpark(e *entry) {
	if e.trouble != nil && e.trouble.parkedReason != "" {
		a.Metrics.Parked.WithLabelValues(e.trouble.parkedReason).Dec()
		e.trouble.parkedReason, e.trouble.parkedPatch, e.trouble.parkedUntil = "", "", time.Time{}
	}
}

func (a *aggregator) panicked(e *entry, reason any) {
	e.reason, e.suppressed = "Panicked", "Parked: Panicked"
	a.Metrics.Decisions.WithLabelValues(a.resource, "Panicked").Inc()
	a.Log.Error().Str("upstream", e.upstream.String()).Interface("panic", reason).
		Msg("deciding on this object panicked; it stays as it is until its inputs change")
}

// ---- time

// arm makes sure that the object is decided again after d, or earlier.
func (a *aggregator) arm(e *entry, d time.Duration) {
	at := time.Now().Add(d)
	if e.timer != nil && !e.dueAt.After(at) {
		return
	}
	e.disarm()
	self, root, message := a.self, a.root, due{e.upstream, at}
	e.dueAt = at
	e.timer = time.AfterFunc(d, func() { root.Send(self, message) })
}

func (a *aggregator) dueNow(m due) {
	e := a.entries[m.upstream]
	if e == nil || !e.dueAt.Equal(m.at) {
		return
	}
	e.timer, e.dueAt = nil, time.Time{}
	a.consider(e)
}

func (a *aggregator) writerRestarted() {
	a.considerAll(func(e *entry) bool {
		lost := e.sending
		e.sending = false
		return lost
	})
}

// flushAll decides at once whatever waits for its quiet window: the daemon is stopping.
func (a *aggregator) flushAll(ctx actor.Context) {
	a.flush = true
	for _, e := range a.entries {
		if e.timer != nil && !e.notBefore.IsZero() && e.suppressed == "" {
			a.consider(e)
		}
	}
	ctx.Respond(Flushed{})
}

func (a *aggregator) explain(u ref.Upstream) Explanation {
	e := a.entries[u]
	if e == nil || e.seen == nil {
		return Explanation{}
	}
	in, _ := a.input(e, time.Now())
	return Explanation{Known: true, Reason: e.reason, Message: e.message, Input: in, Status: in.Published, Suppressed: e.suppressed}
}
