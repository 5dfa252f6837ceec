package actors

import (
	"context"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// describeRetry is the pause after the API server could not say how it serves the resource.
const describeRetry = 2 * time.Second

// scopeOf returns what is known of a workspace, or of all of them if they are listed as one.
func (a *aggregator) scopeOf(w ref.Workspace) *scope {
	if s := a.scopes["*"]; s != nil {
		return s
	}
	return a.scopes[w]
}

// drain takes a turn's worth of upstream events.
func (a *aggregator) drain(ctx actor.Context, m poked) {
	if m.inbox != a.inbox || a.listings != nil {
		return
	}
	b := a.inbox.take(turn)
	a.upstreamHealth(b.failed, b.list != nil || len(b.changes) > 0)
	if b.list != nil {
		a.upstreamListed(ctx, b.list.event.Scope, b.list.event.Objects)
	}
	for _, c := range b.changes {
		o := c.event.Objects[0]
		if c.event.Type == ref.Deleted {
			a.upstreamGone(o)
		} else {
			a.upstreamSeen(o)
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
func (a *aggregator) upstreamListed(ctx actor.Context, name ref.Workspace, objects []*ref.Object) {
	s := a.scopes[name]
	if s == nil {
		s = &scope{}
		a.scopes[name] = s
	}
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
	a.listings = append(a.listings, &upstreamListing{scope: name, rest: objects, present: make(map[ref.Upstream]struct{}, len(objects))})
	if len(a.listings) == 1 {
		a.continueListing(ctx)
	}
}

// upstreamListing is a list that is being worked off in turns.
type upstreamListing struct {
	scope   ref.Workspace
	rest    []*ref.Object
	present map[ref.Upstream]struct{}
}

// continueListing takes a turn's worth of a list. At its end, what the list lacks is gone.
func (a *aggregator) continueListing(ctx actor.Context) {
	l := a.listings[0]
	n := min(turn, len(l.rest))
	for _, o := range l.rest[:n] {
		u := ref.Upstream{Workspace: o.Workspace, Namespace: o.Namespace, Name: o.Name}
		l.present[u] = struct{}{}
		if e := a.entry(u); a.see(e, o) {
			a.postpone(e)
		}
	}
	if l.rest = l.rest[n:]; len(l.rest) > 0 {
		ctx.Send(ctx.Self(), listingContinues{})
		return
	}
	if s := a.scopes[l.scope]; !s.listed {
		s.listed = true
		a.root.Send(a.parent, UpstreamReady{a.Resource})
	}
	for u, e := range a.entries {
		if _, ok := l.present[u]; !ok && e.seen != nil && (l.scope == "*" || u.Workspace == l.scope) {
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
	workspace := name
	if workspace == "*" {
		workspace = ""
	}
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
		if m.hasStatus, m.err = upstream.HasStatus(ctx, resource, workspace); m.err == nil {
			m.typed, m.err = upstream.Typed(ctx, resource, workspace)
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
	a.upstreamListed(ctx, m.scope, pending)
}

func (a *aggregator) upstreamSeen(o *ref.Object) {
	s := a.scopeOf(o.Workspace)
	if s == nil {
		return // its list says it
	}
	if !s.described { // the list that waits is brought up to date
		s.pending = replaced(s.pending, o, true)
		return
	}
	e := a.entry(ref.Upstream{Workspace: o.Workspace, Namespace: o.Namespace, Name: o.Name})
	if a.see(e, o) {
		a.consider(e)
	}
}

func (a *aggregator) upstreamGone(o *ref.Object) {
	if s := a.scopeOf(o.Workspace); s != nil && !s.described {
		s.pending = replaced(s.pending, o, false)
		return
	}
	e := a.entries[ref.Upstream{Workspace: o.Workspace, Namespace: o.Namespace, Name: o.Name}]
	if e == nil || e.seen == nil || e.seen.UID == o.UID && newer(e.seen.ResourceVersion, o.ResourceVersion) {
		return
	}
	a.goneUpstream(e)
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
	e.seen, e.published, e.owned, e.desired, e.generation = nil, nil, nil, nil, 0
	a.untrouble(e)
	a.cancelWrite(e)
	e.disarm()
	a.release(e)
}

// see takes the upstream object as it is now, and reports whether that is news.
func (a *aggregator) see(e *entry, o *ref.Object) bool {
	if o.Err != nil {
		a.Metrics.Rejected.WithLabelValues("Undecodable").Inc()
		a.Log.WithLevel(a.said.level("upstream/undecodable")).Str("upstream", e.upstream.String()).Err(o.Err).
			Msg("upstream object refused; it stays as it is")
		return false
	}
	published, err := parseStatus(o.Status)
	if err != nil {
		a.Metrics.Rejected.WithLabelValues("NotAnObject").Inc()
		a.Log.WithLevel(a.said.level("upstream/status")).Str("upstream", e.upstream.String()).Err(err).
			Msg("the published status is not an object; it is replaced")
	}
	return e.view(o, published, a.owned.of(o), time.Now())
}

// parseStatus returns nil for a status that is absent or null.
func parseStatus(raw []byte) (map[string]any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, err
	}
	return out, nil
}
