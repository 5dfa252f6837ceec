package actors

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// present handles an object that exists: locates it, and passes it to its actor.
func (w *watchActor) present(ctx actor.Context, o *ref.Object, received time.Time, listed bool) {
	source := ref.Downstream{Namespace: o.Namespace, Name: o.Name}
	at := ref.Position{Epoch: w.epoch, UID: o.UID, ResourceVersion: o.ResourceVersion}
	known := w.objects[source]
	if known != nil && at.Before(known.at) {
		return // a read of a Namespace that lost the race with the watch
	}
	upstream, err := w.locate(o)
	if err != nil {
		w.notOurs(ctx, source, known, at, err)
		return
	}
	if known != nil && (known.upstream != upstream || known.at.UID != o.UID) {
		// The report of another object under the same name replaces that of the one before: withdrawn, it would be missing in between. If the
		// object belongs elsewhere, it is withdrawn as of its last known position: the report of its successor may arrive earlier.
		w.drop(ctx, source, known, known.at, known.upstream != upstream)
		known = nil
	}
	if known == nil {
		known = w.spawn(ctx, source, upstream)
	}
	known.at = at
	ctx.Send(known.pid, Observed{Object: o, Upstream: upstream, Epoch: w.epoch, Received: received, Answer: listed})
}

func (w *watchActor) spawn(ctx actor.Context, source ref.Downstream, upstream ref.Upstream) *child {
	// A number that was never used: a name that is taken again right after Stop would orphan the new actor.
	pid, err := ctx.SpawnNamed(w.props, strconv.FormatUint(w.Epochs.Add(1), 36))
	if err != nil {
		panic(fmt.Errorf("spawning an object actor: %w", err))
	}
	c := &child{pid: pid, upstream: upstream}
	w.objects[source] = c
	if w.NamespacesByName && w.named.hold(source.Namespace, w.locateNamed) && w.namespaces[source.Namespace] == nil {
		w.shared.put(source.Namespace, w.named.location(source.Namespace))
	}
	return c
}

func (w *watchActor) drop(ctx actor.Context, source ref.Downstream, c *child, at ref.Position, withdraw bool) {
	delete(w.objects, source)
	if w.NamespacesByName && w.named.release(source.Namespace) && w.namespaces[source.Namespace] == nil {
		w.shared.put(source.Namespace, nil)
	}
	ctx.Send(c.pid, Deleted{Source: source, Upstream: c.upstream, At: at, Withdraw: withdraw})
}

func (w *watchActor) locate(o *ref.Object) (ref.Upstream, error) {
	if o.Namespace == "" {
		return w.Resolver.Object(w.Resolver.ClusterScoped(o), w.Resource, o)
	}
	location := w.namespaces[o.Namespace]
	if location == nil && w.NamespacesByName {
		if location = w.named.location(o.Namespace); location == nil {
			location = w.locateNamed(o.Namespace)
		}
	}
	if location == nil {
		return ref.Upstream{}, locator.ErrUnknownNamespace
	}
	return w.Resolver.Object(*location, w.Resource, o)
}

func (w *watchActor) locateNamed(name string) *locator.Location {
	location := w.Resolver.Namespace(locator.Namespace{Name: name})
	return &location
}

// relocateNamed locates by another resolver.
func (w *watchActor) relocateNamed() {
	for name, known := range w.named {
		known.location = w.locateNamed(name)
		if w.namespaces[name] == nil {
			w.shared.put(name, known.location)
		}
	}
}

// notOurs handles an object that is no copy, a copy that belongs elsewhere, or one in a Namespace that was not reported yet.
func (w *watchActor) notOurs(ctx actor.Context, source ref.Downstream, known *child, at ref.Position, err error) {
	if errors.Is(err, locator.ErrUnknownNamespace) {
		w.parked.add(source.Namespace)
		if known != nil { // its Namespace is going; the object's own DELETE follows
			known.at.Epoch = at.Epoch
		}
		return
	}
	if known != nil {
		w.drop(ctx, source, known, at, true)
	}
	if failed := (*locator.IdentityError)(nil); errors.As(err, &failed) {
		w.Metrics.Rejected.WithLabelValues("identity").Inc()
		w.Log.WithLevel(w.once.level("identity/"+failed.Reason)).Str("object", source.String()).Str("reason", failed.Reason).
			Err(err).Msg("object refused: identity check failed")
	}
}

// gone handles a DELETE event.
func (w *watchActor) gone(ctx actor.Context, o *ref.Object) {
	source := ref.Downstream{Namespace: o.Namespace, Name: o.Name}
	w.reads.deleted(source, o.ResourceVersion)
	known := w.objects[source]
	if known == nil {
		return
	}
	at := ref.Position{Epoch: w.epoch, UID: o.UID, ResourceVersion: o.ResourceVersion}
	if at.Before(known.at) {
		return
	}
	w.drop(ctx, source, known, at, true)
}

// namespaceChanged reads the objects of a Namespace again if they may belong elsewhere than before.
func (w *watchActor) namespaceChanged(ctx actor.Context, m NamespaceChanged) {
	if w.namespaces == nil {
		return // the whole table is on its way
	}
	before := w.namespaces[m.Name]
	if before == nil {
		before = w.named.location(m.Name)
	}
	if m.Location == nil {
		delete(w.namespaces, m.Name)
		w.shared.put(m.Name, w.named.location(m.Name))
		w.parked.take(m.Name)
		w.reads.forget(m.Name)
		return
	}
	w.namespaces[m.Name] = m.Location
	w.shared.put(m.Name, m.Location)
	parked := w.parked.take(m.Name)
	if parked && !w.Resolver.Foreign(*m.Location) || before != nil && !before.Equal(*m.Location) {
		w.read(ctx, m.Name)
	}
}

// count brings the gauge up to date by the difference: another watch of the same resource may be ending, or starting.
func (w *watchActor) count() {
	if len(w.objects) != w.counted {
		w.Metrics.Objects.WithLabelValues(string(w.Target), ref.ResourceString(w.Resource)).Add(float64(len(w.objects) - w.counted))
		w.counted = len(w.objects)
	}
}

// namedNamespaces are the Namespaces that were located by their names alone, while they hold copies.
type namedNamespaces map[string]*namedNamespace

type namedNamespace struct {
	location *locator.Location
	copies   int
}

// hold counts a copy, and reports whether it is the first one in its Namespace.
func (n namedNamespaces) hold(name string, locate func(string) *locator.Location) (first bool) {
	if name == "" {
		return false
	}
	known := n[name]
	if first = known == nil; first {
		known = &namedNamespace{location: locate(name)}
		n[name] = known
	}
	known.copies++
	return first
}

// release uncounts a copy, and reports whether it was the last one in its Namespace.
func (n namedNamespaces) release(name string) (last bool) {
	known := n[name]
	if known == nil {
		return false
	}
	if known.copies--; known.copies > 0 {
		return false
	}
	delete(n, name)
	return true
}

func (n namedNamespaces) location(name string) *locator.Location {
	if known := n[name]; known != nil {
		return known.location
	}
	return nil
}
