// Package karmada brings statuses up as Karmada does: each change of a copy is first written to an object of its own upstream, which
// holds that cluster's status; then the aggregate of all clusters is written after the upstream object was read live. It is given
// more than Karmada has: the statuses of the clusters are kept in memory rather than in another informer, they are plain ConfigMaps,
// and there are no Events.
package karmada

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/upstreamd/upstreamd/bench/baselines/sketch"
	"github.com/upstreamd/upstreamd/bench/baselines/world"
	"github.com/upstreamd/upstreamd/bench/fleet"
)

var (
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
)

// collected is a copy to collect the status of, by SyncTarget; with -1, an object to aggregate.
type work struct {
	target int
	key    string // of the copy
}

const aggregate = -1

type controller struct {
	world.World
	clients   map[string]dynamic.Interface
	informers []cache.SharedIndexInformer
	queue     workqueue.TypedRateLimitingInterface[work]
	stop      context.CancelFunc
	ended     sync.WaitGroup

	mu        sync.Mutex
	collected map[string]map[int]map[string]any // status by copy's key and SyncTarget
}

// Start starts informers and workers.
func Start(_ context.Context, w world.World) (world.Subject, error) {
	clients, err := sketch.Clients(w)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &controller{
		World: w, clients: clients, stop: stop, collected: map[string]map[int]map[string]any{},
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[work]()),
	}
	for target, config := range w.SyncTargets {
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			stop()
			return nil, err
		}
		informer := sketch.Informer(client)
		enqueue := func(obj any) {
			if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
				c.queue.Add(work{target, key})
			}
		}
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: enqueue, UpdateFunc: func(_, obj any) { enqueue(obj) }, DeleteFunc: enqueue,
		}); err != nil {
			stop()
			return nil, err
		}
		c.informers = append(c.informers, informer)
		c.ended.Go(func() { informer.RunWithContext(ctx) })
	}
	for range w.Concurrency {
		c.ended.Go(func() {
			for c.next(ctx) {
			}
		})
	}
	return c, nil
}

func (c *controller) next(ctx context.Context) bool {
	w, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(w)
	do := c.collect
	if w.target == aggregate {
		do = c.aggregate
	}
	if err := do(ctx, w); err != nil {
		if ctx.Err() == nil && !apierrors.IsConflict(err) {
			c.Fail(err)
		}
		c.queue.AddRateLimited(w)
		return true
	}
	c.queue.Forget(w)
	return true
}

// collect writes a copy's status to the object that holds it upstream.
func (c *controller) collect(ctx context.Context, w work) error {
	found, exists, err := c.informers[w.target].GetStore().GetByKey(w.key)
	if err != nil || !exists {
		return err
	}
	obj := found.(*unstructured.Unstructured)
	status, exists, err := unstructured.NestedMap(obj.Object, "status")
	if err != nil || !exists {
		return err
	}
	c.mu.Lock()
	same := reflect.DeepEqual(c.collected[w.key][w.target], status)
	c.mu.Unlock()
	if same {
		return nil
	}
	if err := c.write(ctx, obj, w.target, status); err != nil {
		return err
	}
	c.mu.Lock()
	if c.collected[w.key] == nil {
		c.collected[w.key] = map[int]map[string]any{}
	}
	c.collected[w.key][w.target] = status
	c.mu.Unlock()
	c.queue.Add(work{aggregate, w.key})
	return nil
}

func (c *controller) write(ctx context.Context, obj *unstructured.Unstructured, target int, status map[string]any) error {
	encoded, err := json.Marshal(status)
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"data": map[string]any{"status": string(encoded)}})
	if err != nil {
		return err
	}
	workspace, namespace := fleet.UpstreamOf(obj.GetNamespace())
	client := c.clients[workspace].Resource(configMaps).Namespace(namespace)
	name := fmt.Sprintf("%s.cluster%03d", obj.GetName(), target)
	_, err = client.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "karmada"})
	if apierrors.IsNotFound(err) {
		_, err = client.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": namespace},
			"data": map[string]any{"status": string(encoded)},
		}}, metav1.CreateOptions{FieldManager: "karmada"})
	}
	if err != nil {
		return fmt.Errorf("writing the status of %s: %w", name, err)
	}
	return nil
}

// aggregate reads the upstream object and writes the sum of the collected statuses, with the conditions of one cluster.
func (c *controller) aggregate(ctx context.Context, w work) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(w.key)
	if err != nil {
		return err
	}
	workspace, namespace := fleet.UpstreamOf(namespace)
	client := c.clients[workspace].Resource(deployments).Namespace(namespace)
	live, err := client.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading %s: %w", w.key, err)
	}
	status := c.sum(w.key)
	if before, _, _ := unstructured.NestedMap(live.Object, "status"); reflect.DeepEqual(before, status) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": live.GetResourceVersion()}, "status": status,
	})
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "karmada"}, "status")
	return err
}

func (c *controller) sum(key string) map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	status := map[string]any{"observedGeneration": int64(1)}
	available := true
	for target := range c.SyncTargets {
		one := c.collected[key][target]
		if one == nil {
			continue
		}
		for _, counter := range []string{"replicas", "updatedReplicas", "readyReplicas", "availableReplicas"} {
			n, _ := one[counter].(int64)
			before, _ := status[counter].(int64)
			status[counter] = before + n
		}
		conditions, _ := one["conditions"].([]any)
		if status["conditions"] == nil || available && !isAvailable(conditions) {
			status["conditions"], available = conditions, isAvailable(conditions)
		}
	}
	return status
}

func isAvailable(conditions []any) bool {
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == "Available" {
			return m["status"] == "True"
		}
	}
	return false
}

// Stop ends it.
func (c *controller) Stop(context.Context) error {
	c.stop()
	c.queue.ShutDown()
	c.ended.Wait()
	return nil
}
