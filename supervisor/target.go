package supervisor

import (
	"context"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// targetActor supervises the actors of one SyncTarget: the watch of its Namespaces and a watch per resource. It judges their freshness.
type targetActor struct {
	system       *System
	registration *registration
	log          zerolog.Logger

	namespaces *actor.PID
	watches    map[ref.Resource]watched
	freshness  *freshness
	expiry     *time.Timer // for the next update of freshness that no message causes
	ticker     *time.Timer
	probing    context.CancelFunc // nil: no probe is under way
	failing    bool               // the last probe failed
	ended      bool               // stopping or restarting
}

// watched is a resource that is watched, and its aggregator.
type watched struct {
	watch, aggregator *actor.PID
	number            uint64
}

func (t *targetActor) Receive(ctx actor.Context) {
	if t.ended {
		return // the engine delivers until the last child is gone: nothing may start another
	}
	switch m := ctx.Message().(type) {
	case *actor.Started:
		t.begin(ctx)
	case actors.WatchBroke:
		t.watchBroke(ctx, m)
	case actors.WatchLive:
		t.watchLive(ctx, m)
	case tick:
		t.tick(ctx, m)
	case probed:
		t.probed(ctx, m)
	case freshnessDue:
		t.refresh(ctx)
	case *actor.Restarting, *actor.Stopping:
		t.end()
	default:
		t.route(ctx, m)
	}
}

// route handles requests of the root and passes messages on to the watches.
func (t *targetActor) route(ctx actor.Context, message any) {
	switch m := message.(type) {
	case watchResource:
		t.watch(ctx, m)
	case unwatchResource:
		t.unwatch(ctx, m.resource)
	case actors.ResolverChanged:
		ctx.Send(t.namespaces, m)
		t.toWatches(ctx, m)
	case actors.SendNamespaces:
		ctx.RequestWithCustomSender(t.namespaces, m, ctx.Sender())
	case actors.NamespacesStarted:
		for _, w := range t.watches {
			ctx.RequestWithCustomSender(t.namespaces, actors.SendNamespaces{}, w.watch)
		}
	case actors.NamespaceChanged, actors.PolicyChanged:
		t.toWatches(ctx, m)
	case actors.Resend:
		t.resend(ctx, m)
	}
}

func (t *targetActor) begin(ctx actor.Context) {
	t.watches = map[ref.Resource]watched{}
	staleness := t.system.options.Staleness
	t.freshness = newFreshness(staleness.Grace, staleness.Probe, time.Now())
	t.namespaces = t.system.spawn(ctx, namespacesName, func() actor.Actor {
		return actors.NewNamespaces(actors.NamespacesConfig{
			Target: t.registration.name, Source: t.registration.source, Resolver: t.registration.facts.Load().resolver,
			Metrics: t.system.options.Metrics, Log: t.system.options.Logger,
		})
	})
	ctx.Send(ctx.Parent(), targetStarted{t.registration})
	t.system.options.Metrics.Stale.WithLabelValues(string(t.registration.name)).Set(0)
	t.arm(ctx)
	t.refresh(ctx)
}

func (t *targetActor) watch(ctx actor.Context, m watchResource) {
	if t.watches[m.resource].number == m.number {
		return
	}
	t.unwatch(ctx, m.resource)
	o := t.system.options
	pid := t.system.spawn(ctx, watchPrefix+numbered(m.resource, m.number), func() actor.Actor {
		return actors.NewWatch(actors.WatchConfig{
			Target:           t.registration.name,
			Resource:         m.resource,
			Source:           t.registration.source,
			Resolver:         t.registration.facts.Load().resolver,
			Aggregator:       m.aggregator,
			Buckets:          o.Buckets,
			Policies:         t.system.policies.Load(),
			Extractor:        t.system.extractor(m.resource),
			Limits:           o.Limits,
			Window:           o.Debounce,
			NamespacesByName: t.registration.pushed,
			Epochs:           &t.system.epochs,
			ObjectProps:      t.system.props,
			Metrics:          o.Metrics,
			Log:              o.Logger,
		})
	})
	t.watches[m.resource] = watched{watch: pid, aggregator: m.aggregator, number: m.number}
	t.freshness.add(time.Now(), m.resource)
	t.setLive(m.resource, 0)
	t.refresh(ctx)
}

func (t *targetActor) unwatch(ctx actor.Context, r ref.Resource) {
	if pid := t.watches[r].watch; pid != nil {
		delete(t.watches, r)
		t.freshness.remove(r)
		t.forgetWatch(r)
		ctx.Stop(pid)
	}
}

func (t *targetActor) toWatches(ctx actor.Context, m any) {
	for _, w := range t.watches {
		ctx.Send(w.watch, m)
	}
}

// resend passes on the request of an aggregator that is new, which does not know how up to date this SyncTarget is either.
func (t *targetActor) resend(ctx actor.Context, m actors.Resend) {
	w := t.watches[m.Resource]
	if w.watch == nil {
		return
	}
	t.reportFreshness(ctx, m.Resource) // before the reports: a stale SyncTarget's are not to count as fresh
	ctx.Send(w.watch, m)
}

func (t *targetActor) end() {
	t.ended = true
	t.ticker.Stop()
	if t.expiry != nil {
		t.expiry.Stop()
	}
	if t.probing != nil {
		t.probing()
	}
}
