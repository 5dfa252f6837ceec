package subject

import (
	"context"
	"fmt"

	dto "github.com/prometheus/client_model/go"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/bench/baselines/world"
	"github.com/upstreamd/upstreamd/internal/debounce"
	"github.com/upstreamd/upstreamd/internal/kube/downstream"
	"github.com/upstreamd/upstreamd/internal/kube/upstream"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/supervisor"
)

var deployments = actors.Resource{Group: "apps", Version: "v1", Resource: "deployments"}

// startUpstreamd starts the actor system and connections of the daemon, without its configuration file and its own endpoints.
func startUpstreamd(ctx context.Context, w world.World) (world.Subject, error) {
	client, err := upstream.New(w.Upstream, upstream.Options{Workspaces: w.Shape.WorkspaceNames()})
	if err != nil {
		return nil, err
	}
	counts, err := metrics.New(nil)
	if err != nil {
		return nil, err
	}
	system, err := supervisor.New(supervisor.Options{
		Upstream: client,
		Metrics:  counts,
		Debounce: debounce.Window{Quiet: w.Quiet},
		Writer:   actors.WriterOptions{Concurrency: w.Concurrency},
	})
	if err != nil {
		return nil, err
	}
	if err := system.AddResource(deployments); err != nil {
		return nil, err
	}
	if err := system.Start(ctx); err != nil {
		return nil, err
	}
	for n, name := range w.Shape.TargetNames() {
		connection, err := downstream.New(w.SyncTargets[n], downstream.Options{})
		if err != nil {
			return nil, err
		}
		if err := system.AddTarget(supervisor.Target{Name: actors.SyncTarget(name), Workspaces: client.Workspaces()}, connection); err != nil {
			return nil, fmt.Errorf("SyncTarget %s: %w", name, err)
		}
	}
	return running{system, client, counts}, nil
}

type running struct {
	*supervisor.System
	client *upstream.Client
	counts *metrics.Metrics
}

// Slots is how many calls at a time the writer has found to be enough.
func (r running) Slots() int {
	var m dto.Metric
	if err := r.counts.Slots.Write(&m); err != nil {
		return 0
	}
	return int(m.GetGauge().GetValue())
}

func (r running) Stop(ctx context.Context) error {
	defer r.client.Close()
	return r.System.Stop(ctx)
}
