package memapi

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
)

// watcher is one open watch.
type watcher struct {
	scope   scope
	wake    chan struct{} // holds a token when there may be events
	next    uint64        // number of the next event to examine
	version uint64        // all events up to here were examined
	initial []*Object     // to send first, as ADDED
	ended   bool          // the kind is no longer served
}

func (w *watcher) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// batch is how many events are examined under one hold of the lock.
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

// streaming reports whether the client wants the initial state as events, with a bookmark at its end.
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

// subscribe registers a watch. An error beside a watcher goes into the stream, as real servers send "too old resource version".
func (s *Server) subscribe(t *table, scope scope, from string, streaming bool) (*watcher, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := unsigned(from)
	if err != nil {
		return nil, err
	}
	if t.retired || t.withheld {
		return nil, errUnknownPath
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

// watchEvent is an event as one watch sends it.
type watchEvent struct {
	kind   watch.EventType
	object *Object
}

// appendEvent adds an event as a watch of the scope sends it, if it concerns the scope.
func (s scope) appendEvent(into []watchEvent, e event) []watchEvent {
	was := e.old != nil && s.matches(e.old)
	is := e.kind != watch.Deleted && s.matches(e.new)
	switch {
	case was && is:
		return append(into, watchEvent{watch.Modified, e.new})
	case is:
		return append(into, watchEvent{watch.Added, e.new})
	case was && e.kind == watch.Deleted:
		return append(into, watchEvent{watch.Deleted, e.new})
	case was: // it left the scope
		last := e.old.clone()
		last.Meta.ResourceVersion, last.version = e.new.Meta.ResourceVersion, e.new.version
		return append(into, watchEvent{watch.Deleted, last})
	}
	return into
}

// since collects the next events for a watch. more: there are others left. ok is false if the watch has to end.
func (s *Server) since(t *table, w *watcher, into []watchEvent) (events []watchEvent, more, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.next < t.dropped || t.retired || w.ended {
		return nil, false, false
	}
	from := int(w.next - t.dropped) //nolint:gosec // an index
	to := min(from+batch, len(t.events))
	for _, e := range t.events[from:to] {
		if w.scope.export != nil && !slices.Contains(e.through, w.scope.export) {
			continue
		}
		into = w.scope.appendEvent(into, e)
	}
	w.next = t.dropped + uint64(to)
	if w.version = s.version; to < len(t.events) {
		w.version = t.events[to-1].new.version
	}
	return into, to < len(t.events), true
}
