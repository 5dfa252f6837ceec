package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
)

const (
	refetchAfter  = time.Second // how long the watch has to bring the object that a conflict is about
	maxConflicts  = 3           // in a row, before the object is read at once
	minFetchPause = 200 * time.Millisecond
	maxFetchPause = 10 * time.Second
	maxReads      = 16 // under way at a time
)

func (s *State) acknowledged(e Acknowledged) {
	o := s.objects[e.Upstream]
	if o == nil || e.Token.incarnation != s.Incarnation {
		return // the watch brings the object to the successor of the State that asked
	}
	w := e.Token.write
	latest := w == o.pending
	if !latest { // decided on an older version: the writer dropped it, unless it is on its way
		s.retract(o)
	}
	o.pending = nil
	if o.view == nil {
		s.release(o)
		return
	}
	s.unparkPlace(o)
	kept := s.learnFrom(o, w, e.Object)
	if e.Object.ResourceVersion == w.version {
		t := o.troubled()
		t.noopPatch, t.noopVersion = w.hash, w.version
	} else if w.full == 0 {
		s.untrouble(o)
	}
	var latency time.Duration
	if !w.received.IsZero() {
		latency = s.now.Sub(w.received)
	}
	s.emit(Published{Upstream: o.name, Status: e.Object.Status, Reason: w.reason, Latency: latency})
	if !latest || !kept { // decided again since the write was asked for, or the API server dropped what was published before
		s.consider(o)
	}
}

// learnFrom takes the object from the answer to a write. Its status is parsed once, for the lessons in it and for the next decision. kept
// reports whether it holds all that was decided, but for what the API server does not keep.
func (s *State) learnFrom(o *object, w *sent, answer *ref.Object) (kept bool) {
	var got map[string]any
	var different [][]string
	parsed := s.guarded(o, func() {
		var err error
		if got, err = status.Parse(answer.Status); err == nil {
			different = patch.Differences(w.patch, got, o.place.scope.typed)
		}
	})
	if w.reread == s.reread && s.view(o, o.place.scope, answer) && parsed { // else the answer lacks metadata, or is older
		s.warm.keep(s, o.view, got)
	}
	s.learn(o, different)
	if o.view.uid == answer.UID {
		s.guarded(o, func() {
			o.desired = patch.Digest(w.desired, s.equality(o, true))
			kept = !parsed || patch.Diff(got, w.desired, nil, s.equality(o, false)) == nil
		})
	}
	return kept
}

// untrouble forgets refusals after a success; a contest stays known.
func (s *State) untrouble(o *object) {
	if o.trouble == nil {
		return
	}
	s.unpark(o)
	o.trouble.conflicts, o.trouble.denials, o.trouble.noopPatch, o.trouble.outdated = 0, 0, 0, ""
	if len(o.trouble.overwrites) == 0 && !o.trouble.fetching && o.trouble.fetchAt == 0 {
		o.trouble = nil
	}
}

func (s *State) refused(e Refused) {
	o := s.objects[e.Upstream]
	if o == nil || e.Token.incarnation != s.Incarnation {
		return
	}
	w := e.Token.write
	latest := w == o.pending
	if !latest { // decided again since, and perhaps queued although the outcome of this one is unknown
		s.retract(o)
	}
	o.pending = nil
	if o.view == nil {
		s.release(o)
		return
	}
	o.note(w.received)
	switch e.Class {
	case Conflict:
		s.emit(Count{Conflicts, "", 1})
		s.unparkPlace(o)
		s.conflict(o, w)
	case Gone:
		s.unparkPlace(o)
		s.fetchAt(o, s.at+int64(refetchAfter))
	case NotServed:
		reason := fmt.Sprintf("%s: %v", e.Class, e.Err)
		if c := o.place.scope; c.park != nil && c.park.probe == o {
			s.park(&c.park, c, nil, o, reason)
		} else {
			s.park(&o.place.park, nil, o.place, o, reason)
		}
		s.consider(o)
	case Forbidden:
		s.denied(o, e.Err)
	case TooLarge, Invalid:
		s.unparkPlace(o)
		s.refusedResult(o, w, e)
	default: // the outcome is unknown
		s.conflict(o, w)
	}
}

// conflict decides again on the newer object: the one that the watch brought, else the one that it will bring, else the one that is read.
func (s *State) conflict(o *object, w *sent) {
	t := o.troubled()
	t.conflicts++
	t.outdated = w.version
	switch {
	case t.conflicts >= maxConflicts:
		pause := min(minFetchPause<<min(t.conflicts-maxConflicts, 16), maxFetchPause)
		s.fetchAt(o, s.at+int64(pause/2)+spread(o, t.conflicts, pause/2))
	case ref.Newer(o.view.version, w.version) && s.decidable(o):
		s.decide(o)
	default:
		s.fetchAt(o, s.at+int64(refetchAfter))
	}
}

// spread is a part of d that differs from object to object, so that they do not come back at one time.
func spread(o *object, attempt int, d time.Duration) int64 {
	var h xxhash.Digest
	h.ResetWithSeed(uint64(attempt)) //nolint:gosec // a seed
	_, _ = h.WriteString(string(o.name.Workspace))
	_, _ = h.WriteString(o.name.Namespace)
	_, _ = h.WriteString(o.name.Name)
	const parts = 1 << 10
	return int64(h.Sum64()%parts) * int64(d) / parts
}

// reads are the reads under way, and the objects that wait for one.
type reads struct {
	active  int
	waiting []*object
}

// fetchAt has an object read at a time, unless it is being read.
func (s *State) fetchAt(o *object, at int64) {
	t := o.troubled()
	if t.fetching || t.fetchAt != 0 {
		return
	}
	t.fetchAt = at
	s.rearm(o)
}

// ask asks for a read, now or when one that is under way has ended.
func (r *reads) ask(s *State, o *object) {
	o.trouble.fetching = true
	if r.active >= maxReads {
		r.waiting = append(r.waiting, o)
		return
	}
	r.active++
	known := ""
	if o.view != nil {
		known = o.view.version
	}
	s.emit(Fetch{Upstream: o.name, Want: s.want, Token: FetchToken{s.Incarnation, known, s.reread}})
}

// next asks for the read that waits longest.
func (r *reads) next(s *State) {
	r.active--
	for len(r.waiting) > 0 && r.active < maxReads {
		o := r.waiting[0]
		r.waiting = slices.Delete(r.waiting, 0, 1)
		if o.trouble != nil && o.trouble.fetching && o.view != nil {
			r.ask(s, o)
		}
	}
}

func (s *State) fetched(e Fetched) {
	if e.Token.incarnation != s.Incarnation {
		return
	}
	s.reads.next(s)
	o := s.objects[e.Upstream]
	if o == nil || o.trouble == nil || o.view == nil {
		return
	}
	o.trouble.fetching = false
	unchanged := o.view.version == e.Token.known // else the watch has brought a newer one
	switch {
	case e.Gone:
		if unchanged {
			s.goneUpstream(o)
		}
	case e.Err != nil:
		s.warn("get/"+e.Err.Error(), "reading the upstream object failed; retrying", "upstream", o.name, "error", e.Err)
		o.trouble.conflicts++
		s.fetchAt(o, s.at+int64(refetchAfter)+spread(o, o.trouble.conflicts, 10*refetchAfter))
	default:
		o.trouble.outdated = ""
		if e.Token.reread == s.reread {
			if unchanged && ref.Newer(e.Token.known, e.Object.ResourceVersion) {
				o.place.scope.life++ // the server was set back: known versions only look newer
			}
			s.view(o, o.place.scope, e.Object)
		}
		if s.decidable(o) && (o.pending == nil || o.pending.version != o.view.version) {
			s.decide(o)
		}
	}
}

// ---- values that the API server does not keep

// lesson is a path at which the API server changes or drops the value.
type lesson struct {
	first  ref.Upstream // the object that taught it: one object's values may be changed by a webhook that concerns only it
	shared bool         // a second object confirmed it
}

const (
	unlearnAfter = time.Hour // the schema may have changed
	maxLessons   = 256       // per place
)

func pathKey(path []string) string { return strings.Join(path, "\x00") }

// learned reports whether a difference at this path is no reason to write this object.
func (o *object) learned(path []string) bool {
	l, ok := o.place.lessons[pathKey(path)]
	return ok && (l.shared || l.first == o.name)
}

// learn remembers paths that came back different, so that they are not written forever.
func (s *State) learn(o *object, paths [][]string) {
	p := o.place
	for _, path := range paths {
		key := pathKey(path)
		l, known := p.lessons[key]
		switch {
		case known && (l.shared || l.first == o.name):
			continue
		case known:
			p.lessons[key] = lesson{first: l.first, shared: true}
			continue
		case len(p.lessons) >= maxLessons:
			return
		case p.lessons == nil:
			p.lessons = map[string]lesson{}
			p.unlearnAt = s.at + int64(unlearnAfter)
			s.rearmPlace(p)
		}
		p.lessons[key] = lesson{first: o.name}
		field := strings.Join(path, ".")
		s.warn("learned/"+string(p.workspace)+"/"+field, "the API server does not keep this field as it was sent; the difference is ignored from now on",
			"workspace", p.workspace, "field", "status."+field)
	}
}

// unlearn has all of a place's values tried again.
func (s *State) unlearn(p *place) {
	p.lessons, p.unlearnAt = nil, 0
	s.each(p, func(o *object) {
		if o.trouble != nil {
			o.trouble.noopPatch = 0
		}
		s.consider(o)
	})
}

// ---- parsed statuses

const (
	warmFor  = 2 * time.Second
	warmSize = 16 << 20 // bytes of JSON; parsed, they take about three times that
)

// warm keeps the parsed statuses of objects that were written or decided lately: a burst parses each published status once. Measured with
// 10,000 objects that change without end, this saves one of three readings of a published status.
type warm struct {
	views []warmView // the oldest first
	size  int
	timer timer
}

type warmView struct {
	view  *view
	until int64
	size  int
}

func (w *warm) due() *timer { return &w.timer }

// fire is called for its side effect in Step: cool.
func (w *warm) fire(*State) {}

func (w *warm) keep(s *State, v *view, parsed map[string]any) {
	if v.parsed == nil && parsed != nil {
		w.views = append(w.views, warmView{v, s.at + int64(warmFor), len(v.status)})
		w.size += len(v.status)
	}
	v.parsed = parsed
}

func (w *warm) drop(v *view) { v.parsed = nil }

// cool drops parsed views that have expired or exceed warmSize.
func (w *warm) cool(s *State) {
	for len(w.views) > 0 && (w.views[0].until <= s.at || w.size > warmSize) {
		w.views[0].view.parsed = nil
		w.size -= w.views[0].size
		w.views[0] = warmView{}
		w.views = w.views[1:]
	}
	switch {
	case len(w.views) == 0:
		w.views = nil
	case w.timer.index == 0:
		s.due.set(w, w.views[0].until+int64(warmFor/4)) // several at a time
	}
}
