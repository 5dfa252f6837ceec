package actors

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// NamespacesConfig is the configuration of the watch of one SyncTarget's Namespaces.
type NamespacesConfig struct {
	Target   ref.SyncTarget
	Source   Downstream
	Resolver *locator.Resolver
	Metrics  *metrics.Metrics
	Log      zerolog.Logger
}

// namespacesActor watches the Namespaces of a SyncTarget, locates them, and reports changes to its parent.
type namespacesActor struct {
	NamespacesConfig
	inbox     *inbox
	stop      context.CancelFunc
	locations map[string]*locator.Location // nil until listed
	waiting   []*actor.PID                 // asked before that
	health    watchHealth
}

// namespaceResource is the resource of Namespaces.
var namespaceResource = ref.Resource{Version: "v1", Resource: "namespaces"}

// NewNamespaces makes the actor.
func NewNamespaces(c NamespacesConfig) actor.Actor {
	c.Log = c.Log.With().Str("sync_target", string(c.Target)).Str("resource", ref.ResourceString(namespaceResource)).Logger()
	health := newWatchHealth(c.Target, namespaceResource, c.Metrics, c.Log)
	health.resource = ref.Resource{} // all resources depend on them
	return &namespacesActor{NamespacesConfig: c, health: health}
}

// NamespacesStarted reports to the parent that the actor is new: requests that the one before did not answer are lost.
type NamespacesStarted struct{}

func (n *namespacesActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		n.start(ctx)
		ctx.Send(ctx.Parent(), NamespacesStarted{})
	case SendNamespaces:
		n.answer(ctx, ctx.Sender())
	case poked:
		n.drain(ctx, m)
	case ResolverChanged:
		n.Resolver = m.Resolver
		n.stop()
		n.start(ctx)
	case crashed:
		n.crashed(ctx, m)
	case *actor.Restarting, *actor.Stopping:
		if n.stop != nil {
			n.stop()
		}
	}
}

// crashed fails the actor: its supervisor restarts it, with a pause if that repeats.
func (n *namespacesActor) crashed(ctx actor.Context, m crashed) {
	if m.inbox != n.inbox {
		return // a watch that was given up since
	}
	err := fmt.Errorf("watching namespaces: %v", m.reason)
	n.health.failed(ctx, err, time.Now())
	panic(err)
}

func (n *namespacesActor) start(ctx actor.Context) {
	self, root := ctx.Self(), ctx.ActorSystem().Root
	background, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	n.health.opening(ctx)
	n.inbox = newInbox(func(b *inbox) { root.Send(self, poked{b}) })
	source, want, box := n.Source, n.Resolver.NamespaceWant(), n.inbox
	guard(background, func(reason any) { root.Send(self, crashed{box, reason}) }, func() {
		source.Watch(background, namespaceResource, want, box.emit)
	})
}

// answer sends the locations to an actor, once they are known.
func (n *namespacesActor) answer(ctx actor.Context, asker *actor.PID) {
	switch {
	case n.locations != nil:
		ctx.Send(asker, Namespaces{maps.Clone(n.locations)})
	case !slices.ContainsFunc(n.waiting, asker.Equal):
		n.waiting = append(n.waiting, asker)
	}
}

func (n *namespacesActor) drain(ctx actor.Context, m poked) {
	if m.inbox != n.inbox {
		return
	}
	b := n.inbox.take(turn)
	n.health.take(ctx, b.health[""], b.list != nil)
	if b.lost {
		n.stop()
		n.start(ctx)
		return
	}
	if b.list != nil {
		n.listed(ctx, b.list.event.Objects)
		n.health.live(ctx, true)
	}
	for _, c := range b.changes {
		o := c.event.Objects[0]
		if c.event.Type == ref.Deleted {
			n.change(ctx, o.Name, nil)
		} else {
			n.change(ctx, o.Name, n.locate(o))
		}
	}
	if b.more {
		ctx.Send(ctx.Self(), m)
	}
}

func (n *namespacesActor) locate(o *ref.Object) *locator.Location {
	location := n.Resolver.Namespace(locator.Namespace{Name: o.Name, Labels: o.Labels, Annotations: o.Annotations})
	return &location
}

func (n *namespacesActor) listed(ctx actor.Context, objects []*ref.Object) {
	first := n.locations == nil
	if first {
		n.locations = make(map[string]*locator.Location, len(objects))
	}
	present := make(map[string]struct{}, len(objects))
	for _, o := range objects {
		present[o.Name] = struct{}{}
		n.change(ctx, o.Name, n.locate(o))
	}
	for name := range n.locations {
		if _, ok := present[name]; !ok {
			n.change(ctx, name, nil)
		}
	}
	for _, asker := range n.waiting {
		n.answer(ctx, asker)
	}
	n.waiting = nil
}

// change reports to the parent if the location of a Namespace differs from before.
func (n *namespacesActor) change(ctx actor.Context, name string, location *locator.Location) {
	before, known := n.locations[name]
	switch {
	case location == nil && !known, location != nil && known && before.Equal(*location):
		return
	case location == nil:
		delete(n.locations, name)
	default:
		n.locations[name] = location
	}
	ctx.Send(ctx.Parent(), NamespaceChanged{Name: name, Location: location})
}

// namespaceTable maps downstream Namespaces to upstream ones, for object actors. The watch actor writes it.
type namespaceTable struct{ names sync.Map } // downstream name → ref.Upstream without a name

// upstream is the namespace of a workspace that a downstream one belongs to; ok is false for those of other workspaces.
func (t *namespaceTable) upstream(w ref.Workspace, downstream string) (string, bool) {
	found, ok := t.names.Load(downstream)
	if !ok {
		return "", false
	}
	u := found.(ref.Upstream)
	return u.Namespace, u.Workspace == w
}

func (t *namespaceTable) replace(locations map[string]*locator.Location) {
	t.names.Clear()
	for name, location := range locations {
		t.put(name, location)
	}
}

func (t *namespaceTable) put(name string, location *locator.Location) {
	if location != nil {
		if w, upstream, ok := location.Upstream(); ok {
			t.names.Store(name, ref.Upstream{Workspace: w, Namespace: upstream})
			return
		}
	}
	t.names.Delete(name)
}
