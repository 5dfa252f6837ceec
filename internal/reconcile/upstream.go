package reconcile

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
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

// knows reports whether this version of the upstream object, or a newer one, was observed: also one of another uid, as in an answer about
// an object that was replaced since.
func (o *object) knows(s *State, c *scope, latest *ref.Object) bool {
	v := o.view
	return v != nil && v.life == c.life && v.reread == s.reread && (v.version == latest.ResourceVersion || ref.Newer(v.version, latest.ResourceVersion))
}

// view replaces an object's view, and reports whether that is news.
func (s *State) view(o *object, c *scope, latest *ref.Object) bool {
	if o.knows(s, c, latest) {
		return false // such as a write of ours that the watch brings a second time
	}
	owned, ok := s.owned(o, latest)
	if !ok {
		return false
	}
	before := o.view
	if before != nil && before.uid != latest.UID { // another object under the same name: no answer to a write concerns it
		s.unpark(o)
		s.forgetWrites(o)
	}
	v := &view{
		uid: latest.UID, version: latest.ResourceVersion, generation: latest.Generation, annotations: latest.Annotations,
		status: latest.Status, evidence: s.evidence(before, latest), owned: owned, other: otherManager(latest), reread: s.reread, life: c.life,
	}
	if len(v.annotations) == 0 {
		v.annotations = nil
	}
	if len(s.want.Labels) == 1 {
		v.labels = latest.Labels
	}
	if before != nil {
		v.listed = before.listed
		s.displace(before)
		s.warm.drop(before)
	}
	if t := o.trouble; t != nil && t.fetchAt != 0 && t.outdated != latest.ResourceVersion { // the object that a read was to bring
		t.fetchAt = 0
		s.rearm(o)
	}
	o.view = v
	v.placements = s.placeByLabels(o, latest.Labels)
	s.settle(o, s.placeIn(c, latest.Workspace))
	if o.generation != latest.Generation {
		o.generation, o.generationSince = latest.Generation, s.now
	}
	s.renew(o, before, v)
	return true
}

// evidence of a new view is that of the view before while the object and its generation are the same: a status patch changes neither.
func (s *State) evidence(before *view, latest *ref.Object) *evidence.Object {
	e := evidence.Of(latest)
	if before != nil && before.uid == latest.UID && before.generation == latest.Generation && before.reread == s.reread &&
		before.evidence.UID == e.UID && before.evidence.Generation == e.Generation {
		return before.evidence
	}
	e.Spec = evidence.SpecOf(latest.Spec, s.Policy.Evidence)
	return &e
}

// owned is our entry in an object's managedFields.
func (s *State) owned(o *object, latest *ref.Object) (owned *patch.Owned, ok bool) {
	ok = s.guarded(o, func() { owned = s.owners.of(latest) })
	return owned, ok
}

// published is the status of the upstream object, parsed.
func (s *State) published(o *object) map[string]any {
	if o.view.parsed != nil || len(o.view.status) == 0 {
		return o.view.parsed
	}
	published, err := status.Parse(o.view.status)
	if err != nil {
		o.view.status = nil
		s.emit(Count{Rejected, "NotAnObject", 1})
		s.warn("status/"+err.Error(), "the published status is not an object; it is replaced", "upstream", o.name, "error", err)
	}
	s.warm.keep(s, o.view, published)
	return published
}

// otherManager names the manager of the status that is not us and wrote last.
func otherManager(o *ref.Object) (name string) {
	newest := time.Time{}
	for _, m := range o.Managers {
		if m.Name != ref.FieldManager && !m.Time.Before(newest) {
			name, newest = m.Name, m.Time
		}
	}
	return name
}

// ownership parses our entry in managedFields. The objects of one kind mostly have equal entries: each form is parsed and kept once.
type ownership map[string]*patch.Owned

// ownershipLimit bounds how many forms are kept.
const ownershipLimit = 1024

func (known ownership) of(o *ref.Object) *patch.Owned {
	for _, m := range o.Managers {
		if m.Name != ref.FieldManager {
			continue
		}
		if owned, ok := known[string(m.Fields)]; ok {
			return owned
		}
		owned, err := patch.ParseOwned(m.Fields)
		if err != nil {
			return nil // foreign bytes under our name prove no ownership, so nothing is removed
		}
		if len(known) >= ownershipLimit {
			clear(known)
		}
		known[string(m.Fields)] = owned
		return owned
	}
	return nil
}

// placed are the SyncTargets that count, by name: those that the object's labels name, else those that are bound to its workspace and have
// a copy or have not listed yet. SyncTargets that are to hold nothing do not count.
func (s *State) placed(o *object) (names []ref.SyncTarget, targets []*target, byLabel bool) {
	add := func(name ref.SyncTarget, t *target) {
		if t != nil && t.Evicted {
			return
		}
		names, targets = append(names, name), append(targets, t)
	}
	if len(o.view.placements) > 0 {
		for _, p := range o.view.placements {
			if t := p.on.target; t != nil {
				add(t.Name, t)
			} else {
				add(ref.SyncTarget(p.on.key), nil) // a SyncTarget without configuration counts, and never reports
			}
		}
		return names, targets, true
	}
	for i, c := range o.copies {
		t := c.target
		if !t.gone && t.bound(o.name.Workspace) && (i == 0 || o.copies[i-1].target != t) {
			add(t.Name, t)
		}
	}
	for _, t := range s.pending {
		if t.bound(o.name.Workspace) && len(o.from(t)) == 0 {
			add(t.Name, t)
		}
	}
	return names, targets, false
}

// possible reports whether any SyncTarget could hold the object.
func (s *State) possible(o *object, placed int) bool {
	w := o.name.Workspace
	return placed > 0 || len(o.view.placements) == 0 && (s.bound[w] > 0 || w != "" && s.bound["*"] > 0)
}

// sources are the facts about each placed SyncTarget. aggregate.Decide orders them by name.
func (s *State) sources(o *object) (sources []aggregate.Source, ambiguous []ref.SyncTarget, placed int) {
	names, targets, byLabel := s.placed(o)
	for i, name := range names {
		t := targets[i]
		source := aggregate.Source{Target: name, State: aggregate.Unknown, Stale: true, Since: o.generationSince, Bound: !byLabel}
		var copies []*contribution
		if t != nil {
			source.Stale, source.Since, source.Over, source.Unschedulable = t.stale, t.since, t.over, t.Unschedulable
			copies = o.from(t)
		}
		switch {
		case t == nil || !t.listed: // its reports may be a part of those to come
		case len(copies) == 0:
			source.State = aggregate.Absent
		case len(copies) > 1:
			ambiguous = append(ambiguous, name)
			continue
		default:
			s.fromCopy(&source, o, copies[0])
		}
		if source.State == aggregate.Absent && !byLabel {
			continue // a candidate without a copy is not placed
		}
		sources = append(sources, source)
	}
	return sources, ambiguous, len(names)
}

// fromCopy adds the facts about a SyncTarget's only copy.
func (s *State) fromCopy(source *aggregate.Source, o *object, c *contribution) {
	if c.refused != "" {
		source.NotReporting = "status refused (" + c.refused + ")"
	}
	switch {
	case c.awaited:
		source.Stale = false // its report is on its way
	case s.earlier(o, c):
		source.State, source.NotReporting = aggregate.NoStatus, "holds a copy of an earlier object"
	case c.value == nil:
		source.State = aggregate.NoStatus
	default:
		source.State, source.Contribution = aggregate.Reporting, c.value
		source.CaughtUp = s.current(o, c)
		source.Lagging = !source.CaughtUp && (s.now.Sub(o.generationSince) >= lagAfter || aggregate.Lags(s.published(o), source.Target, o.generation))
	}
}
