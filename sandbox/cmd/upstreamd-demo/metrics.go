package main

import (
	"context"
	"fmt"
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metrics are the daemon's figures that the demo shows.
type metrics struct {
	events, patches, suppressed, coalesced float64
	propagation                            []bucket // cumulative, by upper bound
}

// bucket counts observations up to a bound in seconds.
type bucket struct {
	upTo  float64
	count uint64
}

func (d *daemon) metrics(ctx context.Context) (metrics, error) {
	answer, err := d.get(ctx, "/metrics")
	if err != nil {
		return metrics{}, fmt.Errorf("reading the daemon's metrics: %w", err)
	}
	defer answer.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		return metrics{}, fmt.Errorf("reading the daemon's metrics: %w", err)
	}
	return metrics{
		events:      sum(families["upstreamd_events_total"]),
		patches:     sum(families["upstreamd_patches_total"]),
		suppressed:  sum(families["upstreamd_suppressed_total"]),
		coalesced:   sum(families["upstreamd_coalesced_total"]),
		propagation: buckets(families["upstreamd_propagation_seconds"]),
	}, nil
}

// sum adds up a counter over all its labels.
func sum(family *dto.MetricFamily) float64 {
	total := 0.0
	for _, m := range family.GetMetric() {
		total += m.GetCounter().GetValue()
	}
	return total
}

// buckets adds up a histogram over all its labels.
func buckets(family *dto.MetricFamily) []bucket {
	counts := map[float64]uint64{}
	for _, m := range family.GetMetric() {
		for _, b := range m.GetHistogram().GetBucket() {
			counts[b.GetUpperBound()] += b.GetCumulativeCount()
		}
	}
	var all []bucket
	for upTo, count := range counts {
		all = append(all, bucket{upTo, count})
	}
	slices.SortFunc(all, func(a, b bucket) int {
		if a.upTo < b.upTo {
			return -1
		}
		return 1
	})
	return all
}

// quantile estimates the value below which the share q of the observations lies, evenly spread within a bucket. Beyond
// the last bound, and without observations, there is no number.
func quantile(q float64, all []bucket) float64 {
	if len(all) == 0 || all[len(all)-1].count == 0 {
		return math.NaN()
	}
	rank := q * float64(all[len(all)-1].count)
	below, from := 0.0, 0.0
	for _, b := range all {
		if count := float64(b.count); count >= rank {
			if math.IsInf(b.upTo, 1) {
				return math.NaN()
			}
			return from + (b.upTo-from)*(rank-below)/max(1, count-below)
		}
		below, from = float64(b.count), b.upTo
	}
	return math.NaN()
}
