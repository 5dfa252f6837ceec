package supervisor

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// excesses are the limits that a SyncTarget went over, by the kind that it was with; without a resource it was with its Namespaces,
// which all kinds depend on. Like a SyncTarget that was away, one that keeps to its limits again has to do so for the grace period
// before it counts as up to date: who goes over them again and again is stale all the time. It has no clock.
type excesses map[ref.Resource]*excess

type excess struct {
	limit  ref.Limit
	since  time.Time
	mended time.Time // since when it keeps to its limits again; zero: it does not
}

// observe takes what a watch found, and reports whether anything changed for those who depend on it.
func (x excesses) observe(now time.Time, m actors.Quarantined) (changed bool) {
	known := x[m.Resource]
	switch {
	case m.Over == nil:
		if known != nil && known.mended.IsZero() {
			known.mended = now
		}
		return false
	case known == nil:
		x[m.Resource] = &excess{limit: m.Over.Limit, since: now}
		return true
	}
	changed = known.limit != m.Over.Limit
	known.limit, known.mended = m.Over.Limit, time.Time{}
	return changed
}

// forgive ends what was mended for the grace period, and reports which.
func (x excesses) forgive(now time.Time, grace time.Duration) (forgiven []ref.Resource) {
	for r, e := range x {
		if !e.mended.IsZero() && now.Sub(e.mended) >= grace {
			delete(x, r)
			forgiven = append(forgiven, r)
		}
	}
	return forgiven
}

// of is the excess that concerns a kind; nil: none.
func (x excesses) of(r ref.Resource) *excess {
	if e := x[ref.Resource{}]; e != nil {
		return e
	}
	return x[r]
}

// quarantined takes what a watch says of limits.
func (t *targetActor) quarantined(ctx actor.Context, m actors.Quarantined) {
	if t.excesses.observe(time.Now(), m) {
		t.tellQuarantine(ctx, m.Resource, m.Over.Limit)
	}
}

// forgive looks which kinds are up to date again.
func (t *targetActor) forgive(ctx actor.Context) {
	for _, r := range t.excesses.forgive(time.Now(), t.vitals.grace) {
		t.tellQuarantine(ctx, r, "")
	}
}

func (t *targetActor) tellQuarantine(ctx actor.Context, r ref.Resource, over ref.Limit) {
	for watched, w := range t.watches {
		if r == watched || r == (ref.Resource{}) {
			ctx.Send(w.aggregator, t.health(watched))
		}
	}
	ctx.ActorSystem().EventStream.Publish(Quarantine{Target: t.registration.name, Resource: r, Over: over})
}

// health is how up to date a kind is.
func (t *targetActor) health(r ref.Resource) reconcile.FreshnessChanged {
	h := reconcile.FreshnessChanged{Target: t.registration.name, Stale: t.vitals.stale}
	if e := t.excesses.of(r); h.Stale {
		h.Since = t.vitals.heard
	} else if e != nil {
		h.Stale, h.Since, h.Over = true, e.since, e.limit
	}
	return h
}
