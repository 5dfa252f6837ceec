package copier

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"

	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/sandbox/topology"
)

const (
	workersPerTarget = 2
	callTimeout      = 10 * time.Second
)

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// target keeps the copies of one SyncTarget. It has its own queue, so that a dead SyncTarget does not delay the others.
type target struct {
	topology.SyncTarget
	options Options
	client  dynamic.Interface
	names   *locator.Resolver
	queue   workqueue.TypedRateLimitingInterface[item]

	mu     sync.Mutex
	copies map[item]applied // zero value: there is no copy; no entry: unknown
	made   map[string]bool  // namespaces
}

// applied records the upstream uid and the digest of an applied copy.
type applied struct {
	uid    types.UID
	digest digest
}

func newTarget(t topology.SyncTarget, o Options) (*target, error) {
	config := rest.CopyConfig(t.Config)
	config.Timeout = callTimeout
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("SyncTarget %s: %w", t.Name, err)
	}
	names, err := resolver(t, o)
	if err != nil {
		return nil, fmt.Errorf("SyncTarget %s: %w", t.Name, err)
	}
	made := &target{
		SyncTarget: t, options: o, client: client, names: names,
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[item](20*time.Millisecond, 2*time.Second)),
	}
	made.forget()
	return made, nil
}

func (t *target) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.copies, t.made = map[item]applied{}, map[string]bool{}
}

// work processes items until the queue is shut down.
func (t *target) work(ctx context.Context) {
	for {
		i, shutdown := t.queue.Get()
		if shutdown {
			return
		}
		if err := t.reconcile(ctx, i); err != nil {
			if ctx.Err() == nil {
				t.options.OnError(fmt.Errorf("copying %v to %s: %w", i, t.Name, err))
			}
			t.queue.AddRateLimited(i)
		} else {
			t.queue.Forget(i)
		}
		t.queue.Done(i)
	}
}

// reconcile brings the copy of one object to the state that the workspace wants now.
func (t *target) reconcile(ctx context.Context, i item) error {
	object, err := i.source.listers[i.resource].ByNamespace(i.namespace).Get(i.name)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	before, known := t.copyOf(i)
	if err != nil || !t.wants(object.(*unstructured.Unstructured)) {
		if !known && i.namespace == "" { // a cluster-scoped object of this name may be foreign
			t.remember(i, applied{})
			return nil
		}
		if known && before == (applied{}) {
			return nil
		}
		return t.remove(ctx, i)
	}
	upstream := object.(*unstructured.Unstructured)
	wanted, err := t.plan(i, upstream)
	if err != nil {
		return err
	}
	now := applied{uid: upstream.GetUID(), digest: wanted.digest}
	if now == before {
		return nil
	}
	if before.uid != "" && before.uid != now.uid { // the object was re-created: re-create the copy too
		if err := t.remove(ctx, i); err != nil {
			return err
		}
	}
	if err := t.apply(ctx, i, wanted); err != nil {
		return err
	}
	t.remember(i, now)
	return nil
}

func (t *target) copyOf(i item) (applied, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	copied, known := t.copies[i]
	return copied, known
}

func (t *target) remember(i item, copied applied) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.copies[i] = copied
}

func (t *target) apply(ctx context.Context, i item, wanted plan) error {
	if wanted.namespace != nil {
		if err := t.ensureNamespace(ctx, wanted.namespace); err != nil {
			return err
		}
	}
	options := metav1.ApplyOptions{FieldManager: FieldManager, Force: true}
	_, err := t.client.Resource(i.resource).Namespace(wanted.object.GetNamespace()).Apply(ctx, wanted.object.GetName(), wanted.object, options)
	if apierrors.IsNotFound(err) && wanted.namespace != nil { // the namespace was deleted
		t.mu.Lock()
		delete(t.made, wanted.namespace.GetName())
		t.mu.Unlock()
	}
	return err
}

func (t *target) ensureNamespace(ctx context.Context, namespace *unstructured.Unstructured) error {
	name := namespace.GetName()
	t.mu.Lock()
	made := t.made[name]
	t.mu.Unlock()
	if made {
		return nil
	}
	if _, err := t.client.Resource(namespaces).Apply(ctx, name, namespace, metav1.ApplyOptions{FieldManager: FieldManager, Force: true}); err != nil {
		return fmt.Errorf("making namespace %s: %w", name, err)
	}
	t.mu.Lock()
	t.made[name] = true
	t.mu.Unlock()
	return nil
}

// remove deletes a copy and returns when the API server has removed it.
func (t *target) remove(ctx context.Context, i item) error {
	down, err := t.names.DownObject(i.resource, i.upstreamRef())
	if err != nil {
		t.remember(i, applied{})
		return nil //nolint:nilerr // an object without a downstream name has no copy
	}
	objects := t.client.Resource(i.resource).Namespace(down.Namespace)
	background := metav1.DeletePropagationBackground
	if err := objects.Delete(ctx, down.Name, metav1.DeleteOptions{PropagationPolicy: &background}); err == nil {
		if _, err := objects.Get(ctx, down.Name, metav1.GetOptions{}); err == nil {
			return fmt.Errorf("%v is still being deleted", down.Downstream)
		} else if !apierrors.IsNotFound(err) {
			return err
		}
	} else if !apierrors.IsNotFound(err) {
		return err
	}
	t.remember(i, applied{})
	return nil
}
