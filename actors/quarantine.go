package actors

import (
	"errors"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// quarantine is what a watch makes of a SyncTarget that goes over a limit: it says so once, in the log, as a metric and to the
// watch's parent. The pauses between attempts are the connection's.
type quarantine struct {
	target   ref.SyncTarget
	resource ref.Resource // of the message to the parent
	label    string       // of the metric
	gauge    *prometheus.GaugeVec
	log      zerolog.Logger

	over   ref.Limit // empty: none
	listed bool
}

func newQuarantine(target ref.SyncTarget, watched ref.Resource, of *metrics.Metrics, log zerolog.Logger) quarantine {
	return quarantine{target: target, resource: watched, label: ref.ResourceString(watched), gauge: of.Quarantined, log: log}
}

// failed looks at the error of a list or watch, and reports whether it is about a limit.
func (q *quarantine) failed(ctx actor.Context, err error) bool {
	over := (*ref.OverLimit)(nil)
	if !errors.As(err, &over) {
		return false
	}
	if over.Limit != q.over {
		q.forget()
		q.gauge.WithLabelValues(string(q.target), q.label, string(over.Limit)).Set(1)
		q.log.Warn().Err(err).Str("limit", string(over.Limit)).
			Msg("SyncTarget goes over a limit: quarantined, what it said last stays and is stale; it is tried again later")
	}
	q.over = over.Limit
	ctx.Send(ctx.Parent(), Quarantined{Resource: q.resource, Over: over})
	return true
}

// complete notes that a whole list is here. An actor's first one is told in any case: the actor before it may have failed in quarantine.
func (q *quarantine) complete(ctx actor.Context) {
	if q.over != "" {
		q.log.Info().Str("limit", string(q.over)).Msg("SyncTarget keeps to its limits again; it is fresh after staleness.grace")
		q.forget()
		q.over = ""
	} else if q.listed {
		return
	}
	q.listed = true
	ctx.Send(ctx.Parent(), Quarantined{Resource: q.resource})
}

// forget takes the metric away.
func (q *quarantine) forget() {
	if q.over != "" {
		q.gauge.DeleteLabelValues(string(q.target), q.label, string(q.over))
	}
}
