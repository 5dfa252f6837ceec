package main

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"

	"github.com/upstreamd/upstreamd/sandbox/daemon"
)

// metrics are the daemon's figures in the demo.
type metrics struct {
	events, patches, suppressed, coalesced float64
	propagation                            []bucket // cumulative, by upper bound
}

// bucket counts observations up to a bound in seconds.
type bucket struct {
	upTo  float64
	count uint64
}

func readMetrics(ctx context.Context, d *daemon.Daemon) (metrics, error) {
	m, err := d.Metrics(ctx)
	if err != nil {
		return metrics{}, errors.Join(err, died(d))
	}
	return metrics{
		events:      m.Sum("upstreamd_events_total"),
		patches:     m.Sum("upstreamd_patches_total"),
		suppressed:  m.Sum("upstreamd_suppressed_total"),
		coalesced:   m.Sum("upstreamd_coalesced_total"),
		propagation: buckets(m["upstreamd_propagation_seconds"]),
	}, nil
}

// buckets sums a histogram over all its labels.
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
	slices.SortFunc(all, func(a, b bucket) int { return cmp.Compare(a.upTo, b.upTo) })
	return all
}

// quantile estimates the q-quantile of the observations, assuming an even spread within a bucket. Beyond the last bound, and
// without observations, it returns NaN.
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
