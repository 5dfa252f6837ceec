package supervisor

import (
	"reflect"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// The names of actors below the root. A ":" ends the role, which is what metrics show.
const (
	rootName         = "upstreamd"
	writerName       = "writer"
	namespacesName   = "namespaces"
	aggregatorPrefix = "aggregator:"
	targetPrefix     = "target:"
	watchPrefix      = "watch:"
)

// rootActor keeps the order: the writer and the aggregators stand before any SyncTarget speaks; when stopping, the SyncTargets
// fall silent first, then what was decided is written.
type rootActor struct {
	system      *System
	writer      *actor.PID
	written     bool // a writer has started before
	aggregators map[ref.Resource]aggregation
	removed     map[string]actors.Buckets // of aggregators that are stopping, by the aggregator's path
	targets     map[string]*registration  // by the path of the target's actor
	stopping    *stopping
}

// aggregation is a resource's aggregator.
type aggregation struct {
	pid     *actor.PID
	buckets actors.Buckets // empty until they have started
	number  uint64
}

// addResource asks for a resource to be aggregated, and watched by every target.
type addResource struct {
	resource ref.Resource
	number   uint64
}

// removeResource ends that.
type removeResource struct {
	resource ref.Resource
	number   uint64
}

// addTarget starts a registered SyncTarget.
type addTarget struct{ registration *registration }

// changeTarget replaces what is known of a SyncTarget.
type changeTarget struct {
	registration *registration
	target       locator.Target
	scheduling   reconcile.Scheduling
	resolver     *locator.Resolver
}

// replaceTarget stops a SyncTarget and starts another in its place.
type replaceTarget struct{ old, next *registration }

// removeTarget stops a SyncTarget and withdraws what it contributed. done is closed when that has happened.
type removeTarget struct{ registration *registration }

// stop ends the flow in order. done is closed when nothing is left to be written.
type stop struct{ done chan struct{} }

// stopping is how far a stop has come.
type stopping struct {
	done    chan struct{}
	flushes int // aggregators that have not answered
}

func (r *rootActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		r.begin(ctx)
	case addResource:
		r.aggregate(ctx, m.resource, m.number)
	case removeResource:
		r.removeResource(ctx, m)
	case addTarget:
		r.addTarget(ctx, m.registration)
	case changeTarget:
		r.changeTarget(ctx, m)
	case removeTarget:
		r.removeTarget(ctx, m.registration)
	case replaceTarget:
		r.replaceTarget(ctx, m)
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
	case stop:
		r.stop(ctx, m)
	case actors.Flushed:
		r.flushed(ctx)
	case actors.Drained:
		r.drained()
	}
}

// begin starts what is registered. After a restart of the root that is everything.
func (r *rootActor) begin(ctx actor.Context) {
	r.aggregators = map[ref.Resource]aggregation{}
	r.removed = map[string]actors.Buckets{}
	r.targets = map[string]*registration{}
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

// removeResource ends the work on a resource: first what speaks of it, then what hears.
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

// targetStarted tells a target's actor what to watch: it may be new because the one before failed.
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
	for _, registration := range r.targets {
		found.buckets.Send(ctx, added(registration))
	}
	r.toTargets(ctx, actors.Resend{Resource: resource})
}

func (r *rootActor) writerStarted(ctx actor.Context) {
	if r.written {
		r.toAggregators(ctx, reconcile.WriterRestarted{})
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
	r.targets[pid.Id] = registration
	registration.epoch = r.system.epochs.Add(1)
	r.toBuckets(ctx, added(registration))
	r.system.spawn(ctx, registration.path, func() actor.Actor {
		return &targetActor{
			system: r.system, registration: registration, resolver: registration.resolver,
			log: r.system.options.Logger.With().Str("sync_target", string(registration.name)).Logger(),
		}
	})
}

func (r *rootActor) changeTarget(ctx actor.Context, m changeTarget) {
	pid := r.pidOf(m.registration)
	if r.targets[pid.Id] == nil {
		return
	}
	same := reflect.DeepEqual(m.registration.target, m.target)
	m.registration.target, m.registration.scheduling, m.registration.resolver = m.target, m.scheduling, m.resolver
	r.toBuckets(ctx, reconcile.SyncTargetChanged{Target: m.target, Scheduling: m.scheduling})
	if !same { // else its objects belong where they did, and need not be listed again
		ctx.Send(pid, actors.ResolverChanged{Resolver: m.resolver})
	}
}

func added(registration *registration) reconcile.SyncTargetAdded {
	return reconcile.SyncTargetAdded{Target: registration.target, Scheduling: registration.scheduling, FromEpoch: registration.epoch}
}

// replaceTarget waits with the new one until nothing of the old one can speak any more.
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

// terminated comes when nothing of a SyncTarget can speak any more. Only if it was removed is what it contributed withdrawn: a
// daemon that stops, or a root that restarts, withdraws nothing.
func (r *rootActor) terminated(ctx actor.Context, who *actor.PID) {
	r.forgetBuckets(ctx, who)
	registration := r.targets[who.Id]
	if registration == nil || !registration.leaving && r.stopping == nil {
		return
	}
	delete(r.targets, who.Id)
	next := registration.successor(r.stopping != nil)
	if registration.leaving {
		if next == nil {
			r.toBuckets(ctx, reconcile.SyncTargetRemoved{Target: registration.name})
			r.toAggregators(ctx, reconcile.SyncTargetRemoved{Target: registration.name})
		}
		r.system.options.Metrics.ForgetTarget(registration.name)
	}
	registration.end()
	if next != nil {
		next.waiting = false
		r.addTarget(ctx, next)
	}
	r.flushWhenSilent(ctx)
}

// forgetBuckets has the writer drop the queued writes of a resource that was removed.
func (r *rootActor) forgetBuckets(ctx actor.Context, aggregator *actor.PID) {
	for _, b := range r.removed[aggregator.Id] {
		ctx.Send(r.writer, actors.Incarnation{From: b})
	}
	delete(r.removed, aggregator.Id)
}

// successor is who takes the place of a SyncTarget that has gone, after those that were to take it and are not to any more.
func (r *registration) successor(stopping bool) *registration {
	next := r.next
	for next != nil && (stopping || next.leaving) {
		next.end()
		next = next.next
	}
	return next
}

// end tells who waits for it that nothing is left of a SyncTarget.
func (r *registration) end() {
	r.source.Close()
	close(r.removed)
}

// ---- stopping

func (r *rootActor) stop(ctx actor.Context, m stop) {
	if r.stopping != nil {
		return
	}
	r.stopping = &stopping{done: m.done, flushes: len(r.aggregators)}
	for _, registration := range r.targets {
		ctx.Stop(r.pidOf(registration))
	}
	r.flushWhenSilent(ctx)
}

func (r *rootActor) flushWhenSilent(ctx actor.Context) {
	if r.stopping == nil || len(r.targets) > 0 {
		return
	}
	for _, a := range r.aggregators {
		ctx.Request(a.pid, actors.Flush{})
	}
	if len(r.aggregators) == 0 {
		ctx.Request(r.writer, actors.Drain{})
	}
}

func (r *rootActor) flushed(ctx actor.Context) {
	r.stopping.flushes--
	if r.stopping.flushes == 0 {
		ctx.Request(r.writer, actors.Drain{})
	}
}

func (r *rootActor) drained() { close(r.stopping.done) }

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
	for _, registration := range r.targets {
		ctx.Send(r.pidOf(registration), m)
	}
}
