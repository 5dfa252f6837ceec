package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/controlplane"
)

// daemonReady is how long the daemon may take until it is ready.
const daemonReady = 60 * time.Second

var errDaemonDied = errors.New("the daemon died")

// daemon is upstreamd as a child process.
type daemon struct {
	process *controlplane.Process
	address string
	http    *http.Client
}

// startDaemon writes a configuration for the sandbox and runs the daemon with it, until it is ready.
func startDaemon(ctx context.Context, program string, s *sandbox.Sandbox) (*daemon, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(s.Dir(), "upstreamd.yaml")
	if err := writeConfiguration(file, address, s); err != nil {
		return nil, err
	}
	process, err := controlplane.StartProcess(filepath.Join(s.Dir(), "upstreamd.log"), program, "run", "--config", file)
	if err != nil {
		return nil, err
	}
	d := &daemon{process: process, address: address, http: &http.Client{Timeout: 5 * time.Second}}
	if err := d.awaitReady(ctx); err != nil {
		process.Kill()
		return nil, err
	}
	return d, nil
}

func writeConfiguration(file, address string, s *sandbox.Sandbox) error {
	c := config.Defaults()
	c.Upstream = config.Upstream{Kubeconfig: s.UpstreamKubeconfig(), Workspaces: workspaceNames}
	for _, t := range s.SyncTargets() {
		c.SyncTargets = append(c.SyncTargets, config.SyncTarget{
			Name: t.Name, Cluster: t.Cluster, UID: string(t.UID), Kubeconfig: t.Kubeconfig, Workspaces: workspaceNames,
		})
	}
	for _, r := range resources {
		c.Resources = append(c.Resources, config.Resource{Group: r.Group, Version: r.Version, Resource: r.Resource})
	}
	c.Serving.Address = address
	content, err := config.Print(c)
	if err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	return nil
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	address := listener.Addr().String()
	return address, listener.Close()
}

func (d *daemon) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, daemonReady)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		answer, err := d.get(ctx, "/readyz")
		if err == nil {
			return answer.Body.Close()
		}
		select {
		case <-tick.C:
		case <-d.process.Done():
			return d.died()
		case <-ctx.Done():
			return fmt.Errorf("the daemon is not ready: %w (%w); its log ends with:\n%s", ctx.Err(), err, d.process.Tail(4000))
		}
	}
}

// get returns an answer whose status is 200.
func (d *daemon) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.address+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := d.http.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		_ = answer.Body.Close()
		return nil, fmt.Errorf("%s answers %s", path, answer.Status)
	}
	return answer, nil
}

// died is the error of a daemon that ended unasked.
func (d *daemon) died() error {
	return fmt.Errorf("%w (%v); its log ends with:\n%s", errDaemonDied, d.process.Err(), d.process.Tail(4000))
}

// stop asks the daemon to end, and is an error if it had to be killed or did not end well.
func (d *daemon) stop(ctx context.Context) error {
	d.process.Stop(ctx)
	d.http.CloseIdleConnections()
	if err := d.process.Err(); err != nil {
		return fmt.Errorf("the daemon did not end well: %w; its log ends with:\n%s", err, d.process.Tail(4000))
	}
	return nil
}
