// Package sketch is the status syncer that the first document on upstreamd sketches, and many write: for each SyncTarget a shared
// informer, a workqueue, and a merge patch per change without a GET, unless a cache of sent statuses shows no change.
// Where several SyncTargets hold copies of one object, the last to speak wins.
package sketch

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/upstreamd/upstreamd/bench/baselines/world"
	"github.com/upstreamd/upstreamd/bench/fleet"
)

var deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

// workers of each SyncTarget, unless the calls allowed are fewer.
const workers = 8

// Syncers are a syncer for each SyncTarget.
type Syncers struct {
	stop  context.CancelFunc
	ended sync.WaitGroup
	all   []*syncer
}

type syncer struct {
	world.World
	clients  map[string]dynamic.Interface // by workspace
	informer cache.SharedIndexInformer
	queue    workqueue.TypedRateLimitingInterface[string]

	mu    sync.RWMutex
	cache map[string]any
}

// Start starts informers and workers.
func Start(_ context.Context, w world.World) (world.Subject, error) {
	clients, err := Clients(w)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Syncers{stop: stop}
	for _, config := range w.SyncTargets {
		one, err := newSyncer(w, config, clients)
		if err != nil {
			stop()
			return nil, err
		}
		s.all = append(s.all, one)
		s.ended.Go(func() { one.informer.RunWithContext(ctx) })
		for range max(1, min(workers, w.Concurrency)) {
			s.ended.Go(func() {
				for one.next(ctx) {
				}
			})
		}
	}
	return s, nil
}

// StartInformers starts informers alone, to measure their memory.
func StartInformers(_ context.Context, w world.World) (world.Subject, error) {
	ctx, stop := context.WithCancel(context.Background())
	s := &Syncers{stop: stop}
	for _, config := range w.SyncTargets {
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			stop()
			return nil, err
		}
		one := &syncer{informer: Informer(client), queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())}
		s.all = append(s.all, one)
		s.ended.Go(func() { one.informer.RunWithContext(ctx) })
	}
	return s, nil
}

// Clients are dynamic clients for the workspaces; "" for a plain hub.
func Clients(w world.World) (map[string]dynamic.Interface, error) {
	clients := map[string]dynamic.Interface{}
	for _, name := range append(w.Shape.WorkspaceNames(), "") {
		config := rest.CopyConfig(w.Upstream)
		if name != "" {
			config.Host += "/clusters/" + name
		}
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return nil, fmt.Errorf("workspace %q: %w", name, err)
		}
		clients[name] = client
	}
	return clients, nil
}

// Informer watches the Deployments of a SyncTarget.
func Informer(client dynamic.Interface) cache.SharedIndexInformer {
	return dynamicinformer.NewDynamicSharedInformerFactory(client, 0).ForResource(deployments).Informer()
}

func newSyncer(w world.World, config *rest.Config, clients map[string]dynamic.Interface) (*syncer, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	s := &syncer{
		World: w, clients: clients, informer: Informer(client), cache: map[string]any{},
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
	}
	enqueue := func(obj any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
			s.queue.Add(key)
		}
	}
	_, err = s.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, obj any) { enqueue(obj) },
		DeleteFunc: enqueue,
	})
	return s, err
}

func (s *syncer) next(ctx context.Context) bool {
	key, shutdown := s.queue.Get()
	if shutdown {
		return false
	}
	defer s.queue.Done(key)
	if err := s.sync(ctx, key); err != nil {
		if ctx.Err() == nil {
			s.Fail(err)
		}
		s.queue.AddRateLimited(key)
		return true
	}
	s.queue.Forget(key)
	return true
}

func (s *syncer) sync(ctx context.Context, key string) error {
	found, exists, err := s.informer.GetStore().GetByKey(key)
	if err != nil || !exists {
		return err
	}
	obj := found.(*unstructured.Unstructured)
	status, exists, err := unstructured.NestedFieldNoCopy(obj.Object, "status")
	if err != nil || !exists {
		return err
	}
	if s.unchanged(key, status) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	workspace, namespace := fleet.UpstreamOf(obj.GetNamespace())
	_, err = s.clients[workspace].Resource(deployments).Namespace(namespace).
		Patch(ctx, obj.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "sketch"}, "status")
	if err != nil {
		return fmt.Errorf("patching %s: %w", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cache[key] = status
	return nil
}

func (s *syncer) unchanged(key string, status any) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return reflect.DeepEqual(s.cache[key], status)
}

// Synced reports whether all informers hold their first list.
func (s *Syncers) Synced() bool {
	for _, one := range s.all {
		if !one.informer.HasSynced() {
			return false
		}
	}
	return true
}

// Stop ends it.
func (s *Syncers) Stop(context.Context) error {
	s.stop()
	for _, one := range s.all {
		one.queue.ShutDown()
	}
	s.ended.Wait()
	return nil
}
