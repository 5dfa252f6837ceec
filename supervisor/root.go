package supervisor

import (
	"reflect"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// The names of actors below the root. A ":" ends the role, which is the label in metrics.
const (
	rootName         = "upstreamd"
	writerName       = "writer"
	namespacesName   = "namespaces"
	aggregatorPrefix = "aggregator:"
	targetPrefix     = "target:"
	watchPrefix      = "watch:"
)

// rootActor keeps the order: the writer and the aggregators run before any SyncTarget reports; when stopping, the watches of SyncTargets
// end first, then pending decisions are written.
type rootActor struct {
	system      *System
	writer      *actor.PID
	written     bool // a writer has started before
	aggregators map[ref.Resource]aggregation
	removed     map[string]actors.Buckets // of aggregators that are stopping, by the aggregator's path
	targets     map[string]*member        // by the path of the target's actor
	stopping    *stopping
}

// member is a SyncTarget with a running actor, and the facts that the buckets have received.
type member struct {
	*registration
	known *facts
}

// aggregation is a resource's aggregator.
type aggregation struct {
	pid     *actor.PID
	buckets actors.Buckets // empty until they have started
	number  uint64
}

func (r *rootActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		r.begin(ctx)
	case *actor.Terminated:
		r.terminated(ctx, m.Who)
	case targetStarted:
		r.targetStarted(ctx, m.registration)
	case actors.AggregatorStarted:
		r.aggregatorStarted(ctx, m.Resource)
	case actors.UpstreamReady:
		r.system.setReady(m.Resource)
	case actors.WriterStarted:
		r.writerStarted(ctx)
	case actors.PolicyChanged:
		r.toAggregators(ctx, m)
		r.toTargets(ctx, m)
	case actors.MayWrite:
		ctx.Send(r.writer, m)
	case actors.Flushed:
		r.flushed(ctx, m.Resource)
	case actors.Drained:
		r.drained()
	default:
		r.request(ctx, m)
	}
}

// request handles requests of the System.
func (r *rootActor) request(ctx actor.Context, message any) {
	switch m := message.(type) {
	case addResource:
		r.aggregate(ctx, m.resource, m.number)
	case removeResource:
		r.removeResource(ctx, m)
	case addTarget:
		r.addTarget(ctx, m.registration)
	case changeTarget:
		r.changeTarget(ctx, m.registration)
	case removeTarget:
		r.removeTarget(ctx, m.registration)
	case replaceTarget:
		r.replaceTarget(ctx, m)
	case stop:
		r.stop(ctx, m)
	}
}

// begin starts the registered resources and SyncTargets. After a restart of the root these are all.
func (r *rootActor) begin(ctx actor.Context) {
	r.aggregators = map[ref.Resource]aggregation{}
	r.removed = map[string]actors.Buckets{}
	r.targets = map[string]*member{}
	o := r.system.options
	r.writer = r.system.spawn(ctx, writerName, func() actor.Actor {
		return actors.NewWriter(actors.WriterConfig{
			WriterOptions: o.Writer, Upstream: o.Upstream, Fence: o.Fence, Jitter: o.Jitter, Metrics: o.Metrics, Log: o.Logger,
		})
	})
	for resource, number := range r.system.resourceNumbers() {
		r.aggregate(ctx, resource, number)
	}
	for _, registration := range r.system.registrations() {
		r.addTarget(ctx, registration)
	}
}

func (r *rootActor) aggregate(ctx actor.Context, resource ref.Resource, number uint64) {
	if r.aggregators[resource].number >= number || r.stopping != nil {
		return
	}
	o := r.system.options
	pid := r.system.spawn(ctx, aggregatorPrefix+numbered(resource, number), func() actor.Actor {
		return actors.NewAggregator(actors.AggregatorConfig{
			Resource: resource, Upstream: o.Upstream, Policies: r.system.policies.Load(), Writer: r.writer,
			Quiet: o.Debounce.Quiet, Deadline: o.Staleness.Deadline, Buckets: o.Buckets, Epochs: &r.system.epochs, Props: r.system.props,
			Metrics: o.Metrics, Log: o.Logger,
		})
	})
	r.aggregators[resource] = aggregation{pid: pid, number: number}
	r.toTargets(ctx, watchResource{resource, number, pid})
}

// removeResource ends the work on a resource: first its watches, then its aggregator.
func (r *rootActor) removeResource(ctx actor.Context, m removeResource) {
	found, ok := r.aggregators[m.resource]
	if !ok || found.number != m.number {
		return
	}
	delete(r.aggregators, m.resource)
	r.removed[found.pid.Id] = found.buckets
	r.toTargets(ctx, unwatchResource{m.resource})
	ctx.Stop(found.pid)
}

// targetStarted sends the resources to watch to a target's actor: it may be new because the one before failed.
func (r *rootActor) targetStarted(ctx actor.Context, registration *registration) {
	for resource, a := range r.aggregators {
		ctx.Send(r.pidOf(registration), watchResource{resource, a.number, a.pid})
	}
}

// aggregatorStarted brings an aggregator up to date: it may be new because the one before failed.
func (r *rootActor) aggregatorStarted(ctx actor.Context, resource ref.Resource) {
	found, ok := r.aggregators[resource]
	if !ok {
		return // removed meanwhile
	}
	found.buckets = actors.BucketsOf(found.pid, r.system.options.Buckets)
	r.aggregators[resource] = found
	for _, m := range r.targets {
		found.buckets.Send(ctx, m.added())
	}
	r.toTargets(ctx, actors.Resend{Resource: resource})
	r.flushAgain(ctx, resource)
}

func (r *rootActor) writerStarted(ctx actor.Context) {
	if r.written {
		r.toAggregators(ctx, reconcile.WriterRestarted{})
		r.flushAll(ctx)
	}
	r.written = true
}

func (r *rootActor) addTarget(ctx actor.Context, registration *registration) {
	if r.stopping != nil {
		return
	}
	pid := r.pidOf(registration)
	if r.targets[pid.Id] != nil {
		return
	}
	m := &member{registration: registration, known: registration.facts.Load()}
	r.targets[pid.Id] = m
	registration.epoch = r.system.epochs.Add(1)
	r.toBuckets(ctx, m.added())
	r.system.spawn(ctx, registration.path, func() actor.Actor {
		return &targetActor{
			system: r.system, registration: registration,
			log: r.system.options.Logger.With().Str("sync_target", string(registration.name)).Logger(),
		}
	})
}

// changeTarget passes on the newest facts about a SyncTarget.
func (r *rootActor) changeTarget(ctx actor.Context, registration *registration) {
	pid := r.pidOf(registration)
	m := r.targets[pid.Id]
	if m == nil {
		return // it reads them when it starts
	}
	before := m.known
	m.known = registration.facts.Load()
	r.toBuckets(ctx, reconcile.SyncTargetChanged{Target: m.known.target, Scheduling: m.known.scheduling})
	if !reflect.DeepEqual(before.target, m.known.target) { // else its objects are located as before, and need not be listed again
		ctx.Send(pid, actors.ResolverChanged{Resolver: m.known.resolver})
	}
}

func (m *member) added() reconcile.SyncTargetAdded {
	return reconcile.SyncTargetAdded{Target: m.known.target, Scheduling: m.known.scheduling, FromEpoch: m.epoch}
}

// replaceTarget starts the new one when the actors of the old one are gone.
func (r *rootActor) replaceTarget(ctx actor.Context, m replaceTarget) {
	if r.targets[r.pidOf(m.old).Id] == nil && !m.old.waiting {
		r.addTarget(ctx, m.next)
		return
	}
	m.old.next, m.next.waiting = m.next, true
	r.removeTarget(ctx, m.old)
}

func (r *rootActor) removeTarget(ctx actor.Context, registration *registration) {
	registration.leaving = true
	if !registration.waiting {
		ctx.Stop(r.pidOf(registration))
	}
}

// terminated handles that the actors of a SyncTarget are gone. Its contributions are withdrawn only if it was removed: a daemon that stops,
// or a root that restarts, withdraws nothing.
func (r *rootActor) terminated(ctx actor.Context, pid *actor.PID) {
	r.forgetBuckets(ctx, pid)
	gone := r.targets[pid.Id]
	if gone == nil || !gone.leaving && r.stopping == nil {
		return
	}
	delete(r.targets, pid.Id)
	next := r.successor(gone.registration)
	if gone.leaving {
		if next == nil {
			r.toBuckets(ctx, reconcile.SyncTargetRemoved{Target: gone.name})
			r.toAggregators(ctx, reconcile.SyncTargetRemoved{Target: gone.name})
		}
		r.system.options.Metrics.ForgetTarget(gone.name)
		r.system.forget(gone.registration)
	}
	gone.end()
	if next != nil {
		next.waiting = false
		r.addTarget(ctx, next)
	}
	r.flushWhenSilent(ctx)
}

// successor is the SyncTarget that takes the place of one that is gone. Those before it that were removed meanwhile are ended.
func (r *rootActor) successor(gone *registration) *registration {
	next := gone.next
	for next != nil && (r.stopping != nil || next.leaving) {
		if next.leaving {
			r.system.forget(next)
		}
		next.end()
		next = next.next
	}
	return next
}

// forgetBuckets has the writer drop the queued writes of a resource that was removed.
func (r *rootActor) forgetBuckets(ctx actor.Context, aggregator *actor.PID) {
	for _, b := range r.removed[aggregator.Id] {
		ctx.Send(r.writer, actors.Incarnation{From: b})
	}
	delete(r.removed, aggregator.Id)
}

// ---- routing

func (r *rootActor) pidOf(registration *registration) *actor.PID {
	return r.system.engine.NewLocalPID(rootName + "/" + registration.path)
}

func (r *rootActor) toAggregators(ctx actor.Context, m any) {
	for _, a := range r.aggregators {
		ctx.Send(a.pid, m)
	}
}

// toBuckets sends facts about SyncTargets straight to the buckets. Reports do not pass through the aggregators either, so no report arrives
// before the bucket knows the SyncTarget.
func (r *rootActor) toBuckets(ctx actor.Context, m any) {
	for _, a := range r.aggregators {
		a.buckets.Send(ctx, m)
	}
}

func (r *rootActor) toTargets(ctx actor.Context, m any) {
	for _, member := range r.targets {
		ctx.Send(r.pidOf(member.registration), m)
	}
}
