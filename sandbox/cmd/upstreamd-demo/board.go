package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/apps/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/upstreamd/upstreamd/sandbox/copier"
	"github.com/upstreamd/upstreamd/sandbox/topology"
)

// board watches the Deployments of all clusters and aligns them for display.
type board struct {
	copier     *copier.Copier
	targets    []string
	down       map[string]listers.DeploymentLister
	workspaces []topology.Workspace
	up         map[string]listers.DeploymentLister
	factories  []informers.SharedInformerFactory

	mu      sync.Mutex
	changed map[string]time.Time // last change of an object's published status
}

// row is one Deployment of a workspace.
type row struct {
	object    string
	ready     []string // by SyncTarget: "2/3", or "-" if it is not placed there
	published string
	behind    bool // the published ready replicas differ from the sum over the SyncTargets
	changed   time.Time
}

func openBoard(ctx context.Context, c *copier.Copier, workspaces []topology.Workspace, targets []topology.SyncTarget) (*board, error) {
	b := &board{
		copier: c, workspaces: workspaces, down: map[string]listers.DeploymentLister{}, up: map[string]listers.DeploymentLister{},
		changed: map[string]time.Time{},
	}
	for _, t := range targets {
		b.targets = append(b.targets, t.Name)
		lister, err := b.watch(ctx, t.Config, nil)
		if err != nil {
			return nil, fmt.Errorf("SyncTarget %s: %w", t.Name, err)
		}
		b.down[t.Name] = lister
	}
	for _, w := range workspaces {
		lister, err := b.watch(ctx, w.Config, func(before, after *appsv1.Deployment) {
			if !equality.Semantic.DeepEqual(before.Status, after.Status) {
				b.mu.Lock()
				b.changed[objectName(w.Name, after)] = time.Now()
				b.mu.Unlock()
			}
		})
		if err != nil {
			return nil, fmt.Errorf("workspace %s: %w", w.Name, err)
		}
		b.up[w.Name] = lister
	}
	for _, f := range b.factories {
		f.WaitForCacheSync(ctx.Done())
	}
	return b, ctx.Err()
}

func (b *board) watch(ctx context.Context, config *rest.Config, updated func(before, after *appsv1.Deployment)) (listers.DeploymentLister, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	b.factories = append(b.factories, factory)
	informer := factory.Apps().V1().Deployments()
	if updated != nil {
		_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: func(before, after any) {
			updated(before.(*appsv1.Deployment), after.(*appsv1.Deployment))
		}})
		if err != nil {
			return nil, err
		}
	}
	lister := informer.Lister()
	factory.Start(ctx.Done())
	return lister, nil
}

// close waits for the watches to stop. Their context must be cancelled before.
func (b *board) close() {
	for _, f := range b.factories {
		f.Shutdown()
	}
}

// rows returns all Deployments, sorted by name.
func (b *board) rows() []row {
	var all []row
	for _, w := range b.workspaces {
		objects, err := b.up[w.Name].List(labels.Everything())
		if err != nil {
			continue // a lister over a cache returns no error
		}
		for _, d := range objects {
			all = append(all, b.row(w.Name, d))
		}
	}
	slices.SortFunc(all, func(a, b row) int { return cmp.Compare(a.object, b.object) })
	return all
}

func (b *board) row(workspace string, d *appsv1.Deployment) row {
	r := row{object: objectName(workspace, d), published: fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, d.Status.Replicas)}
	var ready int32
	for _, name := range b.targets {
		cell := "-"
		if namespace, name2, err := b.copier.CopyName(name, workspace, deployments, d.Namespace, d.Name); err == nil {
			if copied, err := b.down[name].Deployments(namespace).Get(name2); err == nil {
				ready += copied.Status.ReadyReplicas
				cell = fmt.Sprintf("%d/%d", copied.Status.ReadyReplicas, *copied.Spec.Replicas)
			}
		}
		r.ready = append(r.ready, cell)
	}
	r.behind = ready != d.Status.ReadyReplicas
	b.mu.Lock()
	r.changed = b.changed[r.object]
	b.mu.Unlock()
	return r
}

func objectName(workspace string, d *appsv1.Deployment) string {
	return workspace + "|" + d.Namespace + "/" + d.Name
}
