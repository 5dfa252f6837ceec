package supervisor

import (
	"context"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// targetActor supervises what belongs to one SyncTarget: the watch of its Namespaces, a watch per resource, and its health.
type targetActor struct {
	system       *System
	registration *registration
	resolver     *locator.Resolver
	log          zerolog.Logger

	namespaces *actor.PID
	watches    map[ref.Resource]*actor.PID
	vitals     *vitals
	timer      *time.Timer
	probing    context.CancelFunc
}

// addResource asks a target to watch a resource, or the root to aggregate it.
type addResource struct{ resource ref.Resource }

// tick asks for a probe.
type tick struct{}

// probed answers a probe.
type probed struct{ err error }

func (t *targetActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		t.begin(ctx)
	case addResource:
		t.watch(ctx, m.resource)
	case actors.SendNamespaces:
		ctx.RequestWithCustomSender(t.namespaces, m, ctx.Sender())
	case actors.NamespaceChanged:
		t.toWatches(ctx, m)
	case actors.PolicyChanged:
		t.toWatches(ctx, m)
	case actors.Resend:
		t.resend(ctx, m)
	case tick:
		t.probe(ctx)
	case probed:
		t.probed(ctx, m)
	case *actor.Restarting, *actor.Stopping:
		t.end()
	}
}

func (t *targetActor) begin(ctx actor.Context) {
	t.watches = map[ref.Resource]*actor.PID{}
	t.vitals = newVitals(t.system.options.Staleness.Grace, time.Now())
	t.namespaces = t.system.spawn(ctx, namespacesName, func() actor.Actor {
		return actors.NewNamespaces(actors.NamespacesConfig{
			Target: t.registration.target.Name, Source: t.registration.source, Resolver: t.resolver,
			Metrics: t.system.options.Metrics, Log: t.system.options.Logger,
		})
	})
	for _, r := range t.system.resourceList() {
		t.watch(ctx, r)
	}
	t.system.options.Metrics.Stale.WithLabelValues(string(t.registration.target.Name)).Set(0)
	t.tickIn(ctx, t.system.options.Staleness.Probe)
}

func (t *targetActor) watch(ctx actor.Context, r ref.Resource) {
	if t.watches[r] != nil {
		return
	}
	o := t.system.options
	t.watches[r] = t.system.spawn(ctx, watchPrefix+ref.ResourceString(r), func() actor.Actor {
		return actors.NewWatch(actors.WatchConfig{
			Target:           t.registration.target.Name,
			Resource:         r,
			Source:           t.registration.source,
			Resolver:         t.resolver,
			Aggregator:       t.system.aggregator(r),
			Policies:         t.system.policies.Load(),
			Extractor:        t.system.extractor(r),
			Limits:           o.Limits,
			Window:           o.Debounce,
			NamespacesByName: t.registration.pushed,
			Epochs:           &t.system.epochs,
			ObjectProps:      t.system.props,
			Metrics:          o.Metrics,
			Log:              o.Logger,
		})
	})
}

func (t *targetActor) toWatches(ctx actor.Context, m any) {
	for _, pid := range t.watches {
		ctx.Send(pid, m)
	}
}

// resend passes on the request of an aggregator that is new, which does not know how this SyncTarget is either.
func (t *targetActor) resend(ctx actor.Context, m actors.Resend) {
	if pid := t.watches[m.Resource]; pid != nil {
		ctx.Send(pid, m)
	}
	if t.vitals.stale {
		ctx.Send(t.system.aggregator(m.Resource), actors.TargetHealth{Target: t.registration.target.Name, Stale: true})
	}
}

func (t *targetActor) tickIn(ctx actor.Context, d time.Duration) {
	self, root := ctx.Self(), ctx.ActorSystem().Root
	t.timer = time.AfterFunc(d, func() { root.Send(self, tick{}) })
}

// probe asks the SyncTarget aside whether it is there.
func (t *targetActor) probe(ctx actor.Context) {
	self, root, source := ctx.Self(), ctx.ActorSystem().Root, t.registration.source
	limited, cancel := context.WithTimeout(context.Background(), t.system.options.Staleness.Probe)
	t.probing = cancel
	go func() {
		var m probed
		defer func() {
			cancel()
			if r := recover(); r != nil {
				m.err = fmt.Errorf("panic: %v", r)
			}
			root.Send(self, m)
		}()
		m.err = source.Probe(limited)
	}()
}

func (t *targetActor) probed(ctx actor.Context, m probed) {
	t.tickIn(ctx, t.system.options.Staleness.Probe)
	name := t.registration.target.Name
	if !t.vitals.observe(time.Now(), t.registration.source.LastHeard(), m.err) {
		return
	}
	stale := t.vitals.stale
	if stale {
		t.system.options.Metrics.Stale.WithLabelValues(string(name)).Set(1)
		t.log.Warn().Err(m.err).Dur("grace", t.vitals.grace).Msg("SyncTarget not heard of for the grace period: it is stale")
	} else {
		t.system.options.Metrics.Stale.WithLabelValues(string(name)).Set(0)
		t.log.Info().Msg("SyncTarget is fresh again")
	}
	for _, r := range t.system.resourceList() {
		ctx.Send(t.system.aggregator(r), actors.TargetHealth{Target: name, Stale: stale})
	}
	ctx.ActorSystem().EventStream.Publish(Health{Target: name, Stale: stale})
}

func (t *targetActor) end() {
	if t.timer != nil {
		t.timer.Stop()
	}
	if t.probing != nil {
		t.probing()
	}
}
