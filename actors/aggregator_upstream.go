package actors

import (
	"context"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// watch opens the list and watch of the upstream objects in a goroutine that reports into the inbox.
func (a *aggregator) watch(ctx actor.Context) {
	background, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	self, root := ctx.Self(), ctx.ActorSystem().Root
	a.inbox = newInbox(func(b *inbox) { root.Send(self, poked{b}) })
	box, upstream, resource, want := a.inbox, a.Upstream, a.Resource, a.want
	guard(background, func(reason any) { root.Send(self, crashed{reason}) }, func() {
		upstream.Watch(background, resource, want, box.emit)
	})
}

// rewatch lists all upstream objects again.
func (a *aggregator) rewatch(ctx actor.Context) {
	a.stop()
	a.listing = nil
	clear(a.scopes)
	clear(a.broken)
	a.all = false
	a.watch(ctx)
}

// drain passes on a turn's worth of upstream events.
func (a *aggregator) drain(ctx actor.Context, m poked) {
	if m.inbox != a.inbox || a.listing != nil {
		return
	}
	b := a.inbox.take(turn)
	a.health(b.health)
	if b.scopes != nil {
		a.announced(ctx, b.scopes.event.Scopes)
	}
	if b.list != nil {
		e := b.list.event
		if e.Type == ref.Left {
			delete(a.scopes, e.Scope)
			delete(a.broken, e.Scope)
			a.buckets.Send(ctx, reconcile.ScopeLeft{Scope: e.Scope})
		} else {
			a.listing = &upstreamListing{scope: e.Scope, version: e.Version, rest: e.Objects, first: true}
			a.continueListing(ctx)
			return
		}
	}
	for _, c := range b.changes {
		a.pass(ctx, c.event)
	}
	if b.more {
		ctx.Send(ctx.Self(), m)
	}
}

// pass routes a change to its bucket.
func (a *aggregator) pass(ctx actor.Context, e ref.Event) {
	if e.Type == ref.Left {
		a.buckets.Send(ctx, reconcile.WorkspaceLeft{Scope: e.Scope, Workspace: e.Workspace, Version: e.Version})
		return
	}
	o := e.Objects[0]
	bucket := a.buckets.Of(ref.Upstream{Workspace: o.Workspace, Namespace: o.Namespace})
	if e.Type == ref.Deleted {
		ctx.Send(bucket, reconcile.UpstreamGone{Scope: e.Scope, Object: o})
		return
	}
	ctx.Send(bucket, reconcile.UpstreamObserved{Scope: e.Scope, Object: o})
}

// continueListing passes on a part of a list. Changes that come meanwhile wait in the inbox.
func (a *aggregator) continueListing(ctx actor.Context) {
	l := a.listing
	if l == nil {
		return // given up since
	}
	n := min(turn, len(l.rest))
	parts := make([][]*ref.Object, len(a.buckets))
	if len(parts) == 1 {
		parts[0] = l.rest[:n]
	} else {
		for _, o := range l.rest[:n] {
			i := reconcile.Bucket(o.Workspace, o.Namespace, len(parts))
			parts[i] = append(parts[i], o)
		}
	}
	l.rest = l.rest[n:]
	last := len(l.rest) == 0
	for i, part := range parts {
		if len(part) > 0 || l.first || last {
			ctx.Send(a.buckets[i], reconcile.UpstreamListed{Scope: l.scope, Version: l.version, Objects: part, First: l.first, Last: last})
		}
	}
	l.first = false
	if !last {
		ctx.Send(ctx.Self(), listingContinues{})
		return
	}
	a.listing = nil
	ctx.Send(ctx.Self(), poked{a.inbox}) // the changes that came meanwhile
}

// health logs each new cause for which lists or watches fail, and the recovery of all.
func (a *aggregator) health(news map[ref.Workspace]scopeHealth) {
	for scope, h := range news {
		if h.failed != nil {
			a.Metrics.WatchErrors.WithLabelValues("", a.resource).Inc()
			a.outage.failed(a.Log, h.failed, h.broken)
			a.broken[scope] = struct{}{}
		}
		if h.live {
			delete(a.broken, scope)
		}
	}
	if len(a.broken) == 0 {
		a.outage.recovered(a.Log)
	}
}

// announced takes the scopes that are watched. The resource is ready when all of them are.
func (a *aggregator) announced(ctx actor.Context, scopes []ref.Workspace) {
	watched := make(map[ref.Workspace]int, len(scopes))
	for _, name := range scopes {
		watched[name] = a.scopes[name]
	}
	a.scopes, a.all = watched, true
	a.whenReady(ctx)
}

func (a *aggregator) scopeReady(ctx actor.Context, name ref.Workspace) {
	a.scopes[name]++
	a.whenReady(ctx)
}

// whenReady tells the parent once that all scopes were listed. A watch that does not announce its scopes is ready with the first one.
func (a *aggregator) whenReady(ctx actor.Context) {
	if a.ready || !a.all && len(a.scopes) == 0 {
		return
	}
	for _, buckets := range a.scopes {
		if buckets < len(a.buckets) {
			return
		}
	}
	a.ready = true
	ctx.Send(ctx.Parent(), UpstreamReady{a.Resource})
}
