// Package reconciler brings statuses up with controller-runtime, as its documentation would have it: a cache for every cluster, a
// controller that reads both sides from the caches, and a patch of the difference.
package reconciler

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/upstreamd/upstreamd/bench/baselines/world"
	"github.com/upstreamd/upstreamd/bench/fleet"
)

// request names a copy: identity rather than event.
type request struct {
	target int
	types.NamespacedName
}

type reconciler struct {
	world.World
	upstream map[string]cluster.Cluster // by workspace
	targets  []cluster.Cluster
}

type running struct {
	stop  context.CancelFunc
	ended sync.WaitGroup
	err   error
}

// Start starts a manager with a cache for every SyncTarget and workspace.
func Start(_ context.Context, w world.World) (world.Subject, error) {
	ctrl.SetLogger(logr.Discard())
	r := &reconciler{World: w, upstream: map[string]cluster.Cluster{}}
	manager, err := ctrl.NewManager(w.Upstream, ctrl.Options{
		Scheme: scheme.Scheme, Metrics: server.Options{BindAddress: "0"}, Logger: logr.Discard(), LeaderElection: false,
	})
	if err != nil {
		return nil, fmt.Errorf("manager: %w", err)
	}
	add := func(config *rest.Config) (cluster.Cluster, error) {
		c, err := cluster.New(jsonOnly(config), func(o *cluster.Options) { o.Scheme, o.Logger = scheme.Scheme, logr.Discard() })
		if err != nil {
			return nil, err
		}
		return c, manager.Add(c)
	}
	for _, name := range append(w.Shape.WorkspaceNames(), "") {
		if (name == "") != (w.Shape.Workspaces == 0) {
			continue
		}
		config := rest.CopyConfig(w.Upstream)
		if name != "" {
			config.Host += "/clusters/" + name
		}
		if r.upstream[name], err = add(config); err != nil {
			return nil, fmt.Errorf("workspace %q: %w", name, err)
		}
	}
	skip := true
	run, err := controller.NewTyped("status", manager, controller.TypedOptions[request]{
		Reconciler: r, MaxConcurrentReconciles: w.Concurrency, SkipNameValidation: &skip,
	})
	if err != nil {
		return nil, fmt.Errorf("controller: %w", err)
	}
	for n, config := range w.SyncTargets {
		c, err := add(config)
		if err != nil {
			return nil, fmt.Errorf("SyncTarget %d: %w", n, err)
		}
		r.targets = append(r.targets, c)
		toRequest := handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, d *appsv1.Deployment) []request {
			return []request{{n, client.ObjectKeyFromObject(d)}}
		})
		if err := run.Watch(source.TypedKind(c.GetCache(), &appsv1.Deployment{}, toRequest)); err != nil {
			return nil, err
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	out := &running{stop: stop}
	out.ended.Go(func() {
		if out.err = manager.Start(ctx); out.err != nil {
			w.Fail(out.err)
		}
	})
	return out, nil
}

// jsonOnly makes the client use JSON, as all others of the bench do.
func jsonOnly(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.ContentType, config.AcceptContentTypes = "application/json", "application/json"
	return config
}

// Reconcile patches the upstream object if its status is another than the copy's.
func (r *reconciler) Reconcile(ctx context.Context, q request) (reconcile.Result, error) {
	var copied, upstream appsv1.Deployment
	if err := r.targets[q.target].GetClient().Get(ctx, q.NamespacedName, &copied); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	workspace, namespace := fleet.UpstreamOf(q.Namespace)
	c := r.upstream[workspace].GetClient()
	if err := c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: q.Name}, &upstream); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	before := upstream.DeepCopy()
	upstream.Status = copied.Status
	patch := client.MergeFrom(before)
	if data, err := patch.Data(&upstream); err != nil || string(data) == "{}" {
		return reconcile.Result{}, err
	}
	err := c.Status().Patch(ctx, &upstream, patch)
	if err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) {
		r.Fail(err)
	}
	return reconcile.Result{}, err
}

// Stop ends it.
func (r *running) Stop(context.Context) error {
	r.stop()
	r.ended.Wait()
	if errors.Is(r.err, context.Canceled) {
		return nil
	}
	return r.err
}
