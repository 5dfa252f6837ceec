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

// daemonReady is how long the daemon may take until it is ready.
const daemonReady = 60 * time.Second

var errDaemonDied = errors.New("the daemon died")

// startDaemon writes a configuration for the sandbox and runs the daemon with it, until it is ready.
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

// died is the error of a daemon that ended unasked, nil while it runs.
func died(d *daemon.Daemon) error {
	select {
	case <-d.Done():
		return fmt.Errorf("%w (%v); its log ends with:\n%s", errDaemonDied, d.Err(), d.Tail(4000))
	default:
		return nil
	}
}

// stopDaemon asks the daemon to end, and is an error if it had to be killed or did not end well.
func stopDaemon(ctx context.Context, d *daemon.Daemon) error {
	d.Stop(ctx)
	if err := d.Err(); err != nil {
		return fmt.Errorf("the daemon did not end well: %w; its log ends with:\n%s", err, d.Tail(4000))
	}
	return nil
}
