package actors

import (
	"context"
	"fmt"

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
	guard(background, func(reason any) { root.Send(self, crashed{box, reason}) }, func() {
		upstream.Watch(background, resource, want, box.emit)
	})
}

// crashed fails the actor: its supervisor restarts it, with a pause if that repeats.
func (a *aggregator) crashed(m crashed) {
	if m.inbox == a.inbox { // else a watch that was given up since
		panic(fmt.Errorf("watching %s upstream: %v", a.resource, m.reason))
	}
}

// rewatch lists all upstream objects again.
func (a *aggregator) rewatch(ctx actor.Context) {
	a.stop()
	a.listing = nil
	clear(a.broken)
	a.watch(ctx)
}

// drain passes on a turn's worth of upstream events.
func (a *aggregator) drain(ctx actor.Context, m poked) {
	if m.inbox != a.inbox || a.listing != nil {
		return
	}
	b := a.inbox.take(turn)
	a.health(b.health)
	if b.lost {
		a.rewatch(ctx)
		return
	}
	if b.scopes != nil {
		a.readiness.announce(b.scopes.event.Scopes)
		a.whenReady(ctx)
	}
	if b.list != nil {
		e := b.list.event
		if e.Type == ref.Left {
			a.scopeLeft(ctx, e.Scope)
		} else {
			a.listing = &upstreamListing{scope: e.Scope, version: e.Version, rest: e.Objects, first: true}
			a.continueListing(ctx, listingContinues{a.listing})
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
func (a *aggregator) continueListing(ctx actor.Context, m listingContinues) {
	l := a.listing
	if l == nil || m.of != l {
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
		ctx.Send(ctx.Self(), m)
		return
	}
	a.listing = nil
	ctx.Send(ctx.Self(), poked{a.inbox}) // the changes that came meanwhile
}

// scopeLeft passes on that a scope is no longer served.
func (a *aggregator) scopeLeft(ctx actor.Context, scope ref.Workspace) {
	a.readiness.left(scope)
	delete(a.broken, scope)
	if len(a.broken) == 0 {
		a.outage.recovered(a.Log)
	}
	a.buckets.Send(ctx, reconcile.ScopeLeft{Scope: scope})
	a.whenReady(ctx)
}

// health logs each new cause for which lists or watches fail, and the recovery of all.
func (a *aggregator) health(news map[ref.Workspace]scopeHealth) {
	live := false
	for scope, h := range news {
		if h.failed != nil {
			a.Metrics.WatchErrors.WithLabelValues("", a.resource).Inc()
			a.outage.failed(a.Log, h.failed, h.broken)
			a.broken[scope] = struct{}{}
		}
		if h.live {
			live = true
			delete(a.broken, scope)
		}
	}
	if live && len(a.broken) == 0 {
		a.outage.recovered(a.Log)
	}
}

// whenReady reports once that all scopes were listed, and are decided on.
func (a *aggregator) whenReady(ctx actor.Context) {
	if a.readiness.complete() {
		ctx.Send(ctx.Parent(), UpstreamReady{a.Resource})
	}
}
