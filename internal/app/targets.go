package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/kube/discovery"
	"github.com/upstreamd/upstreamd/internal/kube/downstream"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/supervisor"
)

// wanted is a SyncTarget as desired.
type wanted struct {
	target     supervisor.Target
	workspaces []string     // that it is bound to, as configured
	config     *rest.Config // nil: it cannot be reached, for the reason in err
	content    []byte       // the kubeconfig that config was made of
	err        error
	ready      metav1.ConditionStatus // of the SyncTarget object's condition Ready; empty: it has none, or there is no object
	object     bool                   // there is a SyncTarget object
}

// targetReconciler holds a System to the SyncTargets that are wanted. It belongs to one goroutine.
type targetReconciler struct {
	system  *supervisor.System
	connect func(name string) downstream.Options
	metrics *metrics.Metrics
	log     zerolog.Logger
	known   map[ref.SyncTarget]*knownTarget
	refused map[ref.SyncTarget]ref.SyncTarget // as last reported
}

// knownTarget is one that the System has.
type knownTarget struct {
	wanted
	client *downstream.Client
}

// removeTimeout bounds the wait for the actors of a SyncTarget to end; it is asked for again at the next change.
const removeTimeout = 30 * time.Second

func newTargetReconciler(system *supervisor.System, connect func(string) downstream.Options, m *metrics.Metrics, log zerolog.Logger) *targetReconciler {
	return &targetReconciler{system: system, connect: connect, metrics: m, log: log, known: map[ref.SyncTarget]*knownTarget{}}
}

// refuse takes those out of all that lead to a cluster that another one has, and reports them.
func (k *targetReconciler) refuse(all map[ref.SyncTarget]wanted) {
	refused := refuseDoubles(all, func(name ref.SyncTarget) bool { return k.known[name] != nil && k.known[name].err == nil })
	k.metrics.Refused.Reset()
	for name, other := range refused {
		k.metrics.Refused.WithLabelValues(string(name), reasonDuplicate).Set(1)
		if k.refused[name] != other {
			k.log.Warn().Str("sync_target", string(name)).Str("reason", reasonDuplicate).Err(errDouble(other)).Msg("SyncTarget refused")
		}
	}
	for name := range k.refused {
		if _, still := refused[name]; !still {
			k.log.Info().Str("sync_target", string(name)).Msg("SyncTarget no longer refused")
		}
	}
	k.refused = refused
}

// apply adds, changes and removes SyncTargets that differ. The error joins failures, which are to be retried.
func (k *targetReconciler) apply(ctx context.Context, all map[ref.SyncTarget]wanted) error {
	var failed []error
	for _, name := range slices.Sorted(maps.Keys(k.known)) {
		if _, stays := all[name]; !stays {
			failed = append(failed, k.remove(ctx, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		w := all[name]
		known := k.known[name]
		switch {
		case known == nil:
			failed = append(failed, k.add(w))
		case known.target.UID != w.target.UID:
			failed = append(failed, k.replace(ctx, w))
		default:
			failed = append(failed, k.change(known, w))
		}
		if known = k.known[name]; known != nil {
			k.report(known)
		}
	}
	return errors.Join(failed...)
}

// open makes the connection. One that cannot be made counts as one that fails: the SyncTarget is waited for, and becomes stale.
func (k *targetReconciler) open(w wanted) *knownTarget {
	name := string(w.target.Name)
	log := k.log.With().Str("sync_target", name).Logger()
	if w.err == nil {
		made, err := downstream.New(w.config, k.connect(name))
		if err == nil {
			return &knownTarget{w, made}
		}
		w.err = err
	}
	log.Warn().Err(w.err).Msg("SyncTarget cannot be reached until this is fixed")
	return &knownTarget{w, downstream.Unconnected(w.err, k.connect(name))}
}

func (k *targetReconciler) add(w wanted) error {
	added := k.open(w)
	if err := k.system.AddTarget(w.target, added.client); err != nil {
		added.client.Close()
		return fmt.Errorf("adding SyncTarget %s: %w", w.target.Name, err)
	}
	k.known[w.target.Name] = added
	k.log.Info().Str("sync_target", string(w.target.Name)).Msg("SyncTarget added")
	return nil
}

func (k *targetReconciler) remove(ctx context.Context, name ref.SyncTarget) error {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	if err := k.system.RemoveTarget(ctx, name); err != nil {
		return err
	}
	delete(k.known, name)
	k.metrics.ForgetTarget(name)
	k.log.Info().Str("sync_target", string(name)).Msg("SyncTarget removed: its contributions are withdrawn")
	return nil
}

// replace is for another SyncTarget of the same name.
func (k *targetReconciler) replace(ctx context.Context, w wanted) error {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	next := k.open(w)
	if err := k.system.ReplaceTarget(ctx, w.target, next.client); err != nil && ctx.Err() == nil {
		return err
	}
	k.known[w.target.Name] = next
	k.log.Info().Str("sync_target", string(w.target.Name)).Str("uid", w.target.UID).Msg("SyncTarget replaced by another of its name")
	return nil
}

// change is for the same SyncTarget, of which something else is known.
func (k *targetReconciler) change(known *knownTarget, w wanted) error {
	if !sameTarget(known.target, w.target) {
		if err := k.system.SetTarget(w.target); err != nil {
			return err
		}
	}
	before := known.wanted
	known.wanted = w
	log := k.log.With().Str("sync_target", string(w.target.Name)).Logger()
	switch {
	case w.err != nil:
		if errorText(before.err) != errorText(w.err) {
			log.Warn().Err(w.err).Msg("SyncTarget cannot be reached until this is fixed; its contributions stay")
			known.client.Disconnect(w.err)
		}
	case before.err == nil && bytes.Equal(before.content, w.content):
	default:
		if err := known.client.Reconfigure(w.config); err != nil {
			known.err = err
			log.Warn().Err(err).Msg("SyncTarget cannot be reached until this is fixed; its contributions stay")
			known.client.Disconnect(err)
			return nil
		}
		log.Info().Msg("SyncTarget has other credentials or another address")
	}
	return nil
}

// report puts the state of the SyncTarget object into metrics.
func (k *targetReconciler) report(known *knownTarget) {
	if !known.object {
		return
	}
	name := string(known.target.Name)
	k.metrics.Unschedulable.WithLabelValues(name).Set(oneIf(known.target.Scheduling.Unschedulable))
	if known.ready == "" {
		k.metrics.ObjectReady.DeleteLabelValues(name)
		return
	}
	k.metrics.ObjectReady.WithLabelValues(name).Set(oneIf(known.ready == metav1.ConditionTrue))
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func sameTarget(a, b supervisor.Target) bool {
	return a.Cluster == b.Cluster && a.Scheduling == b.Scheduling && slices.Equal(a.Workspaces, b.Workspaces)
}

// wantedTargets puts together the configured SyncTargets and those that were found. until is when that next changes by itself; zero:
// never.
func (a *App) wantedTargets(configured []configuredTarget, found map[string]discovery.SyncTarget, now time.Time) (all map[ref.SyncTarget]wanted, until time.Time) {
	all = make(map[ref.SyncTarget]wanted, len(configured)+len(found))
	for _, t := range configured {
		all[ref.SyncTarget(t.Name)] = wanted{target: a.target(t.SyncTarget), workspaces: t.Workspaces, config: t.config, content: t.content}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		t := found[name]
		if _, taken := all[ref.SyncTarget(name)]; taken {
			a.warnOnce("taken/"+name).Str("sync_target", name).Msg("SyncTarget object ignored: the configuration has a SyncTarget of this name")
			continue
		}
		w := a.foundTarget(t)
		if at := t.EvictAfter; at != nil {
			w.target.Scheduling.Evicted = !now.Before(*at)
			if now.Before(*at) && (until.IsZero() || at.Before(until)) {
				until = *at
			}
		}
		all[ref.SyncTarget(name)] = w
	}
	a.bind(all)
	return all, until
}

// bind makes upstream resolve the workspaces of these SyncTargets, and no others.
func (a *App) bind(all map[ref.SyncTarget]wanted) {
	if !a.config.Upstream.Unlisted() {
		return
	}
	var bound []string
	for _, w := range all {
		bound = append(bound, w.workspaces...)
	}
	if a.upstream.Bind(bound) {
		signal(a.rebound)
	}
}

// foundTarget is a SyncTarget object as the actors take it. Its annotation binds it only where the configuration lets it; on a
// plain hub there is nowhere else.
func (a *App) foundTarget(t discovery.SyncTarget) wanted {
	d := a.config.Discovery
	asked, err := t.Workspaces, t.Err
	target := config.SyncTarget{Name: t.Name, UID: string(t.UID), Cluster: t.Cluster}
	if target.Cluster == "" {
		target.Cluster = d.Workspace
	}
	hub := d.Workspace == ""
	for _, w := range asked {
		if slices.Contains(d.Workspaces, w) || slices.Contains(d.Workspaces, config.AllWorkspaces) {
			target.Workspaces = append(target.Workspaces, w)
			continue
		}
		a.warnOnce("binding/"+t.Name+"/"+w).Str("sync_target", t.Name).Str("workspace", w).
			Msg("binding refused: syncTargetDiscovery.workspaces does not hold the workspace that the SyncTarget object names")
	}
	w := wanted{target: a.target(target), workspaces: target.Workspaces, config: t.Config, content: t.Content, err: err, ready: t.Ready, object: true}
	if !hub && len(target.Workspaces) == 0 {
		w.target.Workspaces = nil // only placement labels make it count
	}
	w.target.Scheduling = supervisor.Scheduling{Unschedulable: t.Unschedulable}
	return w
}

// warnOnce is a warning that is logged once a day.
func (a *App) warnOnce(what string) *zerolog.Event {
	if _, before := a.warned.Get(what); before {
		return a.log.Debug()
	}
	a.warned.Add(what, nil, 24*time.Hour)
	return a.log.Warn()
}

// followSyncTargets watches the SyncTarget objects until ctx ends.
func (a *App) followSyncTargets(ctx context.Context, emit func(map[string]discovery.SyncTarget)) {
	d := a.config.Discovery
	outage := client.NewOutage(a.component("targets"), "SyncTarget objects or their Secrets cannot be listed or watched; retried, those that are known stay",
		"SyncTarget objects and their Secrets are watched again")
	discovery.SyncTargets{
		Server:          a.upstream.At(strings.TrimSpace(d.Workspace)),
		SecretNamespace: d.SecretNamespace,
		Servers:         a.servers,
		Settings:        lean.Settings{Logger: a.component("targets"), Limits: lean.Limits{Objects: 20_000, Kept: 256 << 20}},
	}.Watch(ctx, emit, func(err error) { note(outage, err) })
}
