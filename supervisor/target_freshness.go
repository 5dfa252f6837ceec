package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// The part of a target's actor that feeds freshness and reports its verdicts. Timers and probes carry the instance that began them: those
// of an instance before a restart are ignored.

// tick asks for a probe.
type tick struct{ of *targetActor }

// probed answers a probe.
type probed struct {
	of  *targetActor
	err error
}

// freshnessDue asks for an update of freshness. Any instance may take it.
type freshnessDue struct{}

// errProbeHangs stands for a probe that did not answer within the probe interval.
var errProbeHangs = errors.New("probe: no answer within the probe interval")

// arm asks for the next probe.
func (t *targetActor) arm(ctx actor.Context) {
	self, root := ctx.Self(), ctx.ActorSystem().Root
	t.ticker = time.AfterFunc(t.system.options.Staleness.Probe, func() { root.Send(self, tick{t}) })
}

// tick starts a probe, unless the last one is still under way.
func (t *targetActor) tick(ctx actor.Context, m tick) {
	if m.of != t {
		return
	}
	t.arm(ctx)
	if t.probing != nil {
		t.takeProbe(ctx, errProbeHangs)
		return
	}
	t.probe(ctx)
}

// probe asks the SyncTarget in a goroutine whether it answers.
func (t *targetActor) probe(ctx actor.Context) {
	self, root, source := ctx.Self(), ctx.ActorSystem().Root, t.registration.source
	limited, cancel := context.WithTimeout(context.Background(), t.system.options.Staleness.Probe)
	t.probing = cancel
	go func() {
		m := probed{of: t}
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
	if m.of != t {
		return
	}
	t.probing = nil
	t.takeProbe(ctx, m.err)
}

// takeProbe takes the outcome of a probe. The first success after failures wakes the broken watches: they may be backing off for long.
func (t *targetActor) takeProbe(ctx actor.Context, err error) {
	recovered := t.failing && err == nil
	t.failing = err != nil
	t.freshness.probed(time.Now(), t.registration.source.LastHeard(), err)
	if source, ok := t.registration.source.(interface{ Wake() }); ok && recovered {
		source.Wake()
	}
	t.refresh(ctx)
}

func (t *targetActor) watchBroke(ctx actor.Context, m actors.WatchBroke) {
	if !t.isCurrent(m.Resource, m.Watch) {
		return
	}
	t.setLive(m.Resource, 0)
	if t.freshness.watchBroke(m.Resource, m.Since, m.Over, m.Err) {
		t.forgetQuarantine(m.Resource)
		t.system.options.Metrics.Quarantined.WithLabelValues(string(t.registration.name), labelOf(m.Resource), string(m.Over)).Set(1)
		t.publishQuarantine(ctx, m.Resource, m.Over)
	}
	t.refresh(ctx)
}

func (t *targetActor) watchLive(ctx actor.Context, m actors.WatchLive) {
	if !t.isCurrent(m.Resource, m.Watch) {
		return
	}
	t.setLive(m.Resource, 1)
	t.forgetQuarantine(m.Resource)
	t.freshness.watchLive(time.Now(), m.Resource)
	t.refresh(ctx)
}

// isCurrent reports whether a watch is the one of its resource now, and not one that is stopping.
func (t *targetActor) isCurrent(r ref.Resource, watch *actor.PID) bool {
	if r == (ref.Resource{}) {
		return watch.Equal(t.namespaces)
	}
	current := t.watches[r].watch
	return current != nil && watch.Equal(current)
}

// refresh reports changes of the freshness, and sets the timer for the next change that no message causes.
func (t *targetActor) refresh(ctx actor.Context) {
	now := time.Now()
	v := t.freshness.update(now)
	for _, r := range v.mended {
		t.publishQuarantine(ctx, r, "")
	}
	for _, r := range v.changed {
		t.reportFreshness(ctx, r)
	}
	t.announce(ctx, v.changed, now)
	stale := 0.0
	if t.freshness.anyStale() {
		stale = 1
	}
	t.system.options.Metrics.Stale.WithLabelValues(string(t.registration.name)).Set(stale)
	t.expireAt(ctx, t.freshness.due(), now)
}

// expireAt moves the one timer of freshness.
func (t *targetActor) expireAt(ctx actor.Context, at, now time.Time) {
	switch {
	case at.IsZero() && t.expiry != nil:
		t.expiry.Stop()
	case at.IsZero():
	case t.expiry != nil:
		t.expiry.Reset(at.Sub(now))
	default:
		self, root := ctx.Self(), ctx.ActorSystem().Root
		t.expiry = time.AfterFunc(at.Sub(now), func() { root.Send(self, freshnessDue{}) })
	}
}

// reportFreshness informs the aggregator of a resource. Before the watch was live or stale once nothing is known, and an earlier report
// of a target's actor before this one still holds.
func (t *targetActor) reportFreshness(ctx actor.Context, r ref.Resource) {
	k := t.freshness.resources[r]
	if !k.known {
		return
	}
	e := reconcile.FreshnessChanged{Target: t.registration.name, Stale: k.stale, Over: k.over}
	if k.stale {
		e.Since = k.since
	}
	ctx.Send(t.watches[r].aggregator, e)
}

// announce logs and publishes which resources became stale or fresh. Those that changed together are one line.
func (t *targetActor) announce(ctx actor.Context, changed []ref.Resource, now time.Time) {
	var stale, fresh []string
	var cause error
	var oldest, longest time.Duration
	for _, r := range changed {
		k := t.freshness.resources[r]
		if k.announced == k.stale {
			continue
		}
		k.announced = k.stale
		if k.stale {
			stale = append(stale, ref.ResourceString(r))
			cause = t.freshness.cause(r)
			oldest = max(oldest, now.Sub(k.since))
		} else {
			fresh = append(fresh, ref.ResourceString(r))
			longest = max(longest, now.Sub(k.began))
		}
		ctx.ActorSystem().EventStream.Publish(Health{Target: t.registration.name, Resource: r, Stale: k.stale})
	}
	if len(stale) > 0 {
		t.log.Warn().Err(cause).Strs("resources", stale).Dur("for", oldest).Msg("SyncTarget is stale: not observed for the grace period, or over a limit")
	}
	if len(fresh) > 0 {
		t.log.Info().Strs("resources", fresh).Msgf("SyncTarget is fresh again, was stale for %s", longest.Round(time.Second))
	}
}

func (t *targetActor) publishQuarantine(ctx actor.Context, r ref.Resource, over ref.Limit) {
	ctx.ActorSystem().EventStream.Publish(Quarantine{Target: t.registration.name, Resource: r, Over: over})
}

// ---- metrics

// labelOf is the resource of a watch in metrics.
func labelOf(r ref.Resource) string {
	if r == (ref.Resource{}) {
		r = namespaces
	}
	return ref.ResourceString(r)
}

func (t *targetActor) setLive(r ref.Resource, live float64) {
	t.system.options.Metrics.WatchLive.WithLabelValues(string(t.registration.name), labelOf(r)).Set(live)
}

func (t *targetActor) forgetQuarantine(r ref.Resource) {
	t.system.options.Metrics.Quarantined.DeletePartialMatch(prometheus.Labels{"sync_target": string(t.registration.name), "resource": labelOf(r)})
}

func (t *targetActor) forgetWatch(r ref.Resource) {
	t.system.options.Metrics.WatchLive.DeleteLabelValues(string(t.registration.name), labelOf(r))
	t.forgetQuarantine(r)
}
