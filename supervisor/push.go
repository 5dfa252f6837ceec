package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// AddPushTarget adds a SyncTarget that the embedding program watches itself: it hands objects over with SyncStatus and Forget. Namespaces
// are located by their names alone, unless the program hands them over too.
func (s *System) AddPushTarget(t Target) error {
	return s.register(t, newPushed(), true)
}

// SyncStatus hands over the latest state of a downstream object of a push target. It returns when the object is accepted, which
// is before its status is published: an event reports that. Objects may come in any order and repeatedly.
func (s *System) SyncStatus(ctx context.Context, target actors.SyncTarget, r actors.Resource, obj *unstructured.Unstructured) error {
	p, err := s.pushed(ctx, target, r)
	if err != nil {
		return err
	}
	if obj == nil || obj.GetName() == "" {
		return errors.New("the object needs a name")
	}
	o, err := objectOf(obj)
	if err != nil {
		return err
	}
	p.put(r, o)
	return nil
}

// Forget reports that a downstream object of a push target was deleted. Its contribution is withdrawn.
func (s *System) Forget(ctx context.Context, target actors.SyncTarget, r actors.Resource, namespace, name string) error {
	p, err := s.pushed(ctx, target, r)
	if err != nil {
		return err
	}
	p.forget(r, ref.Downstream{Namespace: namespace, Name: name})
	return nil
}

// Synced reports that all objects of a resource in a push target were handed over. Until then, nothing is published for objects that wait
// for this SyncTarget.
func (s *System) Synced(ctx context.Context, target actors.SyncTarget, r actors.Resource) error {
	p, err := s.pushed(ctx, target, r)
	if err != nil {
		return err
	}
	p.synced(r)
	return nil
}

func (s *System) pushed(ctx context.Context, target actors.SyncTarget, r actors.Resource) (*pushed, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running {
		return nil, ErrStopped
	}
	registration := s.targets[target]
	if registration == nil {
		return nil, fmt.Errorf("there is no SyncTarget %q: add it with AddPushTarget", target)
	}
	p, ok := registration.source.(*pushed)
	if !ok {
		return nil, fmt.Errorf("SyncTarget %q watches its cluster itself: only those of AddPushTarget take objects", target)
	}
	if _, ok := s.resources[r]; !ok && r != namespaces {
		return nil, fmt.Errorf("resource %s is not brought up: add it with AddResource", ref.ResourceString(r))
	}
	return p, nil
}

var namespaces = ref.Resource{Version: "v1", Resource: "namespaces"}

// pushed is the Downstream of a push target. It keeps the latest state of each object, for new watches.
type pushed struct {
	mu        sync.Mutex
	resources map[ref.Resource]*pushedResource
	contact   time.Time
}

type pushedResource struct {
	objects map[ref.Downstream]*ref.Object
	synced  bool
	emit    ref.Emit // of the open watch; nil: none
	watch   uint64   // counts watches, so that the end of one does not close its successor
}

func newPushed() *pushed {
	p := &pushed{resources: map[ref.Resource]*pushedResource{}}
	p.resource(namespaces).synced = true
	return p
}

// resource is called with p.mu held, or before p is shared.
func (p *pushed) resource(r ref.Resource) *pushedResource {
	if p.resources[r] == nil {
		p.resources[r] = &pushedResource{objects: map[ref.Downstream]*ref.Object{}}
	}
	return p.resources[r]
}

func (p *pushed) put(r ref.Resource, o *ref.Object) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.contact = time.Now()
	res := p.resource(r)
	res.objects[ref.Downstream{Namespace: o.Namespace, Name: o.Name}] = o
	if res.emit != nil {
		res.emit(ref.Event{Type: ref.Changed, Objects: []*ref.Object{o}})
	}
}

func (p *pushed) forget(r ref.Resource, d ref.Downstream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	res := p.resource(r)
	o := res.objects[d]
	if o == nil {
		return
	}
	delete(res.objects, d)
	if res.emit != nil {
		res.emit(ref.Event{Type: ref.Deleted, Objects: []*ref.Object{o}})
	}
}

// remove forgets a resource.
func (p *pushed) remove(r ref.Resource) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.resources, r)
}

func (p *pushed) synced(r ref.Resource) {
	p.mu.Lock()
	defer p.mu.Unlock()
	res := p.resource(r)
	if res.synced {
		return
	}
	res.synced = true
	if res.emit != nil {
		res.emit(ref.Event{Type: ref.Listed, Objects: res.list("")})
	}
}

func (r *pushedResource) list(namespace string) []*ref.Object {
	out := make([]*ref.Object, 0, len(r.objects))
	for _, o := range r.objects {
		if namespace == "" || o.Namespace == namespace {
			out = append(out, o)
		}
	}
	return out
}

// Watch implements actors.Downstream.
func (p *pushed) Watch(ctx context.Context, r ref.Resource, _ ref.Want, emit ref.Emit) {
	p.mu.Lock()
	res := p.resource(r)
	res.emit = emit
	res.watch++
	watch := res.watch
	event := ref.Event{Type: ref.Changed, Objects: res.list("")}
	if res.synced {
		event.Type = ref.Listed
	} else {
		emit(ref.Event{Type: ref.Resumed}) // live: the embedding program watches
	}
	emit(event)
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	if res.watch == watch {
		res.emit = nil
	}
}

// List implements actors.Downstream.
func (p *pushed) List(_ context.Context, r ref.Resource, namespace string, _ ref.Want) ([]*ref.Object, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.resource(r).list(namespace), nil
}

// Probe implements actors.Downstream. Contact with the cluster is the embedding program's concern.
func (p *pushed) Probe(context.Context) error { return nil }

// LastHeard implements actors.Downstream.
func (p *pushed) LastHeard() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.contact
}

// Close implements actors.Downstream.
func (p *pushed) Close() {}

// objectOf is the part of an object that the flow needs.
func objectOf(u *unstructured.Unstructured) (*ref.Object, error) {
	o := &ref.Object{
		Namespace: u.GetNamespace(), Name: u.GetName(), UID: u.GetUID(), ResourceVersion: u.GetResourceVersion(),
		Generation: u.GetGeneration(), Deleting: u.GetDeletionTimestamp() != nil, Created: u.GetCreationTimestamp().Time,
		Labels: u.GetLabels(), Annotations: u.GetAnnotations(),
	}
	for _, m := range u.GetManagedFields() {
		if m.Subresource == "status" && m.Time != nil && m.Time.After(o.StatusTime) {
			o.StatusTime = m.Time.Time
		}
	}
	var err error
	for field, to := range map[string]*[]byte{"status": &o.Status, "spec": &o.Spec} {
		value, ok := u.Object[field]
		if !ok {
			continue
		}
		if *to, err = json.Marshal(value); err != nil {
			return nil, fmt.Errorf("encoding the %s of %s: %w", field, o.Name, err)
		}
	}
	if o.Raw, err = json.Marshal(u.Object); err != nil {
		return nil, fmt.Errorf("encoding %s: %w", o.Name, err)
	}
	return o, nil
}
