package reconcile

import (
	"time"

	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
)

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
