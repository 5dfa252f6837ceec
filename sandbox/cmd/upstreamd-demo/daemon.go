package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/daemon"
)

// daemonReady is the time limit for the daemon to become ready.
const daemonReady = 60 * time.Second

var errDaemonDied = errors.New("the daemon died")

// startDaemon writes a configuration for the sandbox, starts the daemon with it, and waits until it is ready.
func startDaemon(ctx context.Context, program string, s *sandbox.Sandbox) (*daemon.Daemon, error) {
	ctx, cancel := context.WithTimeout(ctx, daemonReady)
	defer cancel()
	var wanted []config.Resource
	for _, r := range resources {
		wanted = append(wanted, config.Resource{Group: r.Group, Version: r.Version, Resource: r.Resource})
	}
	d, err := daemon.Start(ctx, program, s.Dir(), "upstreamd", daemon.Configure(s, wanted...))
	if err != nil {
		return nil, err
	}
	if err := awaitReady(ctx, d); err != nil {
		d.Kill()
		return nil, err
	}
	return d, nil
}

func awaitReady(ctx context.Context, d *daemon.Daemon) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := d.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-d.Done():
			return died(d)
		case <-ctx.Done():
			return fmt.Errorf("the daemon is not ready: %w (%w); its log ends with:\n%s", ctx.Err(), err, d.Tail(4000))
		}
	}
}

// died returns an error if the daemon exited by itself, nil while it runs.
func died(d *daemon.Daemon) error {
	select {
	case <-d.Done():
		return fmt.Errorf("%w (%v); its log ends with:\n%s", errDaemonDied, d.Err(), d.Tail(4000))
	default:
		return nil
	}
}

// stopDaemon sends SIGTERM to the daemon. It returns an error if the daemon had to be killed or exited with an error.
func stopDaemon(ctx context.Context, d *daemon.Daemon) error {
	d.Stop(ctx)
	if err := d.Err(); err != nil {
		return fmt.Errorf("stopping the daemon: %w; its log ends with:\n%s", err, d.Tail(4000))
	}
	return nil
}
