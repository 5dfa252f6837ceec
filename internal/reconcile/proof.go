package reconcile

import (
	"time"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/evidence"
)

const (
	// A copy is created after its upstream object. By clocks that are measured, it is older only if it is so by more than this; a copy that
	// was there before the upstream object was observed, by less.
	certainlyOlder = 5 * time.Second
	knownOlder     = 2 * time.Second

	lagAfter     = 10 * time.Second // an edit on its way is not announced
	followWithin = 10 * time.Second // how much earlier than the edit itself its effect on a copy may be observed
)

// proof is the knowledge about the state of the upstream object that a copy was made of.
type proof struct {
	evidence  *evidence.Object
	proved    int64 // the generation that it is proved to reflect
	born      bool  // its creation was observed while the present upstream object was there
	old       bool  // it was there before the present upstream object
	inherited bool  // it was in its SyncTarget's first list: what is published tells what an earlier process had proved

	// Hashes of the values that prove nothing by themselves: before their last change, the time of that, and when upstream's changed.
	before   uint32
	changed  int64
	baseline uint32
}

var noEvidence evidence.Object

// witness takes a copy's evidence.
func (s *State) witness(c *contribution, e *evidence.Object) {
	if c.evidence != nil && c.evidence.Spec.Ignored() != e.Spec.Ignored() {
		c.before, c.changed = c.evidence.Spec.Ignored(), s.at
	}
	c.evidence = e
	s.latch(c.object, c)
}

// latch remembers that a copy's content proves the present generation: it may change afterwards, as by an autoscaler.
func (s *State) latch(o *object, c *contribution) {
	if o.view == nil || o.generation <= 1 || c.evidence == nil {
		return
	}
	upstream := o.view.evidence
	if o.rescaled && (c.evidence.Spec.Ignored() != c.baseline || c.evidence.Spec.Ignored() == upstream.Spec.Ignored()) {
		o.rescaled = false
		for _, other := range o.copies {
			s.latch(o, other)
		}
	}
	if o.proves(c) && !s.earlier(o, c) {
		c.proved = o.generation
	}
}

// proves reports whether a copy has the content of the present generation.
func (o *object) proves(c *contribution) bool {
	return !o.rescaled && c.evidence.Spec.Covers(o.view.evidence.Spec, o.removed)
}

// renew takes over a view of another object, or of another generation, into what is known about its copies.
func (s *State) renew(o *object, before, now *view) {
	switch {
	case before == nil:
		if o.gone == now.uid { // it moved to another scope
			for _, c := range o.copies {
				c.old = false
			}
		}
		o.gone = ""
	case before.uid != now.uid:
		o.bereave()
	case before.generation != now.generation:
		o.removed = before.evidence.Spec.Removed(now.evidence.Spec, o.removed)
		if before.evidence.Spec.Ignored() != now.evidence.Spec.Ignored() {
			o.rescale(s.at)
		}
	}
	for _, c := range o.copies {
		s.latch(o, c)
	}
}

// bereave notes that the upstream object of the copies is gone.
func (o *object) bereave() {
	o.removed, o.rescaled = nil, false
	for _, c := range o.copies {
		c.old, c.born, c.inherited, c.proved = true, false, false, 0
	}
}

// rescale notes which values the copies had before an edit: its effect on a copy may be observed first.
func (o *object) rescale(at int64) {
	o.rescaled = true
	for _, c := range o.copies {
		if c.evidence == nil {
			continue
		}
		c.baseline = c.evidence.Spec.Ignored()
		if c.changed != 0 && at-c.changed < int64(followWithin) {
			c.baseline = c.before
		}
	}
}

// earlier reports whether a copy was made of an earlier object of that name. Such a copy contributes nothing.
func (s *State) earlier(o *object, c *contribution) bool {
	copied, upstream := c.evidence, o.view.evidence
	if copied == nil {
		return false
	}
	named := copied.UID != "" && upstream.UID == "" // upstream's own annotation may have been copied
	if named && copied.UID != o.view.uid {
		return true
	}
	if copied.Created == 0 || upstream.Created == 0 {
		return c.old && !named && !o.proves(c)
	}
	earliest := c.earliest(upstream)
	if s.tellsOfAnEnd(c) && c.started() < earliest {
		return true
	}
	return copied.Created < earliest && !named && !o.proves(c)
}

// earliest is the time before which a copy of the upstream object can't have been created.
func (c *contribution) earliest(upstream *evidence.Object) int64 {
	tolerance := certainlyOlder
	if c.old {
		tolerance = knownOlder
	}
	return upstream.Created - int64(tolerance-c.evidence.Clock.Doubt-upstream.Clock.Doubt)
}

// tellsOfAnEnd reports whether a copy has ended, and its creation was not observed: then content proves nothing, as it may have ended before.
func (s *State) tellsOfAnEnd(c *contribution) bool {
	return !c.born && c.value != nil && aggregate.Ends(s.Policy, c.value.Status)
}

// started is when the work of a copy began.
func (c *contribution) started() int64 {
	text, _ := c.value.Status["startTime"].(string)
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.Add(-c.evidence.Clock.Offset).UnixNano()
	}
	return c.evidence.Created
}

// current reports whether a copy certainly reflects the present generation of the upstream object.
func (s *State) current(o *object, c *contribution) bool {
	copied := c.evidence
	switch {
	case o.generation <= 1 || c.proved == o.generation:
		return true
	case copied.Generation > 0 && o.view.evidence.Generation == 0 && copied.Generation == o.generation:
		return true
	case s.Policy.SpecSyncGrace >= 0 && s.now.Sub(o.generationSince) >= s.Policy.SpecSyncGrace:
		return true
	}
	return c.inherited && s.publishedAsCurrent(o, c)
}

// publishedAsCurrent reports whether an earlier process had proved this: it published the present generation, and named the SyncTarget as
// no exception.
func (s *State) publishedAsCurrent(o *object, c *contribution) bool {
	published, ok := aggregate.Integer(s.published(o)["observedGeneration"])
	if !ok || published != o.generation || !o.view.owned.Field("observedGeneration") {
		return false
	}
	return !aggregate.Lags(s.published(o), c.target.Name, o.generation)
}

// awaitProof decides again when a copy that is not current is announced as lagging, or taken for current without proof.
func (s *State) awaitProof(o *object, sources []aggregate.Source) {
	all := true
	for _, source := range sources {
		all = all && source.CaughtUp
		if source.Contribution == nil || source.CaughtUp {
			continue
		}
		for _, d := range []time.Duration{lagAfter, s.Policy.SpecSyncGrace} {
			if due := o.generationSince.Add(d); d >= 0 && due.After(s.now) {
				s.decideAt(o, due.UnixNano())
			}
		}
	}
	if all {
		o.removed = nil
	}
}
