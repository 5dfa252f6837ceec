package app

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/kube/lease"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// makeElection makes the daemon's part in the leader election, if it is to take part in one, and the gauge of whether it leads.
func (a *App) makeElection() error {
	if a.config.LeaderElection.Enabled {
		var err error
		if a.election, err = a.newElection(); err != nil {
			return err
		}
	}
	leading := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "upstreamd", Name: "leader", Help: "1 while this daemon has the right to write statuses, else 0: it stands by.",
	}, func() float64 {
		if a.leading() {
			return 1
		}
		return 0
	})
	if err := a.registry.Register(leading); err != nil {
		return fmt.Errorf("registering the metric of the leader election: %w", err)
	}
	return nil
}

func (a *App) newElection() (*lease.Election, error) {
	c := a.config.LeaderElection
	read, err := a.leaseAccess()
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("leaderElection: %w", err)
	}
	election, err := lease.New(read.config, lease.Options{
		Namespace: c.Namespace, Name: c.Name, Identity: host + "_" + string(uuid.NewUUID()),
		Duration: c.LeaseDuration.Duration, Renew: c.RenewDeadline.Duration, Retry: c.RetryPeriod.Duration,
		Elected: a.mayWrite, UserAgent: a.agent, Logger: a.component("leader"),
	})
	if err != nil {
		return nil, fmt.Errorf("leaderElection: %w", err)
	}
	a.keepRenewed("leaderElection.kubeconfig", read, election.RenewCredentials)
	return election, nil
}

// leaseAccess leads to the API server that holds the Lease.
func (a *App) leaseAccess() (access, error) {
	c := a.config.LeaderElection
	field, file, context := "kubeconfig", c.Kubeconfig, c.Context
	switch {
	case c.InCluster:
		field = "inCluster"
	case file == "":
		file, context = a.config.Upstream.Kubeconfig, a.config.Upstream.Context
	}
	read, err := accessTo(c.InCluster, file, context)
	if err != nil {
		return access{}, fmt.Errorf("leaderElection.%s: %w", field, err)
	}
	return read, nil
}

// elect takes part in the election until the returned function ends that, which is called when nothing is written any more. If all was
// written, the Lease is given back; else cancelled writes may still arrive, and the Lease is left to expire.
func (a *App) elect() (resign func(written bool)) {
	if a.election == nil {
		return func(bool) {}
	}
	ctx, cancel := context.WithCancel(context.Background()) // beyond the end of Run's context: the last writes need the Lease
	var taking sync.WaitGroup
	taking.Go(func() {
		a.warmUp(ctx)
		client.Persist(ctx, a.log, func() { a.election.Run(ctx) })
	})
	return func(written bool) {
		cancel()
		taking.Wait()
		if !written {
			a.log.Info().Dur("lease_duration", a.config.LeaderElection.LeaseDuration.Duration).Msg("the Lease is left to run out, since not everything was written")
			return
		}
		end, cancel := context.WithTimeout(context.Background(), releaseTimeout)
		defer cancel()
		if err := a.election.Release(end); err != nil {
			a.log.Warn().Err(err).Msg("the Lease is left to run out")
		}
	}
}

// warmUp waits until upstream was listed, so that a daemon that has just begun (again) does not win against one that stands by ready to
// write. It waits for as long as a lease lasts at most: a kind that cannot be listed must not leave all without a leader.
func (a *App) warmUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, a.config.LeaderElection.LeaseDuration.Duration)
	defer cancel()
	tick := time.NewTicker(a.pace.warm)
	defer tick.Stop()
	for ctx.Err() == nil {
		if system := a.system.Load(); system != nil && *a.notYet.Load() == nil && system.Ready() {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// releaseTimeout bounds the release of the Lease: without it, a standby takes the Lease later.
const releaseTimeout = 2 * time.Second

// fence is checked before each write; nil: there is no other daemon.
func (a *App) fence() ref.Fence {
	if a.election == nil {
		return nil
	}
	return a.election.Fence
}

// leading reports whether this daemon may write.
func (a *App) leading() bool { return a.election == nil || a.election.Leading() }

// mayWrite flushes writes that waited for the right to write.
func (a *App) mayWrite() {
	if system := a.system.Load(); system != nil && a.election != nil && a.leading() {
		system.MayWrite()
	}
}

// role is the answer of /readyz of a daemon that is ready.
func (a *App) role() string {
	switch {
	case a.election == nil:
		return "ok"
	case a.election.Leading():
		return "ok: leading"
	case a.election.Leader() == "":
		return "ok: standing by, there is no leader"
	default:
		return "ok: standing by, " + a.election.Leader() + " leads"
	}
}
