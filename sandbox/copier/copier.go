package copier

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"github.com/upstreamd/upstreamd/sandbox/topology"
)

// FieldManager is the field manager of copies.
const FieldManager = "spec-copier"

// Options select the resources, workspaces and SyncTargets.
type Options struct {
	Workspaces  []topology.Workspace
	SyncTargets []topology.SyncTarget
	Resources   []schema.GroupVersionResource
	Style       string // NamespaceLocator if empty
	// OmitGeneration omits the annotation with the upstream generation of a copy, as kcp's syncer does.
	OmitGeneration bool
	// OnError receives errors of single copies, which are retried. It is called from many goroutines. nil: errors are dropped.
	OnError func(error)
}

// Copier runs until it is stopped. Its methods are safe for concurrent use.
type Copier struct {
	options Options
	cancel  context.CancelFunc
	running context.Context
	sources []*source
	done    sync.WaitGroup

	mu      sync.Mutex
	targets map[string]*target
}

// source holds the informers of one workspace.
type source struct {
	workspace string
	client    dynamic.Interface
	factory   dynamicinformer.DynamicSharedInformerFactory
	listers   map[schema.GroupVersionResource]cache.GenericLister
}

// item names an object that may have a copy.
type item struct {
	source          *source
	resource        schema.GroupVersionResource
	namespace, name string
}

func (i item) String() string {
	return fmt.Sprintf("%s of %s|%s/%s", i.resource.Resource, i.source.workspace, i.namespace, i.name)
}

// Start starts copying and returns when every workspace has been listed. The caller must stop the copier.
func Start(ctx context.Context, o Options) (*Copier, error) {
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &Copier{options: o, cancel: cancel, running: running, targets: map[string]*target{}}
	if err := c.start(ctx); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

func (c *Copier) start(ctx context.Context) error {
	for _, t := range c.options.SyncTargets {
		if err := c.AddSyncTarget(t); err != nil {
			return err
		}
	}
	for _, w := range c.options.Workspaces {
		s, err := c.openSource(w)
		if err != nil {
			return err
		}
		c.sources = append(c.sources, s)
		s.factory.Start(c.running.Done())
	}
	for _, s := range c.sources {
		for resource, synced := range s.factory.WaitForCacheSync(ctx.Done()) {
			if !synced {
				return fmt.Errorf("listing %s of workspace %s: %w", resource.Resource, s.workspace, context.Cause(ctx))
			}
		}
	}
	return nil
}

func (c *Copier) openSource(w topology.Workspace) (*source, error) {
	client, err := dynamic.NewForConfig(w.Config)
	if err != nil {
		return nil, fmt.Errorf("workspace %s: %w", w.Name, err)
	}
	s := &source{
		workspace: w.Name,
		client:    client,
		factory:   dynamicinformer.NewDynamicSharedInformerFactory(client, 0),
		listers:   map[schema.GroupVersionResource]cache.GenericLister{},
	}
	for _, resource := range c.options.Resources {
		informer := s.factory.ForResource(resource)
		s.listers[resource] = informer.Lister()
		changed := func(object any) {
			if key, err := cache.DeletionHandlingObjectToName(object); err == nil {
				c.enqueue(item{source: s, resource: resource, namespace: key.Namespace, name: key.Name})
			}
		}
		_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: changed, DeleteFunc: changed, UpdateFunc: func(_, object any) { changed(object) },
		})
		if err != nil {
			return nil, fmt.Errorf("workspace %s: %w", w.Name, err)
		}
	}
	return s, nil
}

func (c *Copier) enqueue(i item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.targets {
		t.queue.Add(i)
	}
}

// AddSyncTarget starts copying to another SyncTarget.
func (c *Copier) AddSyncTarget(t topology.SyncTarget) error {
	added, err := newTarget(t, c.options)
	if err != nil {
		return err
	}
	c.mu.Lock()
	if _, taken := c.targets[t.Name]; taken {
		c.mu.Unlock()
		return fmt.Errorf("the copier already serves a SyncTarget %s", t.Name)
	}
	c.targets[t.Name] = added
	c.mu.Unlock()
	for range workersPerTarget {
		c.done.Go(func() { added.work(c.running) })
	}
	return c.Resync()
}

// RemoveSyncTarget stops copying to a SyncTarget. Its copies stay.
func (c *Copier) RemoveSyncTarget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.targets[name]; t != nil {
		t.queue.ShutDown()
		delete(c.targets, name)
	}
}

// Resync applies every copy again, changed or not.
func (c *Copier) Resync() error {
	c.mu.Lock()
	for _, t := range c.targets {
		t.forget()
	}
	c.mu.Unlock()
	return c.each(func(i item) { c.enqueue(i) })
}

// each calls visit for every object in the informers' caches.
func (c *Copier) each(visit func(item)) error {
	for _, s := range c.sources {
		for resource, lister := range s.listers {
			objects, err := lister.List(everything)
			if err != nil {
				return fmt.Errorf("%s of workspace %s: %w", resource.Resource, s.workspace, err)
			}
			for _, object := range objects {
				if key, err := cache.ObjectToName(object); err == nil {
					visit(item{source: s, resource: resource, namespace: key.Namespace, name: key.Name})
				}
			}
		}
	}
	return nil
}

// Settle returns when the copies of every object in the workspaces are up to date.
func (c *Copier) Settle(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		behind, err := c.behind(ctx)
		if behind == nil && err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the copies are not settled: %w", errors.Join(ctx.Err(), behind, err))
		}
	}
}

// Stop stops copying. Copies stay.
func (c *Copier) Stop() {
	c.cancel()
	c.mu.Lock()
	for _, t := range c.targets {
		t.queue.ShutDown()
	}
	c.mu.Unlock()
	c.done.Wait()
	for _, s := range c.sources {
		s.factory.Shutdown()
	}
}
