package memapi

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// watcher is one open watch.
type watcher struct {
	scope   scope
	wake    chan struct{} // holds a token when there may be events
	next    uint64        // number of the next event to look at
	version uint64        // all up to here was looked at
	initial []*Object     // to send first, as ADDED
}

func (w *watcher) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// batch is how many events are looked at in one go.
const batch = 512

// watch streams events.
func (x *exchange) watch(t *table) error {
	scope, err := x.scope()
	if err != nil {
		return err
	}
	streaming, err := x.streaming()
	if err != nil {
		return err
	}
	timeout, err := unsigned(x.query.Get("timeoutSeconds"))
	if err != nil {
		return err
	}
	w, err := x.s.subscribe(t, scope, x.query.Get("resourceVersion"), streaming)
	if w == nil && err != nil {
		return err
	}
	if x.begin(http.StatusOK, "application/json") != nil {
		return nil
	}
	f := &feed{exchange: x, table: t, watcher: w, bookmarks: x.query.Get("allowWatchBookmarks") == "true"}
	f.trip = trip{fault: x.fault.Watch}
	if err != nil {
		f.error(err)
		return f.flush()
	}
	defer x.s.unsubscribe(t, w)
	lifetime := x.s.options.WatchTimeout
	if timeout > 0 {
		lifetime = time.Duration(timeout) * time.Second //nolint:gosec // a time-out
	}
	return f.run(lifetime, streaming)
}

// streaming says whether the initial state is wanted as events, with a bookmark at its end.
func (x *exchange) streaming() (bool, error) {
	match := x.query.Get("resourceVersionMatch")
	switch wanted := x.query.Get("sendInitialEvents"); {
	case wanted == "" && match != "":
		return false, invalidOptions("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
	case wanted != "" && match != "NotOlderThan":
		return false, invalidOptions("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
	default:
		return wanted == "true", nil
	}
}

// subscribe registers a watch. An error beside a watcher is for the stream, as real servers say that a resourceVersion is too old.
func (s *Server) subscribe(t *table, scope scope, from string, streaming bool) (*watcher, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := unsigned(from)
	if err != nil {
		return nil, err
	}
	w := &watcher{scope: scope, wake: make(chan struct{}, 1), next: t.dropped + uint64(len(t.events)), version: s.version}
	switch {
	case streaming:
		if err := s.reached(from, ""); err != nil {
			return w, err
		}
		w.initial = t.find(scope)
	case v == 0:
		w.initial = t.find(scope)
	case v < t.oldest:
		return w, apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", v, t.oldest))
	default:
		i, _ := slices.BinarySearchFunc(t.events, v+1, func(e event, v uint64) int {
			return int(int64(e.new.version) - int64(v)) //nolint:gosec // versions are small
		})
		w.next, w.version = t.dropped+uint64(i), v //nolint:gosec // an index
		w.notify()
	}
	t.watchers[w] = struct{}{}
	return w, nil
}

func (s *Server) unsubscribe(t *table, w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(t.watchers, w)
}

// told is an event as one watch sees it.
type told struct {
	kind   watch.EventType
	object *Object
}

// since collects the next events for a watch. more: there are others left. ok is false if the watch has to end.
func (s *Server) since(t *table, w *watcher, into []told) (events []told, more, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.next < t.dropped || t.retired {
		return nil, false, false
	}
	from := int(w.next - t.dropped) //nolint:gosec // an index
	to := min(from+batch, len(t.events))
	for _, e := range t.events[from:to] {
		if w.scope.export != nil && !slices.Contains(e.through, w.scope.export) {
			continue
		}
		was := e.old != nil && w.scope.matches(e.old)
		is := e.kind != watch.Deleted && w.scope.matches(e.new)
		switch {
		case was && is:
			into = append(into, told{watch.Modified, e.new})
		case is:
			into = append(into, told{watch.Added, e.new})
		case was && e.kind == watch.Deleted:
			into = append(into, told{watch.Deleted, e.new})
		case was: // it left the scope
			last := e.old.clone()
			last.Meta.ResourceVersion, last.version = e.new.Meta.ResourceVersion, e.new.version
			into = append(into, told{watch.Deleted, last})
		}
	}
	w.next = t.dropped + uint64(to) //nolint:gosec // an index
	if w.version = s.version; to < len(t.events) {
		w.version = t.events[to-1].new.version
	}
	return into, to < len(t.events), true
}

// feed writes one watch's stream.
type feed struct {
	*exchange

	table     *table
	watcher   *watcher
	bookmarks bool
	trip      trip
	buffer    []byte
	last      uint64 // resourceVersion of the last event that was sent
}

// run streams until the client goes, the time is over, or a fault ends it.
func (f *feed) run(lifetime time.Duration, streaming bool) error {
	f.trip.start()
	defer f.trip.stop()
	if err := f.open(streaming); err != nil || f.trip.over {
		return err
	}
	end := time.NewTimer(lifetime)
	defer end.Stop()
	bookmark := time.NewTicker(f.s.options.BookmarkEach)
	defer bookmark.Stop()
	var events []told
	for {
		select {
		case <-f.watcher.wake:
			for more, ok := true, true; more; {
				if events, more, ok = f.s.since(f.table, f.watcher, events[:0]); !ok {
					return f.flush()
				}
				for _, e := range events {
					if f.event(e); f.trip.over {
						return f.flush()
					}
				}
				if err := f.flush(); err != nil {
					return err
				}
			}
		case <-bookmark.C:
			if f.bookmarks && f.trip.tripped != Silence {
				f.bookmark(false)
				if err := f.flush(); err != nil {
					return err
				}
			}
		case <-f.trip.timer():
			f.trip.fire(f)
		case <-f.trip.fault.When:
			f.trip.fault.When = nil
			f.trip.fire(f)
		case <-end.C:
			return nil
		case <-f.r.Context().Done():
			return nil
		case <-f.s.closing:
			return nil
		}
		if f.trip.over {
			return f.flush()
		}
	}
}

// open sends the state to begin with.
func (f *feed) open(streaming bool) error {
	f.last = f.watcher.version
	if f.trip.count(f); f.trip.over {
		return f.flush()
	}
	for _, o := range f.watcher.initial {
		f.event(told{watch.Added, o})
		if f.trip.over {
			return f.flush()
		}
		if len(f.buffer) >= 64<<10 {
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
	f.watcher.initial = nil
	f.last = f.watcher.version
	if streaming && f.bookmarks && f.trip.tripped != Silence {
		f.bookmark(true)
	}
	return f.flush()
}

func (f *feed) event(e told) {
	if f.trip.tripped != Healthy {
		return
	}
	f.last = e.object.version
	f.buffer = append(f.buffer, `{"type":"`...)
	f.buffer = append(f.buffer, e.kind...)
	f.buffer = append(f.buffer, `","object":`...)
	f.buffer = e.object.appendJSON(f.buffer, true)
	f.buffer = append(f.buffer, "}\n"...)
	f.trip.events++
	f.trip.count(f)
}

func (f *feed) bookmark(initialEnd bool) {
	version := f.last
	if f.trip.tripped == Healthy {
		version = max(version, f.watcher.version)
	}
	f.buffer = append(f.buffer, `{"type":"BOOKMARK","object":{`...)
	f.buffer = append(f.buffer, f.table.kind...)
	f.buffer = append(f.buffer, `"metadata":{"resourceVersion":"`...)
	f.buffer = strconv.AppendUint(f.buffer, version, 10)
	f.buffer = append(f.buffer, '"')
	if initialEnd {
		f.buffer = append(f.buffer, `,"annotations":{"`+metav1.InitialEventsAnnotationKey+`":"true"}`...)
	}
	f.buffer = append(f.buffer, "}}}\n"...)
}

// error says why there will be no more events.
func (f *feed) error(err error) {
	status, ok := err.(apierrors.APIStatus) //nolint:errorlint // our own, not wrapped
	if !ok {
		status = apierrors.NewInternalError(err)
	}
	s := status.Status()
	s.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	f.buffer = fmt.Appendf(f.buffer, `{"type":"ERROR","object":%s}`+"\n", encode(s))
}

// flush sends what was written. The head goes out even before there is anything.
func (f *feed) flush() error {
	if len(f.buffer) > 0 {
		if err := f.send(f.buffer); err != nil {
			return err
		}
		f.buffer = f.buffer[:0]
	}
	return http.NewResponseController(f.w).Flush()
}

// trip makes a watch fail at its moment.
type trip struct {
	fault   WatchFault
	tripped WatchFaultKind
	over    bool // the stream has to end
	events  int
	within  *time.Timer
}

func (t *trip) start() {
	if t.fault.Kind != Healthy && t.fault.Within > 0 {
		t.within = time.NewTimer(t.fault.Within)
	}
}

func (t *trip) stop() {
	if t.within != nil {
		t.within.Stop()
	}
}

func (t *trip) timer() <-chan time.Time {
	if t.within == nil {
		return nil
	}
	return t.within.C
}

// count fires if as many events have been sent as were to be.
func (t *trip) count(f *feed) {
	byCount := t.fault.After > 0 || t.fault.Within == 0 && t.fault.When == nil
	if t.tripped == Healthy && byCount && t.events >= t.fault.After {
		t.fire(f)
	}
}

func (t *trip) fire(f *feed) {
	if t.fault.Kind == Healthy || t.tripped != Healthy {
		return
	}
	t.tripped = t.fault.Kind
	switch t.tripped {
	case Reset:
		f.buffer = append(f.buffer, `{"type":"MODIFIED","obj`...)
		_ = f.flush() // the client may be gone already
		f.abort(reset())
	case Finish:
		t.over = true
	case Expire:
		f.error(apierrors.NewResourceExpired("too old resource version"))
		t.over = true
	case Healthy, Silence, OnlyBookmarks:
	}
}
