package subject

import (
	"context"
	"fmt"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/bench/baselines/world"
	"github.com/upstreamd/upstreamd/internal/debounce"
	"github.com/upstreamd/upstreamd/internal/kube/downstream"
	"github.com/upstreamd/upstreamd/internal/kube/upstream"
	"github.com/upstreamd/upstreamd/supervisor"
)

var deployments = actors.Resource{Group: "apps", Version: "v1", Resource: "deployments"}

// startUpstreamd starts what the daemon starts, without its configuration file and its own endpoints.
func startUpstreamd(ctx context.Context, w world.World) (world.Subject, error) {
	workspaces := w.Shape.WorkspaceNames()
	client, err := upstream.New(w.Upstream, upstream.Options{Workspaces: workspaces})
	if err != nil {
		return nil, err
	}
	system, err := supervisor.New(supervisor.Options{
		Upstream: client,
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
	bound := []actors.Workspace{""}
	if len(workspaces) > 0 {
		bound = bound[:0]
		for _, name := range workspaces {
			bound = append(bound, actors.Workspace(name))
		}
	}
	for n, name := range w.Shape.TargetNames() {
		connection, err := downstream.New(w.SyncTargets[n], downstream.Options{})
		if err != nil {
			return nil, err
		}
		if err := system.AddTarget(supervisor.Target{Name: actors.SyncTarget(name), Workspaces: bound}, connection); err != nil {
			return nil, fmt.Errorf("SyncTarget %s: %w", name, err)
		}
	}
	return running{system, client}, nil
}

type running struct {
	*supervisor.System
	client *upstream.Client
}

func (r running) Stop(ctx context.Context) error {
	defer r.client.Close()
	return r.System.Stop(ctx)
}
