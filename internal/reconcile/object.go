package reconcile

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// object is one upstream object: its view, the reports of its copies, and the last decision. An entry exists as long as the object was
// observed or a copy reports.
type object struct {
	name ref.Upstream

	view           *view  // nil: not observed, or gone
	place          *place // of the view; nil with it
	index, inScope int32  // in place.objects and place.scope.objects

	// copies are ordered by SyncTarget and source. Two of one SyncTarget are ambiguous.
	copies []*contribution

	generation      int64
	generationSince time.Time // when it was first observed
	removed         []uint32  // leaves that the spec lost since all copies were current
	rescaled        bool      // values that prove nothing changed with the generation, and no copy has followed yet
	gone            types.UID // of the object that was observed last under this name, if it is gone

	reason     aggregate.Reason // of the last decision
	suppressed string           // why a due write is held back
	received   time.Time        // of the oldest event that is not in a Write yet
	decided    uint64           // State.decided at the last decision

	pending   *sent  // the Write that waits or is in flight; nil: none, or it was taken back
	had       bool   // a removed SyncTarget had a copy
	desired   uint64 // digest of the status that was acknowledged last; 0: none was
	notBefore int64  // end of the quiet window or of a repair pause
	again     int64  // when it is to be decided again; 0: no time
	timer     timer

	trouble *trouble // nil as long as all writes succeed
}

// view is the upstream object as it was observed. The status stays JSON until a decision needs it: parsed, it takes twice the memory.
type view struct {
	uid                 types.UID
	version             string
	generation          int64
	labels, annotations map[string]string // for CEL rules and the primary; else nil
	placements          []placement
	status              []byte
	parsed              map[string]any // of a warm object; nil: parse status
	evidence            *evidence.Object
	owned               *patch.Owned // the parts of the status that we own
	other               string       // the manager of the status that is not us and wrote last
	reread              uint32       // State.reread when it was read
	life                uint32       // scope.life when it was read
	listed              uint32       // scope.list that showed it last
}

// trouble is the state of an object after a write that did not succeed at once.
type trouble struct {
	conflicts int // in a row
	fetching  bool
	fetchAt   int64  // when a read is due; 0: none is
	outdated  string // the version on which a write was refused: no write on it before a read confirms it

	// A result that was refused as such is not tried again until parkedUntil, unless it or the generation changes.
	parkedUntil      int64
	parkedResult     uint64 // digest of the decided status
	parkedAny        bool   // any patch of the object is refused
	parkedGeneration int64
	parkedReason     string
	denials          int // 403s in a row
	refusal          aggregate.Refusal
	reduction        int // of the result, that is published in its place

	// The patch that changed nothing, and at which resourceVersion.
	noopPatch   uint64
	noopVersion string

	contest
}

// contribution is one copy.
type contribution struct {
	object  *object
	target  *target
	index   int32 // in target.copies
	awaited bool  // listed, but it has not reported yet

	source  ref.Downstream
	at      ref.Position
	listed  uint64 // the newest epoch at which it was known to exist
	value   *aggregate.Contribution
	refused string
	proof
}

// sent is a write, for the time when its answer comes.
type sent struct {
	version  string
	reread   uint32
	hash     uint64         // statusHash of the body
	full     uint64         // digest of the refused result that this one is a reduction of; 0: it is none
	patch    map[string]any // the status part of the body
	desired  map[string]any // the whole decision
	reason   aggregate.Reason
	received time.Time
}

func (s *State) object(u ref.Upstream) *object {
	o := s.objects[u]
	if o == nil {
		o = &object{name: u}
		s.objects[u] = o
	}
	return o
}

// release forgets an object of which nothing is known.
func (s *State) release(o *object) {
	if o.view == nil && len(o.copies) == 0 && o.pending == nil {
		s.due.stop(o)
		delete(s.objects, o.name)
	}
}

// from are the copies in one SyncTarget.
func (o *object) from(t *target) []*contribution {
	i, _ := slices.BinarySearchFunc(o.copies, t, func(c *contribution, t *target) int { return c.target.compare(t) })
	j := i
	for j < len(o.copies) && o.copies[j].target == t {
		j++
	}
	return o.copies[i:j]
}

// find is where a copy is among the copies, or belongs.
func (o *object) find(t *target, d ref.Downstream) (int, bool) {
	return slices.BinarySearchFunc(o.copies, d, func(c *contribution, d ref.Downstream) int {
		return cmp.Or(c.target.compare(t), strings.Compare(c.source.Namespace, d.Namespace), strings.Compare(c.source.Name, d.Name))
	})
}

// copy is a copy, made known if it is not.
func (s *State) copy(o *object, t *target, d ref.Downstream) (c *contribution, known bool) {
	i, ok := o.find(t, d)
	if ok {
		return o.copies[i], true
	}
	c = &contribution{object: o, target: t, source: d, proof: proof{inherited: !t.listed}}
	c.index = t.copies.add(c)
	o.copies = slices.Insert(o.copies, i, c)
	return c, false
}

// withdraw forgets a copy.
func (s *State) withdraw(c *contribution) {
	o, t := c.object, c.target
	if i := slices.Index(o.copies, c); i >= 0 {
		o.copies = slices.Delete(o.copies, i, i+1)
	}
	t.forget(c)
}

// reported takes the latest status of a copy.
func (s *State) reported(e Reported) {
	t := s.targets[e.Target]
	if t == nil || e.At.Epoch < t.fromEpoch {
		return
	}
	s.emit(s.count.contribution)
	o := s.object(e.Upstream)
	if _, known := o.find(t, e.Source); !known && e.At.Epoch < t.epoch {
		s.release(o) // a newer list lacks this copy, or has it report again
		s.emit(s.count.suppressed)
		return
	}
	c, known := s.copy(o, t, e.Source)
	if known && e.At.Before(c.at) {
		s.emit(s.count.suppressed)
		return
	}
	t.mark(c, e.At.Epoch)
	if !known {
		c.born = t.listed && e.At.Epoch == t.epoch && o.view != nil
	}
	if !s.takeReport(c, e) && known {
		s.emit(s.count.suppressed)
		return
	}
	s.news(o, t, e)
}

// news decides on an object of which a copy has reported a change.
func (s *State) news(o *object, t *target, e Reported) {
	o.note(e.Received)
	if !t.bound(o.name.Workspace) && o.view != nil && !o.view.placedOn(t.key) {
		s.emit(Count{Rejected, "identity", 1})
		s.warn("unplaced/"+string(t.Name), "report refused: the SyncTarget is neither bound to the workspace nor is the object placed on it",
			"sync_target", t.Name, "object", e.Source, "upstream", o.name)
		return
	}
	if t.listed { // else it counts once the SyncTarget has listed
		s.cause = t.Name
		s.consider(o)
	}
}

// takeReport updates a copy, and reports whether anything changed that a decision depends on.
func (s *State) takeReport(c *contribution, e Reported) bool {
	given := e.Evidence
	if given == nil {
		given = &noEvidence
	}
	news := c.awaited || c.value != e.Contribution || c.refused != e.Refused || c.evidence != given
	if c.at.UID != e.At.UID && c.at.UID != "" { // another object under the same name
		c.proof = proof{born: true}
	}
	s.witness(c, given)
	c.at, c.value, c.refused, c.awaited = e.At, e.Contribution, e.Refused, false
	return news
}

func (s *State) withdrew(e Withdrew) {
	t, o := s.targets[e.Target], s.objects[e.Upstream]
	if t == nil || o == nil {
		return
	}
	i, ok := o.find(t, e.Source)
	if !ok || e.At.Before(o.copies[i].at) {
		return
	}
	s.withdraw(o.copies[i])
	s.cause = t.Name
	s.consider(o)
	s.release(o)
}

// note remembers the arrival of the oldest event that is not written yet.
func (o *object) note(received time.Time) {
	if !received.IsZero() && (o.received.IsZero() || received.Before(o.received)) {
		o.received = received
	}
}

func (o *object) troubled() *trouble {
	if o.trouble == nil {
		o.trouble = &trouble{}
	}
	return o.trouble
}
