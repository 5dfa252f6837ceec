package app

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/component-base/featuregate"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/debounce"
	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/supervisor"
)

// Run serves and works until ctx ends, then flushes pending writes, for the configured time at most. It is called
// once. A cluster that cannot be reached does not end it.
func (a *App) Run(ctx context.Context) (err error) {
	defer a.upstream.Close()
	stopServing, err := a.serve(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopServing()) }()

	a.log.Info().Str("version", BuildVersion().Version).Int("sync_targets", len(a.config.SyncTargets)).Int("resources", len(a.config.Resources)).
		Strs("feature_gates", a.openGates()).Msg("starting")
	a.warnOfLoadBalancers()
	following, stopFollowing := context.WithCancel(ctx)
	var follower sync.WaitGroup
	persist := func(fn func()) { follower.Go(func() { client.Persist(following, a.log, fn) }) }
	persist(func() { a.policies.follow(following, a.pace.policies) })
	if a.file != nil {
		persist(func() { a.file.follow(following, a.pace.configuration, a.reload) })
	}
	defer follower.Wait()
	defer stopFollowing()
	resign := a.elect()
	for ctx.Err() == nil && err == nil {
		if !a.resolve(ctx) {
			break
		}
		err = a.operate(ctx)
	}
	resign(err == nil)
	if cause := context.Cause(ctx); cause != nil {
		a.log.Info().AnErr("cause", cause).Msg("stopped")
	}
	return err
}

// warnOfLoadBalancers warns where SyncTargets that others add could publish addresses that the hub's nodes route traffic to.
func (a *App) warnOfLoadBalancers() {
	c := a.config
	hub := !c.Upstream.Unlisted() && len(c.Upstream.Workspaces) == 0
	services := func(r config.Resource) bool {
		return r.Group == "" && r.Resource == "services" || r.Wildcard() && (r.Group == "" || r.Group == config.Any) &&
			!slices.ContainsFunc(r.Exclude, func(e config.Exclusion) bool { return e.Resource == "services" })
	}
	if hub && c.Discovery != nil && slices.ContainsFunc(c.Resources, services) {
		a.log.Warn().Msg("nodes of the hub route traffic for the load balancer addresses of Services: if the hub has nodes, every SyncTarget object " +
			"must be trusted, or resources must leave out services")
	}
}

// operate runs one actor system, until ctx ends or the workspaces turn out to be others than those it was started with: then it returns
// nil, for the next one to be started. Nothing is lost with it, since all is read again.
func (a *App) operate(ctx context.Context) error {
	workspaces, policies := a.upstream.Workspaces(), a.policies.current.Load()
	system, err := a.startSystem(ctx, policies)
	if err != nil {
		return err
	}
	letGo := a.keep(ctx, system)
	a.system.Store(system)
	a.mayWrite()
	a.log.Info().Int("workspaces", len(workspaces)).Msg("started")
	again := time.NewTicker(a.pace.resolveEvery)
	defer again.Stop()
	for ctx.Err() == nil && slices.Equal(workspaces, a.upstream.Workspaces()) {
		select {
		case <-ctx.Done():
		case <-again.C:
			a.resolveAgain(ctx)
		case <-a.rebound:
			a.resolveAgain(ctx)
		case <-a.policies.changed:
			if current := a.policies.current.Load(); current != policies {
				policies = current
				system.SetPolicies(policies)
			}
		}
	}
	a.system.Store(nil)
	letGo()
	anew := ctx.Err() == nil
	if anew {
		a.log.Info().Msg("a workspace has another name now: starting anew")
	}
	end, cancel := a.deadline()
	defer cancel()
	err = system.Stop(end)
	if anew && err != nil { // the next system decides again on the writes that were not sent; only the operator ends the process
		a.log.Warn().Err(err).Msg("pending writes were not flushed before the new start")
		return nil
	}
	return err
}

// deadline bounds the shutdown. It has no parent, because Run's context has ended by then.
func (a *App) deadline() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), a.config.Shutdown.Timeout.Duration)
}

// resolve resolves the names of the workspaces until upstream answers at all; false if ctx ends first. A workspace that cannot be
// resolved keeps its configured name for now, and does not hold up the others.
func (a *App) resolve(ctx context.Context) bool {
	for pause := a.pace.resolveSoon; ctx.Err() == nil; pause = min(2*pause, a.pace.resolveLate) {
		err := a.upstream.Resolve(ctx)
		if err == nil {
			return true
		}
		if !a.upstream.LastHeard().IsZero() {
			a.log.Warn().Err(err).Msg("the names of workspaces cannot be resolved yet; retried")
			return true
		}
		if pause == a.pace.resolveSoon {
			a.log.Warn().Err(err).Msg("upstream does not answer; retried")
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return false
}

// resolveAgain resolves the names of workspaces again: if one changed, the bindings are made anew.
func (a *App) resolveAgain(ctx context.Context) {
	before := a.upstream.Names()
	if err := a.upstream.Resolve(ctx); err != nil {
		a.log.Debug().Err(err).Msg("workspaces that could not be resolved keep their names")
	}
	if !maps.Equal(before, a.upstream.Names()) {
		signal(a.reloaded)
	}
}

// signal fills a channel of capacity 1, if it is empty.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// startSystem starts the actors. The reconciler gives them SyncTargets and resources.
func (a *App) startSystem(ctx context.Context, policies *policy.Set) (*supervisor.System, error) {
	c := a.config
	system, err := supervisor.New(supervisor.Options{
		Upstream:  a.upstream,
		Policies:  policies,
		Locators:  a.locators,
		Debounce:  debounce.Window{Quiet: c.Debounce.Quiet.Duration, MaxWait: c.Debounce.MaxWait.Duration},
		Writer:    actors.WriterOptions{QPS: c.Writer.QPS, Burst: c.Writer.Burst, Concurrency: c.Writer.Concurrency},
		Staleness: supervisor.Staleness{Grace: c.Staleness.Grace.Duration, Probe: c.Staleness.Probe.Duration, Deadline: c.Staleness.Deadline.Duration},

		Fence:        a.fence(),
		Logger:       a.component("actors"),
		SystemLogger: Bridge(a.log, "protoactor"),
		Metrics:      a.metrics,
	})
	if err != nil {
		return nil, err
	}
	if err := system.Start(ctx); err != nil {
		return nil, err
	}
	return system, nil
}

// target is a SyncTarget as the actors take it. Without workspaces in the configuration there is one, upstream's own; "*" stays
// as it is.
func (a *App) target(t config.SyncTarget) supervisor.Target {
	workspaces := make([]ref.Workspace, 0, len(t.Workspaces))
	for _, w := range t.Workspaces {
		workspaces = append(workspaces, a.upstream.Name(w))
	}
	if len(t.Workspaces) == 0 {
		workspaces = a.upstream.Workspaces()
	}
	slices.Sort(workspaces)
	return supervisor.Target{Name: ref.SyncTarget(t.Name), Cluster: t.Cluster, UID: t.UID, Workspaces: slices.Compact(workspaces)}
}

// unready is why the daemon is not ready; nil: it is.
func (a *App) unready() error {
	system := a.system.Load()
	switch {
	case system == nil:
		return errors.New("starting or stopping; upstream must answer first")
	case *a.notYet.Load() != nil:
		return *a.notYet.Load()
	case !system.Ready():
		return errors.New("upstream has not been listed yet")
	case a.election != nil:
		return a.election.Err()
	default:
		return nil
	}
}

func (a *App) openGates() []string {
	open := []string{}
	for name := range a.config.FeatureGates {
		if a.gates.Enabled(featuregate.Feature(name)) {
			open = append(open, name)
		}
	}
	slices.Sort(open)
	return open
}
