package reconcile

import (
	"errors"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/patch"
)

const (
	resultPark = 10 * time.Minute
	minPark    = 10 * time.Second
	maxPark    = 10 * time.Minute
	placeLabel = "kind" // of the metric: a resource in a workspace or scope
)

// park keeps a resource in a workspace, or in a scope, from being written for a while. When its pause has ended, one object goes ahead as
// the probe, another one each time; the others wait for the outcome.
type park struct {
	scope   *scope // one of the two
	place   *place
	slot    **park
	until   int64
	pause   time.Duration
	reason  string
	open    bool    // the pause has ended: the next write is the probe
	probe   *object // the object with the write under way
	rotated int32   // the next object to probe, as an index into the objects of the place or scope
}

// park begins a park, or extends one after its probe was refused. Other writes that are refused meanwhile were sent before the park began.
func (s *State) park(slot **park, c *scope, p *place, refused *object, reason string) {
	k := *slot
	switch {
	case k == nil:
		k = &park{scope: c, place: p, slot: slot}
		*slot = k
		s.emit(Count{Parked, placeLabel, 1})
		s.warn("", "writes are parked in this workspace", "workspace", k.name(), "reason", reason)
		s.takeBack(k)
	case k.probe != refused:
		return
	}
	k.pause = min(max(2*k.pause, minPark), maxPark)
	k.reason, k.probe, k.open = bounded(reason), nil, false
	s.parkFor(k, k.pause)
}

// takeBack cancels the writes that wait when a park begins.
func (s *State) takeBack(k *park) {
	s.each(k, func(o *object) {
		o.suppressed = "Parked: " + k.reason
		s.retract(o)
	}, func(i int) bool { return k.at(i).pending != nil && *k.slot == k && k.probe != k.at(i) })
}

// objects are those that the park holds back.
func (k *park) objects() list[object] {
	if k.place != nil {
		return k.place.objects
	}
	return k.scope.objects
}

func (k *park) size() int        { return k.objects().size() }
func (k *park) at(i int) *object { return k.objects().at(i) }

// bounded cuts a text that a server wrote.
func bounded(text string) string {
	const most = 256
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

func (k *park) name() any {
	if k.place != nil {
		return k.place.workspace
	}
	return k.scope.name
}

func (s *State) parkFor(k *park, d time.Duration) {
	k.until = s.at + int64(d)
	if k.place != nil {
		s.rearmPlace(k.place)
		return
	}
	s.due.set(k.scope, k.until)
}

// rearmPlace brings a place's due time up to date.
func (s *State) rearmPlace(p *place) {
	at := p.unlearnAt
	if p.park != nil && (at == 0 || p.park.until < at) {
		at = p.park.until
	}
	if at == 0 {
		s.due.stop(p)
		return
	}
	s.due.set(p, at)
}

// fire ends the place's park or its lessons, whichever is due.
func (p *place) fire(s *State) {
	if p.unlearnAt != 0 && p.unlearnAt <= s.at {
		s.unlearn(p)
	}
	if p.park != nil && p.park.until <= s.at {
		s.parkEnded(p.park)
		return
	}
	s.rearmPlace(p)
}

// parkEnded lets the next object probe. A probe without an outcome, as it was taken back, is followed by another one; where no object was
// to be written, the park ends.
func (s *State) parkEnded(k *park) {
	if k.open {
		s.resume(k)
		return
	}
	k.probe, k.open = nil, true
	s.parkFor(k, minPark)
	s.each(rotation{k, int(k.rotated)}, s.consider, func(int) bool { return k.open && *k.slot == k })
}

// rotation is a park's objects beginning with the one after the last probe. Like every set it is gone through from its end.
type rotation struct {
	*park
	first int
}

func (r rotation) at(i int) *object {
	n := r.size()
	return r.park.at((r.first%n + n - 1 - i) % n)
}

// parked returns the reason why a write has to wait for a park; empty: it need not.
func (s *State) parked(o *object) string {
	for _, k := range [...]*park{o.place.park, o.place.scope.park} {
		if k != nil && !k.open && k.probe != o {
			return k.reason
		}
	}
	return ""
}

// probe makes the write that is about to be asked for the probe of the parks that wait for one.
func (s *State) probe(o *object) {
	for _, k := range [...]*park{o.place.park, o.place.scope.park} {
		if k != nil && k.open {
			k.open, k.probe = false, o
			if k.rotated = o.inScope + 1; k.place != nil {
				k.rotated = o.index + 1
			}
			s.parkFor(k, minPark)
		}
	}
}

// dropPark forgets a park.
func (s *State) dropPark(slot **park) {
	if *slot != nil {
		*slot = nil
		s.emit(Count{Parked, placeLabel, -1})
	}
}

// unparkPlace ends the parks of an object's place: the API server accepts writes of the resource there.
func (s *State) unparkPlace(o *object) {
	o.place.denied = nil
	for _, k := range [...]*park{o.place.park, o.place.scope.park} {
		if k != nil {
			s.resume(k)
		}
	}
}

// resume ends a park, and decides again on the objects that it held back.
func (s *State) resume(k *park) {
	s.dropPark(k.slot)
	s.emit(Log{Info: true, Message: "writes resume in this workspace", Fields: []any{"workspace", k.name()}})
	s.reconsider(k)
	if k.place != nil {
		s.rearmPlace(k.place)
		return
	}
	s.due.stop(k.scope)
}

// denied parks an object that was refused with 403. The denial may concern the object only, as by a webhook, or all objects of its
// workspace: if a second one is denied before any write succeeds there, the resource is parked.
func (s *State) denied(o *object, err error) {
	p := o.place
	t := o.troubled()
	t.denials++
	pause := min(minPark<<min(t.denials-1, 10), maxPark)
	s.parkObject(o, 0, string(Forbidden), pause)
	t.parkedAny = true
	s.warn("denied/"+string(p.workspace), "a status patch is forbidden", "upstream", o.name, "reason", Forbidden, "pause", pause, "error", err)
	second := p.denied != nil && p.denied != o
	p.denied = o
	if second || p.park != nil || p.size() == 1 {
		s.park(&p.park, nil, p, o, string(Forbidden)+": "+err.Error())
	}
	s.consider(o)
}

// refusedResult parks a result that the API server refused, and has what is left of it published in its place.
func (s *State) refusedResult(o *object, w *sent, e Refused) {
	t := o.troubled()
	if w.full != 0 && t.parkedReason != "" && t.parkedResult == w.full {
		t.reduction++
	} else {
		s.parkResult(o, patch.Digest(w.desired, s.equality(o, true)), string(e.Class), e.Err)
		t.refusal, t.reduction = refusalOf(e.Err), aggregate.WithoutFields
		s.describeScope(o.place.scope, o.name.Workspace)
	}
	s.consider(o)
}

// refusalOf reads the fields that an API server names, such as status.listeners[1].
func refusalOf(err error) (r aggregate.Refusal) {
	const most = 16
	r.Message = bounded(err.Error())
	sent, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || sent.ErrStatus.Details == nil {
		return r
	}
	for _, cause := range sent.ErrStatus.Details.Causes {
		field, below := strings.CutPrefix(cause.Field, "status.")
		if i := strings.IndexAny(field, ".["); i >= 0 {
			field = field[:i]
		}
		if below && len(r.Fields) < most && !slices.Contains(r.Fields, field) {
			r.Fields = append(r.Fields, field)
		}
	}
	return r
}

// reduced replaces a result that was refused by what is left of it. ok is false if nothing is, or it is published already.
func (s *State) reduced(o *object, out outcome) (less outcome, ok bool) {
	t := o.trouble
	for ; t.reduction > 0 && t.reduction <= aggregate.SummaryOnly; t.reduction++ {
		less = outcome{Decision: out.Decision, in: out.in, lane: out.lane}
		if less.Status, ok = aggregate.Reduce(s.Policy, out.in, out.Decision, t.refusal, t.reduction); ok {
			less.patch = patch.Diff(out.in.Published, less.Status, out.in.Owned, s.equality(o, false))
			break
		}
	}
	o.suppressed = "Parked: " + t.parkedReason
	s.decideAt(o, t.parkedUntil)
	if less.patch == nil {
		return less, false
	}
	less.body, less.bodyErr = patch.Body(o.view.version, less.patch)
	return less, less.bodyErr == nil
}

// parkResult parks a result, by the digest of the decided status.
func (s *State) parkResult(o *object, result uint64, reason string, err error) {
	s.parkObject(o, result, reason, resultPark)
	s.warn("park/"+reason, "the result was refused; parked until its inputs change", "upstream", o.name, "reason", reason, "error", err)
	s.decideAt(o, s.at+int64(resultPark))
}

func (s *State) parkObject(o *object, result uint64, reason string, d time.Duration) {
	s.unpark(o)
	s.emit(Count{Parked, reason, 1})
	t := o.troubled()
	t.parkedResult, t.parkedGeneration, t.parkedReason, t.parkedUntil = result, o.generation, reason, s.at+int64(d)
	o.suppressed = "Parked: " + reason
}

func (s *State) unpark(o *object) {
	if t := o.trouble; t != nil && t.parkedReason != "" {
		s.emit(Count{Parked, t.parkedReason, -1})
		t.parkedReason, t.parkedResult, t.parkedUntil, t.parkedAny, t.reduction = "", 0, 0, false, 0
	}
}
