package simulator

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/upstreamd/upstreamd/sandbox/topology"
)

const (
	writersPerCluster = 8
	callTimeout       = 5 * time.Second
)

// Stats counts the simulator's writes in one SyncTarget.
type Stats struct {
	Writes    int // accepted status writes
	Conflicts int // writes refused with 409
	Failures  int // other failed writes, mostly while the API server is unreachable
	Skipped   int // steps skipped because the API server did not keep up with the rate
}

// cluster is one SyncTarget: its objects and status writers.
type cluster struct {
	name     string
	selector string
	client   kubernetes.Interface
	factory  informers.SharedInformerFactory
	objects  *store
	steps    chan func()
	cancel   context.CancelFunc
	writers  sync.WaitGroup

	mu      sync.Mutex
	stopped bool
	stats   Stats
}

func openCluster(t topology.SyncTarget, selector string) (*cluster, error) {
	watching, err := kubernetes.NewForConfig(t.Config)
	if err != nil {
		return nil, fmt.Errorf("SyncTarget %s: %w", t.Name, err)
	}
	config := rest.CopyConfig(t.Config)
	config.Timeout = callTimeout // not for the watch client: it would cut watches
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("SyncTarget %s: %w", t.Name, err)
	}
	c := &cluster{
		name: t.Name, selector: selector, client: client, objects: newStore(), steps: make(chan func(), writersPerCluster),
		factory: informers.NewSharedInformerFactoryWithOptions(watching, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = selector })),
	}
	for _, kind := range behaviours() {
		put := func(o any) { c.objects.put(kind, o.(object)) }
		_, err := kind.informer(c.factory).AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    put,
			UpdateFunc: func(_, o any) { put(o) },
			DeleteFunc: func(o any) {
				if tombstone, ok := o.(cache.DeletedFinalStateUnknown); ok {
					o = tombstone.Obj
				}
				c.objects.remove(kind, o.(object))
			},
		})
		if err != nil {
			return nil, fmt.Errorf("SyncTarget %s: %w", t.Name, err)
		}
	}
	return c, nil
}

// start starts watching and writing. It does not wait for the API server, which may be unreachable.
func (c *cluster) start(ctx context.Context) {
	ctx, c.cancel = context.WithCancel(ctx)
	c.factory.Start(ctx.Done())
	for range writersPerCluster {
		c.writers.Go(func() {
			for {
				select {
				case step := <-c.steps:
					step()
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

// offer queues a step, unless the writers do not keep up or have been stopped.
func (c *cluster) offer(step func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return false
	}
	select {
	case c.steps <- step:
		return true
	default:
		c.stats.Skipped++
		return false
	}
}

// stop returns the number of queued steps that were not executed.
func (c *cluster) stop() (left int) {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.cancel()
	c.writers.Wait()
	c.factory.Shutdown()
	return len(c.steps)
}

func (c *cluster) count(change func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.stats)
}

// write writes one status, and then stores the newest version of the object, after a refusal too.
func (c *cluster) write(ctx context.Context, kind behaviour, changed object) error {
	written, err := kind.write(ctx, c.client, changed)
	switch {
	case err == nil:
		c.count(func(s *Stats) { s.Writes++ })
		c.objects.put(kind, written)
	case apierrors.IsNotFound(err):
		c.objects.remove(kind, changed)
		return nil
	case apierrors.IsConflict(err):
		c.count(func(s *Stats) { s.Conflicts++ })
		if current, getErr := kind.get(ctx, c.client, changed.GetNamespace(), changed.GetName()); getErr == nil {
			c.objects.put(kind, current)
		}
	default:
		c.count(func(s *Stats) { s.Failures++ })
	}
	return err
}
