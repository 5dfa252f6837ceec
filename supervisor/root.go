package supervisor

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/actors"
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
	aggregators map[ref.Resource]*actor.PID
	targets     map[string]*registration // by the path of the target's actor
	stopping    *stopping
}

// addTarget starts a registered SyncTarget.
type addTarget struct{ registration *registration }

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
		r.aggregate(ctx, m.resource)
	case addTarget:
		r.addTarget(ctx, m.registration)
	case removeTarget:
		r.removeTarget(ctx, m.registration)
	case *actor.Terminated:
		r.terminated(ctx, m.Who)
	case actors.AggregatorStarted:
		r.aggregatorStarted(ctx, m.Resource)
	case actors.UpstreamReady:
		r.system.setReady(m.Resource)
	case actors.WriterStarted:
		r.writerStarted(ctx)
	case actors.PolicyChanged:
		r.toAggregators(ctx, m)
		r.toTargets(ctx, m)
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
	r.aggregators = map[ref.Resource]*actor.PID{}
	r.targets = map[string]*registration{}
	o := r.system.options
	r.writer = r.system.spawn(ctx, writerName, func() actor.Actor {
		return actors.NewWriter(actors.WriterConfig{
			WriterOptions: o.Writer, Upstream: o.Upstream, Fence: o.Fence, Metrics: o.Metrics, Log: o.Logger,
		})
	})
	for _, resource := range r.system.resourceList() {
		r.aggregate(ctx, resource)
	}
	for _, registration := range r.system.registrations() {
		r.addTarget(ctx, registration)
	}
}

func (r *rootActor) aggregate(ctx actor.Context, resource ref.Resource) {
	if r.aggregators[resource] != nil {
		return
	}
	o := r.system.options
	r.aggregators[resource] = r.system.spawn(ctx, aggregatorPrefix+ref.ResourceString(resource), func() actor.Actor {
		return actors.NewAggregator(actors.AggregatorConfig{
			Resource: resource, Upstream: o.Upstream, Policies: r.system.policies.Load(), Writer: r.writer,
			Quiet: o.Debounce.Quiet, Deadline: o.Staleness.Deadline, Metrics: o.Metrics, Log: o.Logger,
		})
	})
	r.toTargets(ctx, addResource{resource})
}

// aggregatorStarted brings an aggregator up to date: it may be new because the one before failed.
func (r *rootActor) aggregatorStarted(ctx actor.Context, resource ref.Resource) {
	for _, registration := range r.targets {
		ctx.Send(r.aggregators[resource], actors.TargetAdded{Target: registration.target, FromEpoch: registration.epoch})
	}
	r.toTargets(ctx, actors.Resend{Resource: resource})
}

func (r *rootActor) writerStarted(ctx actor.Context) {
	if r.written {
		r.toAggregators(ctx, actors.WriterRestarted{})
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
	r.toAggregators(ctx, actors.TargetAdded{Target: registration.target, FromEpoch: registration.epoch})
	r.system.spawn(ctx, registration.name(), func() actor.Actor {
		return &targetActor{
			system: r.system, registration: registration, resolver: registration.resolver,
			log: r.system.options.Logger.With().Str("syncTarget", string(registration.target.Name)).Logger(),
		}
	})
}

func (r *rootActor) removeTarget(ctx actor.Context, registration *registration) {
	registration.leaving = true
	ctx.Stop(r.pidOf(registration))
}

// terminated comes when nothing of a SyncTarget can speak any more. Only if it was removed is what it contributed withdrawn: a
// daemon that stops, or a root that restarts, withdraws nothing.
func (r *rootActor) terminated(ctx actor.Context, who *actor.PID) {
	registration := r.targets[who.Id]
	if registration == nil || !registration.leaving && r.stopping == nil {
		return
	}
	delete(r.targets, who.Id)
	if registration.leaving {
		r.toAggregators(ctx, actors.TargetRemoved{Target: registration.target.Name})
		r.system.options.Metrics.ForgetTarget(registration.target.Name)
	}
	registration.source.Close()
	close(registration.removed)
	r.flushWhenSilent(ctx)
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
	for _, pid := range r.aggregators {
		ctx.Request(pid, actors.Flush{})
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
	return r.system.engine.NewLocalPID(rootName + "/" + registration.name())
}

func (r *rootActor) toAggregators(ctx actor.Context, m any) {
	for _, pid := range r.aggregators {
		ctx.Send(pid, m)
	}
}

func (r *rootActor) toTargets(ctx actor.Context, m any) {
	for _, registration := range r.targets {
		ctx.Send(r.pidOf(registration), m)
	}
}
