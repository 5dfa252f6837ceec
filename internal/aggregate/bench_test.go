package aggregate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// BenchmarkDecide measures a Deployment over 10 SyncTargets: when it moves (one cluster's counters changed), and when nothing does.
func BenchmarkDecide(b *testing.B) {
	set, err := policy.Builtin()
	if err != nil {
		b.Fatal(err)
	}
	p := set.For(ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"})
	in := deployment(10)
	first := aggregate.Decide(p, in)
	steady := in
	steady.Published = patch.Apply(nil, patch.Diff(nil, first.Status, nil, patch.Options{}))
	for name, in := range map[string]aggregate.Input{"first": in, "steady": steady} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !aggregate.Decide(p, in).Publish {
					b.Fatal("nothing to publish")
				}
			}
		})
	}
}

// deployment is a healthy Deployment with 3 replicas in each of n SyncTargets.
func deployment(n int) aggregate.Input {
	in := aggregate.Input{Generation: 4, Namespace: "shop", Name: "web"}
	for i := range n {
		status := map[string]any{
			"observedGeneration": int64(2), "replicas": int64(3), "readyReplicas": int64(3), "updatedReplicas": int64(3), "availableReplicas": int64(3),
			"conditions": []any{
				map[string]any{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": "Deployment has minimum availability.", "lastTransitionTime": "2026-03-01T10:00:00Z", "lastUpdateTime": "2026-03-01T10:00:00Z"},
				map[string]any{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": fmt.Sprintf("ReplicaSet \"web-%d\" has successfully progressed.", i), "lastTransitionTime": "2026-03-01T10:00:00Z", "lastUpdateTime": "2026-03-01T10:00:00Z"},
			},
		}
		in.Sources = append(in.Sources, aggregate.Source{Target: ref.SyncTarget(fmt.Sprintf("cluster-%02d", i)), CaughtUp: true,
			Contribution: &aggregate.Contribution{Status: status, Generation: 2, Time: time.Date(2026, 3, 1, 10, 0, i, 0, time.UTC)}})
	}
	return in
}
