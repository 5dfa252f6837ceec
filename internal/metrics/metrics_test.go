package metrics_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// use touches every field of m once, so that each metric has a series.
func use(m *metrics.Metrics, target string) {
	v := reflect.ValueOf(m).Elem()
	labels := map[string][]string{
		"Events": {target, "Changed"}, "WatchErrors": {target, "pods.v1"}, "Objects": {target, "pods.v1"}, "Stale": {target},
		"Quarantined": {target, "pods.v1", "Objects"}, "Refused": {target, "DuplicateCluster"},
		"WatchLive":  {target, "pods.v1"},
		"Suppressed": {"pods.v1", "object"}, "Coalesced": {"pods.v1", "writer"}, "Decisions": {"pods.v1", "Merged"}, "Patches": {"pods.v1", "ok"},
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		values, many := labels[f.Name]
		if !many {
			values = []string{"pods.v1"}
		}
		switch c := v.Field(i).Interface().(type) {
		case *prometheus.CounterVec:
			c.WithLabelValues(values...).Inc()
		case *prometheus.GaugeVec:
			c.WithLabelValues(values...).Set(1)
		case *prometheus.HistogramVec:
			c.WithLabelValues(values...).Observe(.003)
		case prometheus.Gauge:
			c.Set(1)
		case prometheus.Counter:
			c.Inc()
		case prometheus.Histogram:
			c.Observe(.003)
		}
	}
}

func gather(t *testing.T, reg *prometheus.Registry) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*dto.MetricFamily{}
	for _, f := range families {
		byName[f.GetName()] = f
	}
	return byName
}

func TestEveryFieldIsServedUnderItsName(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m, err := metrics.New(reg)
	if err != nil {
		t.Fatal(err)
	}
	use(m, "us-east1")
	want := map[string][]string{
		"upstreamd_events_total":              {"sync_target", "type"},
		"upstreamd_watch_errors_total":        {"resource", "sync_target"},
		"upstreamd_input_rejected_total":      {"reason"},
		"upstreamd_object_actors":             {"resource", "sync_target"},
		"upstreamd_contributions_total":       {"resource"},
		"upstreamd_suppressed_total":          {"resource", "stage"},
		"upstreamd_coalesced_total":           {"resource", "stage"},
		"upstreamd_decisions_total":           {"reason", "resource"},
		"upstreamd_rule_failures_total":       {"resource"},
		"upstreamd_contested_total":           {"resource"},
		"upstreamd_sync_target_stale":         {"sync_target"},
		"upstreamd_sync_target_quarantined":   {"reason", "resource", "sync_target"},
		"upstreamd_sync_target_unschedulable": {"sync_target"},
		"upstreamd_sync_target_object_ready":  {"sync_target"},
		"upstreamd_sync_target_refused":       {"reason", "sync_target"},
		"upstreamd_parked":                    {"reason"},
		"upstreamd_writer_queue_depth":        nil,
		"upstreamd_writer_in_flight":          nil,
		"upstreamd_writer_slots":              nil,
		"upstreamd_patches_total":             {"resource", "result"},
		"upstreamd_conflicts_total":           {"resource"},
		"upstreamd_added_latency_seconds":     nil,
		"upstreamd_propagation_seconds":       {"resource"},
		"upstreamd_actor_failures_total":      {"actor"},
		"upstreamd_actor_restarts_total":      {"actor"},
		"upstreamd_dead_letters_total":        nil,
		"upstreamd_policy_reloads_total":      {"result"},

		"upstreamd_aggregator_longest_turn_seconds": {"resource"},
		"upstreamd_watch_live":                      {"resource", "sync_target"},
	}
	got := gather(t, reg)
	for name, labels := range want {
		f := got[name]
		if f == nil {
			t.Errorf("%s is not served", name)
			continue
		}
		var have []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			have = append(have, l.GetName())
		}
		if !slices.Equal(have, labels) {
			t.Errorf("%s has the labels %v, want %v", name, have, labels)
		}
	}
	for name := range got {
		if _, known := want[name]; !known {
			t.Errorf("%s is served and not in this test", name)
		}
	}
	exported := 0
	for f := range reflect.TypeFor[metrics.Metrics]().Fields() {
		if f.IsExported() {
			exported++
		}
	}
	if exported != len(want) {
		t.Errorf("%d fields, %d served metrics", exported, len(want))
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("naming: %v, %v", problems, err)
	}
}

func TestForgetTargetLeavesNothingOfItAndAllOfTheOthers(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m, err := metrics.New(reg)
	if err != nil {
		t.Fatal(err)
	}
	use(m, "us-east1")
	use(m, "eu-west1")
	use(m, "") // upstream
	of := func(target string) int {
		n := 0
		for _, f := range gather(t, reg) {
			for _, s := range f.GetMetric() {
				for _, l := range s.GetLabel() {
					if l.GetName() == "sync_target" && l.GetValue() == target {
						n++
					}
				}
			}
		}
		return n
	}
	if of("us-east1") == 0 || of("us-east1") != of("eu-west1") {
		t.Fatalf("series before: %d and %d", of("us-east1"), of("eu-west1"))
	}
	others, upstream := of("eu-west1"), of("")
	m.ForgetTarget(ref.SyncTarget("us-east1"))
	m.ForgetTarget("")
	if n := of("us-east1"); n != 0 {
		t.Errorf("%d series of the forgotten SyncTarget are left", n)
	}
	if n := of("eu-west1"); n != others {
		t.Errorf("%d series of the other SyncTarget, want %d", n, others)
	}
	if n := of(""); n != upstream {
		t.Errorf("%d series of upstream, want %d", n, upstream)
	}
}

func TestASecondSetIsRefusedWhole(t *testing.T) {
	reg := prometheus.NewRegistry()
	if err := reg.Register(prometheus.NewCounter(prometheus.CounterOpts{Name: "upstreamd_dead_letters_total", Help: "Taken."})); err != nil {
		t.Fatal(err)
	}
	m, err := metrics.New(reg)
	if err == nil || m != nil || !strings.Contains(err.Error(), "registering the metrics") {
		t.Fatalf("got %v, %v", m, err)
	}
	if n := len(gather(t, reg)); n != 1 {
		t.Errorf("%d families after the refusal, want only the one that was there", n)
	}
}

func TestWithoutARegistryItCounts(t *testing.T) {
	m, err := metrics.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	m.DeadLetters.Inc()
	if got := testutil.ToFloat64(m.DeadLetters); got != 1 {
		t.Errorf("got %v", got)
	}
}

func TestBucketsTellOneMillisecondFromSixtySeconds(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := metrics.New(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, seconds := range []float64{.0005, .0015, .003, 30, 90} {
		m.Added.Observe(seconds)
	}
	seen := map[float64]uint64{}
	for _, b := range gather(t, reg)["upstreamd_added_latency_seconds"].GetMetric()[0].GetHistogram().GetBucket() {
		seen[b.GetUpperBound()] = b.GetCumulativeCount()
	}
	for bound, want := range map[float64]uint64{.001: 1, .002: 2, .005: 3, 20: 3, 60: 4} {
		if got, ok := seen[bound]; !ok || got != want {
			t.Errorf("at most %v s: %d (bucket there: %v), want %d", bound, got, ok, want)
		}
	}
}
