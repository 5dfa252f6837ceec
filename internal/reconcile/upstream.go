package reconcile

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// describeRetry is the pause after the API server could not be asked how it serves the resource.
const describeRetry = 2 * time.Second

// scope is the extent of one list: a workspace, all of them, or those of one shard. An object belongs to the scope that showed it; another
// scope that lacks it says nothing about it.
type scope struct {
	name       ref.Workspace
	places     map[ref.Workspace]*place
	objects    list[object]  // in all places
	version    string        // resourceVersion of the last list
	life       uint32        // grows when the server was set back: versions before and after cannot be compared
	list       uint32        // the list that is being taken, or was
	listed     bool          // a list was completed since the last reread
	reread     uint32        // State.reread when the last list began
	describing bool          // a Describe effect is not answered yet
	example    ref.Workspace // that it was asked about; empty: none
	described  bool          // the API server said how it serves the resource
	schema     *ref.Schema
	ready      bool
	typed      bool
	left       bool // no longer served: its objects are being forgotten
	park       *park
	timer      timer
}

// place is a workspace within a scope.
type place struct {
	scope     *scope
	workspace ref.Workspace
	objects   list[object]
	park      *park
	denied    *object           // the last object that was refused with 403, without a success in the place since
	lessons   map[string]lesson // by path
	unlearnAt int64             // when the lessons are forgotten
	timer     timer
}

func (p *place) size() int        { return p.objects.size() }
func (p *place) at(i int) *object { return p.objects.at(i) }
func (p *place) due() *timer      { return &p.timer }
func (c *scope) size() int        { return c.objects.size() }
func (c *scope) at(i int) *object { return c.objects.at(i) }
func (c *scope) due() *timer      { return &c.timer }

// fire asks again how the resource is served, or ends the scope's park.
func (c *scope) fire(s *State) {
	if !c.described {
		s.describeScope(c, c.example)
	}
	if c.park != nil {
		s.parkEnded(c.park)
	}
}

// settle puts an object into a place; nil: into none.
func (s *State) settle(o *object, p *place) {
	if o.place == p {
		return
	}
	if old := o.place; old != nil {
		old.objects.remove(o.index, func(moved *object) { moved.index = o.index })
		old.scope.objects.remove(o.inScope, func(moved *object) { moved.inScope = o.inScope })
		if old.size() == 0 {
			s.vacate(old)
		}
	}
	if o.place = p; p != nil {
		o.index, o.inScope = p.objects.add(o), p.scope.objects.add(o)
	}
}

// vacate forgets a place without objects.
func (s *State) vacate(p *place) {
	if p.scope.places[p.workspace] != p {
		return
	}
	s.due.stop(p)
	s.dropPark(&p.park)
	delete(p.scope.places, p.workspace)
	others := s.places[p.workspace]
	if i := slices.Index(others, p); len(others) == 1 {
		delete(s.places, p.workspace)
	} else if i >= 0 {
		s.places[p.workspace] = slices.Delete(others, i, i+1)
	}
}

func (s *State) placeIn(c *scope, w ref.Workspace) *place {
	p := c.places[w]
	if p == nil {
		p = &place{scope: c, workspace: w}
		c.places[w] = p
		if c.described && c.example == "" {
			s.describeScope(c, w) // schemas are served in workspaces
		}
		s.places[w] = append(s.places[w], p)
	}
	return p
}

// upstreamListed takes a part of a list.
func (s *State) upstreamListed(e UpstreamListed) {
	c := s.scopes[e.Scope]
	if c == nil {
		if !e.First {
			return // the rest of a list that a State before this one began to take
		}
		c = &scope{name: e.Scope, places: map[ref.Workspace]*place{}, reread: s.reread}
		s.scopes[e.Scope] = c
	}
	if e.First {
		example := ref.Workspace("")
		if len(e.Objects) > 0 {
			example = e.Objects[0].Workspace
		}
		s.describeScope(c, example)
		c.list++
		c.reread = s.reread
		if ref.Newer(c.version, e.Version) { // the server was set back, as by a restored backup: known versions only look newer
			c.life++
		}
		c.version = e.Version
	}
	for _, latest := range e.Objects {
		if o := s.take(c, latest); o != nil {
			s.consider(o)
		}
	}
	if !e.Last || c.reread != s.reread {
		return
	}
	list := c.list
	s.each(c, s.goneUpstream, func(i int) bool { return c.at(i).view.listed < list })
	c.listed = true
	s.ready(c)
}

// ready decides on a scope's objects as soon as they can be decided.
func (s *State) ready(c *scope) {
	if !c.listed || !c.described || c.ready {
		return
	}
	c.ready = true
	s.reconsider(c)
	s.emit(ScopeReady{c.name})
}

func (s *State) scopeDescribed(e ScopeDescribed) {
	c := s.scopes[e.Scope]
	if c == nil {
		return
	}
	c.describing = false
	if e.Err != nil {
		s.warn("describe/"+string(e.Scope)+"/"+e.Err.Error(), "cannot find out how the API server serves the resource; retrying", "workspace", e.Scope, "error", e.Err)
		s.due.set(c, s.at+int64(describeRetry))
		return
	}
	changed := c.described && !reflect.DeepEqual(c.schema, e.Schema)
	c.described, c.typed, c.schema = true, e.Typed, e.Schema
	if !e.HasStatus {
		s.park(&c.park, c, nil, nil, "the resource is not served with a status subresource")
	}
	if s.ready(c); changed {
		s.reconsider(c)
	}
}

// describeScope asks how the API server serves the resource in a scope: at first, with each list, and when a result is refused, as schemas change.
func (s *State) describeScope(c *scope, workspace ref.Workspace) {
	if !c.describing {
		c.describing = true
		c.example = workspace
		s.emit(Describe{c.name, workspace})
	}
}

func (s *State) upstreamObserved(e UpstreamObserved) {
	c := s.scopes[e.Scope]
	if c == nil {
		return // the list that is due brings it
	}
	if o := s.take(c, e.Object); o != nil {
		s.consider(o)
	}
}

func (s *State) upstreamGone(e UpstreamGone) {
	o := s.objects[nameOf(e.Object)]
	if o == nil || o.view == nil || o.place.scope != s.scopes[e.Scope] || ref.Newer(o.view.version, e.Object.ResourceVersion) {
		return // a watch that lags reports an earlier object
	}
	s.goneUpstream(o)
}

// workspaceLeft forgets the objects of a workspace that left its scope. Newer ones were observed after it came back.
func (s *State) workspaceLeft(e WorkspaceLeft) {
	c := s.scopes[e.Scope]
	if c == nil || c.places[e.Workspace] == nil {
		return
	}
	p := c.places[e.Workspace]
	s.dropPark(&p.park)
	p.lessons = nil
	s.each(p, s.goneUpstream, func(i int) bool { return !ref.Newer(p.at(i).view.version, e.Version) })
}

// scopeLeft forgets a scope with all its objects.
func (s *State) scopeLeft(e ScopeLeft) {
	c := s.scopes[e.Scope]
	if c == nil {
		return
	}
	c.left = true
	delete(s.scopes, e.Scope)
	s.due.stop(c)
	s.dropPark(&c.park)
	s.each(c, s.goneUpstream)
}

// eachScope goes through all scopes, in an order that does not depend on a map.
func (s *State) eachScope(visit func(*scope)) {
	for _, name := range slices.Sorted(maps.Keys(s.scopes)) {
		visit(s.scopes[name])
	}
}

func nameOf(o *ref.Object) ref.Upstream {
	return ref.Upstream{Workspace: o.Workspace, Namespace: o.Namespace, Name: o.Name}
}

// goneUpstream forgets the upstream object. The reports of its copies stay: it may be created again.
func (s *State) goneUpstream(o *object) {
	s.forgetView(o)
	s.release(o)
}

func (s *State) forgetView(o *object) {
	if o.view == nil {
		return
	}
	o.gone = o.view.uid
	o.bereave()
	s.displace(o.view)
	s.warm.drop(o.view)
	s.settle(o, nil)
	s.unpark(o)
	s.forgetWrites(o)
	o.view, o.suppressed, o.again = nil, "", 0
	s.cancel(o)
	s.rearm(o)
}

// forgetWrites forgets the outcomes of writes: the object is another one from now on.
func (s *State) forgetWrites(o *object) {
	o.trouble, o.desired, o.generation, o.notBefore, o.received = nil, 0, 0, 0, time.Time{}
}

// take updates an object's view as a scope shows it, and returns the object if that is news. In another scope than before it is another
// object, regardless of its version.
func (s *State) take(c *scope, latest *ref.Object) *object {
	u := nameOf(latest)
	if latest.Err != nil {
		s.emit(Count{Rejected, "Undecodable", 1})
		s.warn("undecodable/"+latest.Err.Error(), "upstream object refused; its status stays as published", "upstream", u, "error", latest.Err)
		if o := s.objects[u]; o != nil && o.view != nil && o.place.scope == c {
			o.view.listed = c.list
		}
		return nil
	}
	o := s.object(u)
	if o.view != nil && o.place.scope != c {
		s.forgetView(o)
	}
	news := s.view(o, c, latest)
	if o.view == nil {
		s.release(o)
		return nil
	}
	o.view.listed = c.list
	if !news {
		return nil
	}
	return o
}
