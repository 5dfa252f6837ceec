package actors

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// AggregatorConfig is what an aggregator needs: one resource over all SyncTargets and workspaces.
type AggregatorConfig struct {
	Resource ref.Resource
	Upstream Upstream
	Policies *policy.Set
	Writer   *actor.PID
	Quiet    time.Duration // least time between two writes to one object that inputs cause
	Deadline time.Duration // how long an unknown SyncTarget is waited for under Exclude and Zero
	Jitter   Jitter        // of pauses
	Metrics  *metrics.Metrics
	Log      zerolog.Logger
}

// aggregator merges what the SyncTargets say of each upstream object, and asks the writer for what is due.
type aggregator struct {
	AggregatorConfig
	resource string
	policy   *policy.Policy
	want     ref.Want
	said     *once
	count    aggregatorCounters
	self     *actor.PID
	parent   *actor.PID
	root     *actor.RootContext

	targets map[ref.SyncTarget]*targetState
	byKey   map[string]ref.SyncTarget
	entries map[ref.Upstream]*entry
	scopes  map[ref.Workspace]*scope
	parks   map[ref.Workspace]*park                  // by workspace or scope
	learned map[ref.Workspace]map[string]*time.Timer // paths that the server does not keep as sent, until they are tried again
	owned   ownership
	answers answers
	seq     uint64        // of the latest Write to anything
	looks   int           // how often what is needed of upstream objects has changed
	calls   chan struct{} // bounds GET calls under way
	failing bool
	cause   ref.SyncTarget // whose news is looked at; empty: no single one's

	inbox    *inbox
	stop     context.CancelFunc
	listings []*upstreamListing // being worked off, in order
	todo     []ref.Upstream     // to be decided again, in bulk
	flush    bool               // the daemon is stopping: quiet windows do not count
}

// targetState is what an aggregator knows of a SyncTarget.
type targetState struct {
	locator.Target
	Scheduling
	key       string // of its placement label
	fromEpoch uint64 // what is older comes from an earlier SyncTarget of the same name
	listed    bool
	stale     bool
	since     time.Time // when it was heard of last, if it is stale
	over      ref.Limit // the limit that it went over, if it is stale for that
	overdue   bool
	doubtful  uint64 // epoch of a list from which so much vanished that a second one must say so too; 0: none
}

// scope is what one list covers: a workspace, all of them, or those of one shard. What is there belongs to the scope that showed it:
// what another one lacks says nothing about it.
type scope struct {
	name      ref.Workspace
	version   string // resourceVersion of the last list
	listed    bool   // a list was completed
	described bool   // the API server said how it serves the resource there
	typed     bool
	pending   []*ref.Object // a list that waits for the description, of that version
}

// park keeps a resource in a workspace from being written for a while: it is not served there, or forbidden.
type park struct {
	until   time.Time // nothing is written before, but for one write that tries
	pause   time.Duration
	reason  string
	probing bool // that write was asked for; if nobody hears of it, another tries later
}

type aggregatorCounters struct {
	contributions, suppressed, unchanged, coalesced prometheus.Counter
}

// NewAggregator makes an aggregator actor.
func NewAggregator(c AggregatorConfig) actor.Actor {
	resource := ref.ResourceString(c.Resource)
	c.Log = c.Log.With().Str("resource", resource).Logger()
	return &aggregator{
		AggregatorConfig: c,
		resource:         resource,
		policy:           c.Policies.For(c.Resource),
		want:             upstreamWant(c.Policies.For(c.Resource)),
		said:             newOnce(),
		count: aggregatorCounters{
			contributions: c.Metrics.Contributions.WithLabelValues(resource),
			suppressed:    c.Metrics.Suppressed.WithLabelValues(resource, "aggregator"),
			unchanged:     c.Metrics.Suppressed.WithLabelValues(resource, "unchanged"),
			coalesced:     c.Metrics.Coalesced.WithLabelValues(resource, "aggregator"),
		},
		targets: map[ref.SyncTarget]*targetState{},
		byKey:   map[string]ref.SyncTarget{},
		entries: map[ref.Upstream]*entry{},
		scopes:  map[ref.Workspace]*scope{},
		parks:   map[ref.Workspace]*park{},
		learned: map[ref.Workspace]map[string]*time.Timer{},
		owned:   ownership{},
		calls:   make(chan struct{}, 16),
	}
}

// AggregatorStarted tells the parent that an aggregator is new and knows nothing.
type AggregatorStarted struct{ Resource ref.Resource }

// UpstreamReady tells the parent that a scope of the resource was listed upstream.
type UpstreamReady struct{ Resource ref.Resource }

func (a *aggregator) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		a.begin(ctx)
	case Contributed:
		a.contributed(m)
	case Withdrawn:
		a.withdrawn(m)
	case Listed:
		a.targetListed(ctx, m)
	case poked:
		a.drain(ctx, m)
	case listingContinues:
		a.continueListing(ctx)
	case described:
		a.describedScope(ctx, m)
	case answered:
		a.hearAll()
	case Refused:
		a.refused(m)
	case fetched:
		a.fetched(m)
	case due:
		a.dueNow(m)
	case backlog:
		a.workOff(ctx)
	case parkEnded:
		a.parkEnded(m)
	case unlearn:
		a.unlearn(m)
	case PolicyChanged:
		a.policyChanged(m)
	case WriterRestarted:
		a.writerRestarted()
	case Flush:
		a.flushAll(ctx)
	case Explain:
		ctx.Respond(a.explain(m.Upstream))
	case crashed:
		panic(fmt.Errorf("watching %s upstream: %v", a.resource, m.reason))
	case *actor.Restarting, *actor.Stopping:
		a.end()
	default:
		a.receiveTarget(m)
	}
}

// receiveTarget takes what is said of SyncTargets themselves.
func (a *aggregator) receiveTarget(message any) {
	switch m := message.(type) {
	case TargetAdded:
		a.targetAdded(m)
	case TargetChanged:
		a.targetChanged(m)
	case TargetHealth:
		a.targetHealth(m)
	case TargetRemoved:
		a.targetRemoved(m)
	case overdue:
		a.overdue(m)
	}
}

func (a *aggregator) begin(ctx actor.Context) {
	a.self, a.parent, a.root = ctx.Self(), ctx.Parent(), ctx.ActorSystem().Root
	a.watch()
	ctx.Send(ctx.Parent(), AggregatorStarted{a.Resource})
}

// watch opens the list and watch of the upstream objects in a goroutine that reports into the inbox.
func (a *aggregator) watch() {
	background, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	self, root := a.self, a.root
	a.inbox = newInbox(func(b *inbox) { root.Send(self, poked{b}) })
	box, upstream, resource, want := a.inbox, a.Upstream, a.Resource, a.want
	guard(background, func(reason any) { root.Send(self, crashed{reason}) }, func() {
		upstream.Watch(background, resource, want, box.emit)
	})
}

func (a *aggregator) end() {
	if a.stop != nil {
		a.stop()
	}
	for _, e := range a.entries {
		a.unpark(e)
		e.disarm()
	}
	for w := range a.parks {
		a.forgetWorkspace(w)
	}
	for w := range a.learned {
		a.forgetWorkspace(w)
	}
}

func (a *aggregator) entry(u ref.Upstream) *entry {
	e := a.entries[u]
	if e == nil {
		e = &entry{upstream: u}
		a.entries[u] = e
	}
	return e
}

// release forgets an entry that holds nothing.
func (a *aggregator) release(e *entry) {
	if e.empty() && !e.sending {
		e.disarm()
		delete(a.entries, e.upstream)
	}
}

// ---- what the SyncTargets say

func (a *aggregator) contributed(m Contributed) {
	t := a.targets[m.Target]
	if t == nil || m.At.Epoch < t.fromEpoch {
		return
	}
	a.count.contributions.Inc()
	e := a.entry(m.Upstream)
	if !e.contribute(m) {
		a.count.suppressed.Inc()
		return
	}
	e.note(m.Received)
	if !t.Bound(m.Upstream.Workspace) && e.seen != nil && !locator.Placed(e.seen.Labels, t.key) {
		a.Metrics.Rejected.WithLabelValues("identity").Inc()
		a.Log.WithLevel(a.said.level("unplaced/"+string(m.Target))).Str("sync_target", string(m.Target)).
			Str("object", m.Source.String()).Str("upstream", m.Upstream.String()).
			Msg("contribution refused: the SyncTarget is neither bound to the workspace nor is the object placed on it")
		return
	}
	if t.listed { // else it counts once it is known what else the SyncTarget says of this object
		a.considerNews(e, m.Target)
	}
}

func (a *aggregator) withdrawn(m Withdrawn) {
	e := a.entries[m.Upstream]
	if e == nil || !e.withdraw(m) {
		return
	}
	a.considerNews(e, m.Target)
	a.release(e)
}

// considerNews decides on an object because of what one SyncTarget says.
func (a *aggregator) considerNews(e *entry, of ref.SyncTarget) {
	a.cause = of
	a.consider(e)
	a.cause = ""
}

// massive says when so much vanished in one list that a second list must confirm it.
func massive(vanished, known int) bool { return vanished > 20 && vanished*2 > known }

// targetListed learns what a SyncTarget holds in all: what it lacks is gone, what has not answered yet is waited for.
func (a *aggregator) targetListed(ctx actor.Context, m Listed) {
	t := a.targets[m.Target]
	if t == nil || m.Epoch < t.fromEpoch {
		return
	}
	held := make(map[Held]struct{}, len(m.Held))
	for _, h := range m.Held {
		held[h] = struct{}{}
	}
	there := func(e *entry) func(ref.Downstream) bool {
		return func(s ref.Downstream) bool {
			_, ok := held[Held{s, e.upstream}]
			return ok
		}
	}
	var gone []*entry
	known := 0
	for _, e := range a.entries {
		said := e.of(m.Target)
		if len(said) == 0 {
			continue
		}
		known++
		if slices.ContainsFunc(said, func(c contribution) bool { return c.at.Epoch < m.Epoch && !there(e)(c.source) }) {
			gone = append(gone, e)
		}
	}
	if massive(len(gone), known) && t.doubtful == 0 {
		t.doubtful = m.Epoch
		a.Log.Warn().Str("sync_target", string(m.Target)).Int("vanished", len(gone)).Int("known", known).
			Msg("more than half of the objects vanished in one list; a second list is asked for before they count as gone")
		ctx.Send(m.From, Relist{})
		return
	}
	first := !t.listed
	t.doubtful, t.listed = 0, true
	for _, e := range gone {
		e.withdrawUnless(m.Target, m.Epoch, there(e))
	}
	a.postponeAll(gone)
	for _, h := range m.Held {
		a.entry(h.Upstream).await(m.Target, h.Source, m.Epoch)
	}
	if first { // what it has said so far counts from now on, and for what it does not hold its absence is news
		a.considerAll(func(e *entry) bool { return a.concerns(t, e) && !e.awaits(t.Name) })
	}
}

// ---- the SyncTargets themselves

func (a *aggregator) targetAdded(m TargetAdded) {
	if before := a.targets[m.Target.Name]; before != nil {
		if before.fromEpoch == m.FromEpoch {
			return // said again, as the root does not know what reached an aggregator that started meanwhile
		}
		a.supersede(before, m.FromEpoch)
	}
	t := &targetState{Target: m.Target, Scheduling: m.Scheduling, key: m.Target.Key(), fromEpoch: m.FromEpoch}
	a.targets[m.Target.Name] = t
	a.byKey[t.key] = m.Target.Name
	self, root, message := a.self, a.root, overdue{m.Target.Name, m.FromEpoch}
	time.AfterFunc(a.Deadline, func() { root.Send(self, message) })
	a.considerTarget(t)
}

// supersede withdraws what a SyncTarget said before another of its name took its place. What is published stays until that one has
// listed, since from now on it is waited for.
func (a *aggregator) supersede(before *targetState, fromEpoch uint64) {
	a.considerTarget(before)
	delete(a.byKey, before.key)
	for _, e := range a.entries {
		if e.withdrawTarget(before.Name, fromEpoch) {
			e.had = true
		}
	}
}

func (a *aggregator) targetChanged(m TargetChanged) {
	t := a.targets[m.Target.Name]
	if t == nil {
		return
	}
	a.considerTarget(t) // whatever it had a part in
	delete(a.byKey, t.key)
	t.Target, t.Scheduling, t.key = m.Target, m.Scheduling, m.Target.Key()
	a.byKey[t.key] = m.Target.Name
	a.considerTarget(t) // whatever it has a part in now
}

func (a *aggregator) targetHealth(m TargetHealth) {
	t := a.targets[m.Target]
	if t == nil || t.stale == m.Stale && t.over == m.Over {
		return
	}
	t.stale, t.since, t.over = m.Stale, m.Since, m.Over
	a.considerTarget(t)
}

func (a *aggregator) targetRemoved(m TargetRemoved) {
	t := a.targets[m.Target]
	if t == nil {
		return
	}
	delete(a.targets, m.Target)
	delete(a.byKey, t.key)
	for _, e := range a.entries {
		if e.withdrawTarget(m.Target, ^uint64(0)) {
			e.had = true
		}
	}
	a.considerTarget(t)
}

func (a *aggregator) overdue(m overdue) {
	t := a.targets[m.target]
	if t == nil || t.fromEpoch != m.epoch || t.overdue {
		return
	}
	t.overdue = true
	if !t.listed {
		a.considerTarget(t)
	}
}

func (a *aggregator) policyChanged(m PolicyChanged) {
	a.Policies = m.Policies
	a.policy = m.Policies.For(a.Resource)
	if want := upstreamWant(a.policy); !reflect.DeepEqual(want, a.want) {
		a.want = want
		a.look()
	}
	a.considerAll(func(*entry) bool { return true })
}

// concerns reports whether a SyncTarget may have a part in an object.
func (a *aggregator) concerns(t *targetState, e *entry) bool {
	return len(e.of(t.Name)) > 0 || t.Bound(e.upstream.Workspace) || e.seen != nil && locator.Placed(e.seen.Labels, t.key) || e.had
}

// look reads all upstream objects anew, as something else is needed of them. Until they are here, nothing is decided.
func (a *aggregator) look() {
	a.looks++
	for _, e := range a.entries {
		if e.seen != nil {
			a.goneUpstream(e)
		}
	}
	a.listings = nil
	a.stop()
	a.watch()
}

// considerTarget decides again whatever a SyncTarget may have a part in.
func (a *aggregator) considerTarget(t *targetState) {
	a.considerAll(func(e *entry) bool { return a.concerns(t, e) })
}

// considerAll decides again in turns, so that much to do does not hold up what is new, and in the order of names.
func (a *aggregator) considerAll(which func(*entry) bool) {
	var due []*entry
	for _, e := range a.entries {
		if which(e) {
			due = append(due, e)
		}
	}
	a.postponeAll(due)
}

func (a *aggregator) postponeAll(due []*entry) {
	slices.SortFunc(due, func(a, b *entry) int { return compare(a.upstream, b.upstream) })
	for _, e := range due {
		a.postpone(e)
	}
}

func compare(a, b ref.Upstream) int {
	return cmp.Or(strings.Compare(string(a.Workspace), string(b.Workspace)), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// postpone has an object considered in one of the next turns.
func (a *aggregator) postpone(e *entry) {
	if e.queued {
		return
	}
	e.queued = true
	a.todo = append(a.todo, e.upstream)
	if len(a.todo) == 1 {
		a.root.Send(a.self, backlog{})
	}
}

func (a *aggregator) workOff(ctx actor.Context) {
	n := min(turn, len(a.todo))
	for _, u := range a.todo[:n] {
		if e := a.entries[u]; e != nil {
			if e.queued { // else something that came meanwhile had it decided
				e.queued = false
				a.consider(e)
			}
			a.release(e)
		}
	}
	if a.todo = a.todo[n:]; len(a.todo) == 0 {
		a.todo = nil
		return
	}
	ctx.Send(ctx.Self(), backlog{})
}
