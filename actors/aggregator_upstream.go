package actors

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
)

// describeRetry is the pause after the API server could not say how it serves the resource.
const describeRetry = 2 * time.Second

// drain takes a turn's worth of upstream events.
func (a *aggregator) drain(ctx actor.Context, m poked) {
	if m.inbox != a.inbox || a.listings != nil {
		return
	}
	b := a.inbox.take(turn)
	a.upstreamHealth(b.failed, b.list != nil || len(b.changes) > 0)
	switch {
	case b.list == nil:
	case b.list.event.Type == ref.Left:
		a.endScope(b.list.event.Scope)
	default:
		a.upstreamListed(ctx, b.list.event.Scope, b.list.event.Version, b.list.event.Objects)
	}
	a.upstreamLeft(b.changes)
	for _, c := range b.changes {
		switch c.event.Type {
		case ref.Left:
		case ref.Deleted:
			a.upstreamGone(c.event.Scope, c.event.Objects[0])
		default:
			a.upstreamSeen(c.event.Scope, c.event.Objects[0])
		}
	}
	if b.more && a.listings == nil {
		ctx.Send(ctx.Self(), m)
	}
}

func (a *aggregator) upstreamHealth(err error, working bool) {
	if err != nil {
		a.Metrics.WatchErrors.WithLabelValues("", a.resource).Inc()
		if !a.failing {
			a.Log.Warn().Err(err).Msg("upstream list or watch failed; it is tried again, what is published stays")
		}
		a.failing = true
	} else if working && a.failing {
		a.failing = false
		a.Log.Info().Msg("upstream list or watch works again")
	}
}

// upstreamListed takes a whole list. The first of a scope waits until the API server has said how it serves the resource there:
// whether zero and absent are the same decides whether anything has to be written.
func (a *aggregator) upstreamListed(ctx actor.Context, name ref.Workspace, version string, objects []*ref.Object) {
	s := a.scopes[name]
	if s == nil {
		s = &scope{name: name}
		a.scopes[name] = s
	}
	if newer(s.version, version) { // the server was set back, as by a backup: what was seen is not what is there, though it looks newer
		for _, e := range a.entries {
			if e.scope == s {
				a.goneUpstream(e)
			}
		}
	}
	s.version = version
	if !s.described {
		asked := s.pending != nil
		s.pending = objects
		if s.pending == nil {
			s.pending = []*ref.Object{}
		}
		if !asked {
			a.describe(name, 0)
		}
		return
	}
	a.listings = append(a.listings, &upstreamListing{scope: s, rest: objects, present: make(map[ref.Upstream]struct{}, len(objects))})
	if len(a.listings) == 1 {
		a.continueListing(ctx)
	}
}

// upstreamListing is a list that is being worked off in turns.
type upstreamListing struct {
	scope   *scope
	rest    []*ref.Object
	present map[ref.Upstream]struct{}
}

// continueListing takes a turn's worth of a list. At its end, what the list lacks is gone.
func (a *aggregator) continueListing(ctx actor.Context) {
	if len(a.listings) == 0 {
		return // given up since, or of an actor before this one
	}
	l := a.listings[0]
	n := min(turn, len(l.rest))
	for _, o := range l.rest[:n] {
		u := ref.Upstream{Workspace: o.Workspace, Namespace: o.Namespace, Name: o.Name}
		l.present[u] = struct{}{}
		if e := a.entry(u); a.seeIn(l.scope, e, o) && l.scope.listed {
			a.postpone(e)
		}
	}
	if l.rest = l.rest[n:]; len(l.rest) > 0 {
		ctx.Send(ctx.Self(), listingContinues{})
		return
	}
	if !l.scope.listed {
		l.scope.listed = true // what was seen or contributed so far could not be decided
		a.considerAll(func(e *entry) bool { return e.scope == l.scope })
		a.root.Send(a.parent, UpstreamReady{a.Resource})
	}
	for u, e := range a.entries {
		if _, ok := l.present[u]; !ok && e.seen != nil && e.scope == l.scope {
			a.goneUpstream(e)
		}
	}
	if a.listings = a.listings[1:]; len(a.listings) > 0 {
		ctx.Send(ctx.Self(), listingContinues{})
		return
	}
	a.listings = nil
	ctx.Send(ctx.Self(), poked{a.inbox}) // what came meanwhile
}

// describe asks the API server, aside, how it serves the resource in a scope.
func (a *aggregator) describe(name ref.Workspace, after time.Duration) {
	self, root, upstream, resource := a.self, a.root, a.Upstream, a.Resource
	time.AfterFunc(after, func() {
		m := described{scope: name}
		defer func() {
			if r := recover(); r != nil {
				m.err = fmt.Errorf("panic: %v", r)
			}
			root.Send(self, m)
		}()
		ctx, cancel := context.WithTimeout(context.Background(), getTimeout)
		defer cancel()
		if m.hasStatus, m.err = upstream.HasStatus(ctx, resource, name); m.err == nil {
			m.typed, m.err = upstream.Typed(ctx, resource, name)
		}
	})
}

func (a *aggregator) describedScope(ctx actor.Context, m described) {
	s := a.scopes[m.scope]
	if s == nil || s.described {
		return
	}
	if m.err != nil {
		a.Log.WithLevel(a.said.level("describe/"+string(m.scope))).Str("workspace", string(m.scope)).Err(m.err).
			Msg("the API server does not say how it serves this resource; it is asked again")
		a.describe(m.scope, describeRetry)
		return
	}
	s.described, s.typed = true, m.typed
	if !m.hasStatus {
		a.park(m.scope, "the resource is not served with a status subresource")
	}
	pending := s.pending
	s.pending = nil
	a.upstreamListed(ctx, m.scope, s.version, pending)
}

func (a *aggregator) upstreamSeen(name ref.Workspace, o *ref.Object) {
	s := a.scopes[name]
	if s == nil {
		return // its list says it
	}
	if !s.described { // the list that waits is brought up to date
		s.pending = replaced(s.pending, o, true)
		return
	}
	e := a.entry(ref.Upstream{Workspace: o.Workspace, Namespace: o.Namespace, Name: o.Name})
	if a.seeIn(s, e, o) {
		a.consider(e)
	}
	a.release(e)
}

func (a *aggregator) upstreamGone(name ref.Workspace, o *ref.Object) {
	s := a.scopes[name]
	if s != nil && !s.described {
		s.pending = replaced(s.pending, o, false)
		return
	}
	e := a.entries[ref.Upstream{Workspace: o.Workspace, Namespace: o.Namespace, Name: o.Name}]
	if e == nil || e.seen == nil || e.scope != s || newer(e.seen.ResourceVersion, o.ResourceVersion) { // a watch that lags tells of one before it
		return
	}
	a.goneUpstream(e)
}

// upstreamLeft forgets what workspaces held that left their scopes. What is newer came when they were back.
func (a *aggregator) upstreamLeft(changes []arrival) {
	type place struct {
		scope     *scope
		workspace ref.Workspace
	}
	left := map[place]string{} // at which version
	for _, c := range changes {
		at, w := c.event.Version, c.event.Workspace
		if s := a.scopes[c.event.Scope]; s != nil && c.event.Type == ref.Left {
			left[place{s, w}] = at
			s.pending = slices.DeleteFunc(s.pending, func(o *ref.Object) bool { return o.Workspace == w && !newer(o.ResourceVersion, at) })
			a.forgetWorkspace(w)
		}
	}
	if len(left) == 0 {
		return
	}
	for u, e := range a.entries {
		if at, gone := left[place{e.scope, u.Workspace}]; gone && !newer(e.seen.ResourceVersion, at) {
			a.goneUpstream(e)
		}
	}
}

// endScope forgets a scope that is no more, with all that it held.
func (a *aggregator) endScope(name ref.Workspace) {
	s := a.scopes[name]
	if s == nil {
		return
	}
	delete(a.scopes, name)
	a.forgetWorkspace(name)
	for _, e := range a.entries {
		if e.scope == s {
			a.forgetWorkspace(e.upstream.Workspace)
			a.goneUpstream(e)
		}
	}
}

// forgetWorkspace forgets what was found out about writing to a workspace, or scope.
func (a *aggregator) forgetWorkspace(w ref.Workspace) {
	for _, again := range a.learned[w] {
		again.Stop()
	}
	delete(a.learned, w)
	if a.parks[w] != nil {
		delete(a.parks, w)
		a.Metrics.Parked.WithLabelValues("kind").Dec()
	}
}

// replaced returns objects with o in the place of the object of its name, or without it.
func replaced(objects []*ref.Object, o *ref.Object, present bool) []*ref.Object {
	out := objects[:0]
	for _, other := range objects {
		if other.Workspace != o.Workspace || other.Namespace != o.Namespace || other.Name != o.Name {
			out = append(out, other)
		}
	}
	if present {
		out = append(out, o)
	}
	return out
}

// goneUpstream forgets the upstream object. What the SyncTargets say stays: it may be created again.
func (a *aggregator) goneUpstream(e *entry) {
	a.forgetUpstream(e)
	a.release(e)
}

func (a *aggregator) forgetUpstream(e *entry) {
	e.scope, e.seen, e.desired, e.generation = nil, nil, 0, 0
	a.untrouble(e)
	a.cancelWrite(e)
	e.disarm()
}

// seeIn takes an object as a scope shows it. In another scope than before it is another object, whatever its version.
func (a *aggregator) seeIn(s *scope, e *entry, o *ref.Object) bool {
	if e.seen != nil && e.scope != s {
		a.forgetUpstream(e)
	}
	news := a.see(e, o)
	if e.seen != nil {
		e.scope = s
	}
	return news
}

// see takes the upstream object as it is now, and reports whether that is news.
func (a *aggregator) see(e *entry, o *ref.Object) bool {
	if o.Err != nil {
		a.Metrics.Rejected.WithLabelValues("Undecodable").Inc()
		a.Log.WithLevel(a.said.level("upstream/undecodable")).Str("upstream", e.upstream.String()).Err(o.Err).
			Msg("upstream object refused; it stays as it is")
		return false
	}
	if e.knows(o) { // a watch brings each write of ours a second time: it is not worth reading
		return false
	}
	if e.seen != nil && e.seen.UID != o.UID { // another object: what was refused for the one before is forgotten with it
		a.unpark(e)
	}
	return e.view(o, a.owned.of(o), time.Now())
}

// published is the status of the upstream object, parsed.
func (a *aggregator) published(e *entry) map[string]any {
	published, err := status.Parse(e.seen.status)
	if err != nil {
		e.seen.status = nil
		a.Metrics.Rejected.WithLabelValues("NotAnObject").Inc()
		a.Log.WithLevel(a.said.level("upstream/status")).Str("upstream", e.upstream.String()).Err(err).
			Msg("the published status is not an object; it is replaced")
	}
	return published
}
