// Package metrics holds the metrics of upstreamd. Names start with "upstreamd_". Labels name SyncTargets, resources, actors and
// reasons: sets that the configuration bounds. Workspaces and objects are never labels: tenants make those, in any number.
package metrics

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/upstreamd/upstreamd/internal/ref"
)

const namespace = "upstreamd"

// The label names. The value of resource is ref.ResourceString.
const (
	labelTarget   = "sync_target"
	labelResource = "resource"
	labelType     = "type"
	labelReason   = "reason"
	labelResult   = "result"
	labelStage    = "stage"
	labelActor    = "actor"
)

// Metrics are the series of one actor system, in the order of the flow.
type Metrics struct {
	Events        *prometheus.CounterVec // sync_target, type: events of downstream objects
	WatchErrors   *prometheus.CounterVec // sync_target ("" for upstream), resource: lists and watches that failed
	Rejected      *prometheus.CounterVec // reason: input that was refused, such as identity
	Objects       *prometheus.GaugeVec   // sync_target, resource: object actors alive
	Contributions *prometheus.CounterVec // resource: statuses that reached an aggregator
	Suppressed    *prometheus.CounterVec // resource, stage: changes that changed nothing there
	Coalesced     *prometheus.CounterVec // resource, stage: changes that a later one overtook there
	Decisions     *prometheus.CounterVec // resource, reason
	RuleFailures  *prometheus.CounterVec // resource: rules of fields that failed, so that the published value stays
	Contested     *prometheus.CounterVec // resource: fields of ours that another manager keeps overwriting
	LongestTurn   *prometheus.GaugeVec   // resource: seconds that the longest step of a bucket took
	Stale         *prometheus.GaugeVec   // sync_target: 1 while it is stale for a resource, else 0
	Quarantined   *prometheus.GaugeVec   // sync_target, resource, reason: 1 while it is over the limit that reason names; else none
	Unschedulable *prometheus.GaugeVec   // sync_target: 1 while its SyncTarget object is unschedulable, else 0; none without an object
	ObjectReady   *prometheus.GaugeVec   // sync_target: 1 if the condition Ready of its SyncTarget object is True, else 0; none without it
	Refused       *prometheus.GaugeVec   // sync_target, reason: 1 while it is not taken up for that reason; else none
	Parked        *prometheus.GaugeVec   // reason: objects or kinds that are not written for now

	QueueDepth  prometheus.Gauge         // upstream objects that wait for the writer
	InFlight    prometheus.Gauge         // PATCH calls under way
	Slots       prometheus.Gauge         // PATCH calls that may be under way, at the server that takes the fewest
	Patches     *prometheus.CounterVec   // resource, result
	Conflicts   *prometheus.CounterVec   // resource: writes that a newer upstream object refused (409)
	Added       prometheus.Histogram     // seconds, from the event's arrival to the PATCH leaving
	Propagation *prometheus.HistogramVec // resource; seconds, from the event's arrival to the acknowledged PATCH

	Failures    *prometheus.CounterVec // actor: panics that ended a turn
	Restarts    *prometheus.CounterVec // actor: restarts by a supervisor
	DeadLetters prometheus.Counter     // messages to actors that were gone

	PolicyReloads *prometheus.CounterVec // result: changed policies that were taken up (ok), or refused (error)
	WatchLive     *prometheus.GaugeVec   // sync_target, resource: 1 while the list is complete and the watch open, else 0

	byTarget []forgetter
}

// forgetter is a vector that can drop the series of one SyncTarget.
type forgetter interface {
	DeletePartialMatch(prometheus.Labels) int
}

// New makes the metrics and registers all of them, or none if one is refused (such as a second set in the same registry).
// Without a registerer they count, and are not served.
func New(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		Events:        counters("events_total", "Events of downstream objects, by type.", labelTarget, labelType),
		WatchErrors:   counters("watch_errors_total", "Lists and watches that failed; an empty sync_target is upstream.", labelTarget, labelResource),
		Rejected:      counters("input_rejected_total", "Downstream input that was refused.", labelReason),
		Objects:       gauges("object_actors", "Downstream objects that have an actor.", labelTarget, labelResource),
		Contributions: counters("contributions_total", "Statuses that SyncTargets contributed.", labelResource),
		Suppressed:    counters("suppressed_total", "Changes that made no difference at a stage.", labelResource, labelStage),
		Coalesced:     counters("coalesced_total", "Changes that a later one overtook at a stage.", labelResource, labelStage),
		Decisions:     counters("decisions_total", "Decisions, by reason.", labelResource, labelReason),
		RuleFailures:  counters("rule_failures_total", "Rules of fields that failed in a decision: the published values of these fields stay.", labelResource),
		Contested:     counters("contested_total", "Times that another manager repeatedly overwrote the published status.", labelResource),
		LongestTurn:   gauges("aggregator_longest_turn_seconds", "The longest step of an aggregator's bucket.", labelResource),
		Stale:         gauges("sync_target_stale", "1 while a SyncTarget is stale for at least one resource, else 0.", labelTarget),
		Quarantined: gauges("sync_target_quarantined", "1 while a SyncTarget's kind is not requested because it exceeded the limit that reason names.",
			labelTarget, labelResource, labelReason),
		Unschedulable: gauges("sync_target_unschedulable", "1 while the SyncTarget object takes no new workloads, else 0.", labelTarget),
		ObjectReady:   gauges("sync_target_object_ready", "1 if the condition Ready of the SyncTarget object is True, else 0.", labelTarget),
		Refused:       gauges("sync_target_refused", "1 while a SyncTarget is refused for this reason.", labelTarget, labelReason),
		Parked:        gauges("parked", "Objects and kinds that are not written until their inputs change or a pause ends.", labelReason),
		QueueDepth:    gauge("writer_queue_depth", "Upstream objects that wait to be written."),
		InFlight:      gauge("writer_in_flight", "PATCH calls under way."),
		Slots:         gauge("writer_slots", "PATCH calls that the writer has under way at most, at the API server that takes the fewest; it finds that out by itself."),
		Patches:       counters("patches_total", "PATCH calls on the status subresource, by result.", labelResource, labelResult),
		Conflicts:     counters("conflicts_total", "PATCH calls refused because the upstream object had changed.", labelResource),
		Added: prometheus.NewHistogram(histogram("added_latency_seconds",
			"Time that upstreamd adds: from the arrival of a downstream event to the PATCH that it caused being sent.")),
		Propagation: prometheus.NewHistogramVec(histogram("propagation_seconds",
			"Time from the arrival of a downstream event to the acknowledgement of the PATCH that it caused."), []string{labelResource}),
		Failures:      counters("actor_failures_total", "Actors that failed on a message.", labelActor),
		Restarts:      counters("actor_restarts_total", "Actors that were restarted.", labelActor),
		DeadLetters:   prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "dead_letters_total", Help: "Messages to actors that were gone."}),
		PolicyReloads: counters("policy_reloads_total", "Changes of the folder of policies that were taken up (ok) or refused (error).", labelResult),
		WatchLive:     gauges("watch_live", "1 while the list of a resource of a SyncTarget is complete and its watch open, else 0.", labelTarget, labelResource),
	}
	m.byTarget = []forgetter{m.Events, m.WatchErrors, m.Objects, m.Stale, m.Quarantined, m.Unschedulable, m.ObjectReady, m.Refused, m.WatchLive}
	if reg == nil {
		return m, nil
	}
	if err := reg.Register(m); err != nil {
		return nil, fmt.Errorf("registering the metrics: %w", err)
	}
	return m, nil
}

// ForgetTarget drops all series of a SyncTarget that was removed.
func (m *Metrics) ForgetTarget(t ref.SyncTarget) {
	if t == "" { // upstream, which cannot be removed
		return
	}
	for _, v := range m.byTarget {
		v.DeletePartialMatch(prometheus.Labels{labelTarget: string(t)})
	}
}

// Describe implements prometheus.Collector, so that one registration takes all metrics or none.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(ch)
	}
}

func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.Events, m.WatchErrors, m.Rejected, m.Objects, m.Contributions, m.Suppressed, m.Coalesced, m.Decisions, m.RuleFailures, m.Contested, m.LongestTurn,
		m.Stale, m.Quarantined, m.Unschedulable, m.ObjectReady, m.Refused, m.Parked, m.QueueDepth, m.InFlight, m.Slots,
		m.Patches, m.Conflicts, m.Added, m.Propagation, m.Failures, m.Restarts, m.DeadLetters, m.PolicyReloads,
		m.WatchLive,
	}
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
}

// histogram has buckets from 1 ms (an isolated change) to 60 s (an upstream server that is away), in 1-2-5 steps.
func histogram(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: []float64{
		.001, .002, .005, .010, .020, .050, .1, .2, .5, 1, 2, 5, 10, 20, 60,
	}}
}
