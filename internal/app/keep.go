package app

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/kube/discovery"
	"github.com/upstreamd/upstreamd/internal/kube/downstream"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/supervisor"
)

// keeper holds a System to the SyncTargets and resources that the configuration names and that are found. run is its only goroutine but
// for those that watch and ask, which report to it.
type reconciler struct {
	app     *App
	system  *supervisor.System
	targets *targetReconciler
	kinds   *kindReconciler

	found      map[string]discovery.SyncTarget // nil: not known yet
	brought    map[ref.Resource]bool
	surveyed   bool // upstream has answered which kinds it serves
	unsurveyed *client.Outage
	unapplied  *client.Outage

	news    chan map[string]discovery.SyncTarget // capacity 1: the newest
	surveys chan survey
}

// Why the daemon is not ready during the start of a reconciler.
var (
	errBeginning    = errors.New("SyncTargets and resources are being taken up")
	errUndiscovered = errors.New("the SyncTarget objects have not been listed yet")
	errUnsurveyed   = errors.New("upstream has not reported the kinds that it serves yet")
)

// keep reconciles the System with the desired SyncTargets and resources, until the returned function is called. It starts none before all
// SyncTargets are known: a status without one of them would be wrong.
func (a *App) keep(ctx context.Context, system *supervisor.System) (stop func()) {
	log := a.component("targets")
	k := &reconciler{
		app: a, system: system, brought: map[ref.Resource]bool{},
		targets: newTargetReconciler(system, a.downstreamOptions, a.metrics, log),
		kinds:   newKindReconciler(a.component("kinds")),

		unsurveyed: client.NewOutage(a.component("kinds"), "not every server answers which kinds it serves; those that it served before stay",
			"every server answers which kinds it serves"),
		unapplied: client.NewOutage(log, "SyncTargets or resources could not be changed; retried", "all SyncTargets and resources are as configured"),
		news:      make(chan map[string]discovery.SyncTarget, 1),
		surveys:   make(chan survey, 1),
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	a.setUnready(errBeginning)
	if a.config.Discovery != nil {
		a.setUnready(errUndiscovered)
		running.Go(func() { client.Persist(ctx, log, func() { a.followSyncTargets(ctx, k.offer) }) })
	} else {
		k.found = map[string]discovery.SyncTarget{}
	}
	running.Go(func() { client.Persist(ctx, log, func() { k.run(ctx) }) })
	return func() {
		cancel()
		running.Wait()
	}
}

// offer replaces the SyncTarget objects that run has not taken yet by the newest ones.
func (k *reconciler) offer(found map[string]discovery.SyncTarget) {
	select {
	case <-k.news:
	default:
	}
	k.news <- maps.Clone(found)
}

func (k *reconciler) run(ctx context.Context) {
	leave := k.app.upstream.Attend()
	defer leave()
	survey := time.NewTicker(k.app.pace.survey)
	defer survey.Stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	free := true // no survey is under way
	ask := func() {
		if !free || k.found == nil || !slices.ContainsFunc(k.app.desired.Load().resources, config.Resource.Wildcard) {
			return
		}
		free = false
		clients := k.clients()
		asking.Go(func() { k.surveys <- k.app.survey(ctx, clients) })
	}
	for again := k.apply(ctx); ctx.Err() == nil; again = k.apply(ctx) {
		if !k.surveyed {
			ask()
		}
		timer := time.NewTimer(again)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-k.app.reloaded:
			ask()
		case k.found = <-k.news:
			ask()
		case <-survey.C:
			ask()
		case s := <-k.surveys:
			free = true
			k.take(s)
		}
		timer.Stop()
	}
}

func (k *reconciler) clients() map[string]*downstream.Client {
	clients := make(map[string]*downstream.Client, len(k.targets.known))
	for name, t := range k.targets.known {
		clients[string(name)] = t.client
	}
	return clients
}

func (k *reconciler) take(s survey) {
	note(k.unsurveyed, s.err)
	k.kinds.take(s, slices.Collect(maps.Keys(k.clients())))
	k.surveyed = k.surveyed || len(s.upstream) > 0
}

// apply reconciles once, and returns the time until the next change that is due by itself.
func (k *reconciler) apply(ctx context.Context) time.Duration {
	if k.found == nil {
		return time.Hour
	}
	desired := k.app.desired.Load()
	now := time.Now()
	all, until := k.app.wantedTargets(desired.targets, k.found, now)
	k.targets.refuse(all)
	err := k.targets.apply(ctx, all)
	wildcard := slices.ContainsFunc(desired.resources, config.Resource.Wildcard)
	err = errors.Join(err, k.bring(k.kinds.choose(desired.resources)))
	if wildcard && !k.surveyed {
		k.app.setUnready(errUnsurveyed)
	} else {
		k.app.setUnready(nil)
	}
	again := time.Hour
	if !until.IsZero() {
		again = min(again, until.Sub(now)+time.Millisecond)
	}
	if ctx.Err() == nil {
		note(k.unapplied, err)
	}
	if err != nil {
		again = min(again, k.app.pace.again)
	}
	return again
}

// bring adds and removes resources.
func (k *reconciler) bring(wanted map[ref.Resource]bool) error {
	var failed []error
	for r := range k.brought {
		if wanted[r] {
			continue
		}
		if err := k.system.RemoveResource(r); err != nil {
			failed = append(failed, err)
			continue
		}
		delete(k.brought, r)
		k.app.log.Info().Str("resource", ref.ResourceString(r)).Msg("resource not watched any more: the published statuses stay")
	}
	for r := range wanted {
		if k.brought[r] {
			continue
		}
		if err := k.system.AddResource(r); err != nil {
			failed = append(failed, err)
			continue
		}
		k.brought[r] = true
		k.app.log.Info().Str("resource", ref.ResourceString(r)).Msg("resource watched")
	}
	return errors.Join(failed...)
}

// note logs an error, or that there is none any more.
func note(o *client.Outage, err error) {
	if err == nil {
		o.Over()
		return
	}
	o.Failed(err)
}
