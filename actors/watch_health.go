package actors

import (
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// watchHealth follows one list and watch of a SyncTarget. It logs causes and recoveries, and reports to the actor's parent when the watch
// breaks and when it is live: listed, open, and with no read of a Namespace failing.
type watchHealth struct {
	resource ref.Resource // of the reports
	errors   prometheus.Counter
	log      zerolog.Logger

	since   time.Time // since when it is not live; zero: it is live
	watch   outage
	reads   outage
	over    ref.Limit // the limit that was exceeded since the last list; empty: none
	reached bool      // live was reported after the last break
}

func newWatchHealth(target ref.SyncTarget, watched ref.Resource, of *metrics.Metrics, log zerolog.Logger) watchHealth {
	return watchHealth{
		resource: watched,
		errors:   of.WatchErrors.WithLabelValues(string(target), ref.ResourceString(watched)),
		log:      log,
		watch:    outage{failure: "list or watch failed; retrying, the last known state stays", recovery: "list and watch work again"},
		reads:    outage{failure: "reading a Namespace failed; retrying", recovery: "Namespaces are read again"},
	}
}

// opening reports that the list and watch are being opened: not live until they report something.
func (h *watchHealth) opening(ctx actor.Context) {
	if h.since.IsZero() {
		h.since = time.Now()
	}
	h.report(ctx, nil)
}

// take handles the health of a scope as its inbox collected it. Where a list has to be worked off first, live is for its end.
func (h *watchHealth) take(ctx actor.Context, news scopeHealth, listing bool) {
	if news.failed != nil {
		h.failed(ctx, news.failed, news.broken)
	}
	if news.live && !listing {
		h.live(ctx, false)
	}
}

// failed handles the error of a list or watch that broke at a time.
func (h *watchHealth) failed(ctx actor.Context, err error, at time.Time) {
	h.errors.Inc()
	first := h.since.IsZero()
	if first {
		h.since = at
	}
	if over := (*ref.OverLimit)(nil); errors.As(err, &over) {
		h.exceeded(ctx, over)
	} else if h.watch.failed(h.log, err, at) || first {
		h.report(ctx, err)
	}
}

// exceeded handles a list or watch that went over a limit. The pauses between attempts are the connection's.
func (h *watchHealth) exceeded(ctx actor.Context, over *ref.OverLimit) {
	if over.Limit == h.over {
		return
	}
	h.over = over.Limit
	h.log.Warn().Err(over).Str("limit", string(over.Limit)).Msg("SyncTarget exceeds a limit: quarantined, its last known state stays and is stale")
	h.report(ctx, over)
}

// live handles an event that only an open watch reports, or the end of a complete list. After a limit was exceeded only a list counts.
func (h *watchHealth) live(ctx actor.Context, listed bool) {
	if h.over != "" && !listed {
		return
	}
	if h.over != "" {
		h.log.Info().Str("limit", string(h.over)).Msg("SyncTarget keeps to its limits again; fresh after staleness.grace")
		h.over = ""
	}
	h.watch.recovered(h.log)
	h.since = time.Time{}
	h.reportLive(ctx)
}

// readFailed handles the error of a read of a Namespace: while one fails, copies may be missing.
func (h *watchHealth) readFailed(ctx actor.Context, err error) {
	h.errors.Inc()
	first := h.reads.since.IsZero()
	if h.reads.failed(h.log, err, time.Now()) || first {
		h.report(ctx, err)
	}
}

// readsDone notes that no read is waited for any more, as all succeeded or a list took their place.
func (h *watchHealth) readsDone(ctx actor.Context) {
	if h.reads.since.IsZero() {
		return
	}
	h.reads.recovered(h.log)
	h.reportLive(ctx)
}

func (h *watchHealth) report(ctx actor.Context, err error) {
	h.reached = false
	since := h.since
	if reads := h.reads.since; since.IsZero() || !reads.IsZero() && reads.Before(since) {
		since = reads
	}
	ctx.Send(ctx.Parent(), WatchBroke{Resource: h.resource, Watch: ctx.Self(), Since: since, Over: h.over, Err: err})
}

func (h *watchHealth) reportLive(ctx actor.Context) {
	if h.reached || !h.since.IsZero() || !h.reads.since.IsZero() {
		return
	}
	h.reached = true
	ctx.Send(ctx.Parent(), WatchLive{Resource: h.resource, Watch: ctx.Self()})
}
