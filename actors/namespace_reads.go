package actors

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/internal/ref"
)

const (
	readTimeout   = 30 * time.Second // of the read of one Namespace
	maxReads      = 2                // under way at a time, for one resource of one SyncTarget
	maxWaiting    = 64               // beyond, one relist costs less
	maxTombstones = 4096             // of one read; beyond, it is repeated
	minReadPause  = time.Second      // after a failed read
	maxReadPause  = 30 * time.Second
)

// namespaceReads are the reads of single Namespaces, beside the watch: objects there belong elsewhere than before. A read that fails is
// retried after a pause of its own; it neither delays the others nor reopens the watch.
type namespaceReads struct {
	active  map[string]*activeRead
	waiting []waitingRead
	timer   *time.Timer // for the first retry; nil: none is due
	ctx     context.Context
	cancel  context.CancelFunc
}

// activeRead is a read that is under way.
type activeRead struct {
	pause      time.Duration             // after its last failure; 0: it did not fail yet
	tombstones map[ref.Downstream]string // resourceVersions of objects that were deleted meanwhile
	again      bool                      // its result is incomplete: repeat it
}

// waitingRead is a read that is to be done.
type waitingRead struct {
	namespace string
	due       time.Time     // after a failure; zero: at once
	pause     time.Duration // likewise
}

// readDone answers a read.
type readDone struct {
	of        *watchActor // an instance before a restart asked for another inventory
	namespace string
	objects   []*ref.Object
	err       error
	lists     int // of the watch when the read began
	started   time.Time
}

// readAgain is due for a retry.
type readAgain struct{ of *watchActor }

func newNamespaceReads() namespaceReads {
	ctx, cancel := context.WithCancel(context.Background())
	return namespaceReads{active: map[string]*activeRead{}, ctx: ctx, cancel: cancel}
}

func (r *namespaceReads) isWaiting(namespace string) bool {
	return slices.ContainsFunc(r.waiting, func(w waitingRead) bool { return w.namespace == namespace })
}

// deleted remembers a deletion, so that a read that began earlier does not bring the object back.
func (r *namespaceReads) deleted(source ref.Downstream, version string) {
	read := r.active[source.Namespace]
	if read == nil {
		return
	}
	if len(read.tombstones) >= maxTombstones {
		read.again = true
		return
	}
	if read.tombstones == nil {
		read.tombstones = map[ref.Downstream]string{}
	}
	read.tombstones[source] = version
}

// forget drops the waiting read of a Namespace that is gone.
func (r *namespaceReads) forget(namespace string) {
	r.waiting = slices.DeleteFunc(r.waiting, func(w waitingRead) bool { return w.namespace == namespace })
}

// supersede drops the waiting reads: a complete list is here, or on its way.
func (r *namespaceReads) supersede() { r.waiting = nil }

// failing reports whether a read that failed has not succeeded since.
func (r *namespaceReads) failing() bool {
	for _, read := range r.active {
		if read.pause > 0 {
			return true
		}
	}
	return slices.ContainsFunc(r.waiting, func(w waitingRead) bool { return w.pause > 0 })
}

// next takes a waiting read that is due, unless its Namespace is being read. Without one, it returns when the first retry is due.
func (r *namespaceReads) next(now time.Time) (read waitingRead, ok bool, retry time.Time) {
	for i, w := range r.waiting {
		switch {
		case r.active[w.namespace] != nil: // its end asks again
		case !w.due.After(now):
			r.waiting = slices.Delete(r.waiting, i, i+1)
			return w, true, time.Time{}
		case retry.IsZero() || w.due.Before(retry):
			retry = w.due
		}
	}
	return waitingRead{}, false, retry
}

func (r *namespaceReads) stop() {
	r.cancel()
	if r.timer != nil {
		r.timer.Stop()
	}
}

// read lists one Namespace ("": cluster-scoped objects) when its turn comes. Many at once become one relist. While a list is on its way,
// that will bring the Namespace.
func (w *watchActor) read(ctx actor.Context, namespace string) {
	if w.opening || w.reads.isWaiting(namespace) {
		return
	}
	if len(w.reads.waiting) >= maxWaiting {
		w.relist(ctx)
		return
	}
	w.reads.waiting = append(w.reads.waiting, waitingRead{namespace: namespace})
	w.readNext(ctx)
}

// readNext begins reads that are due, and sets the timer for the first retry.
func (w *watchActor) readNext(ctx actor.Context) {
	if w.reads.timer != nil {
		w.reads.timer.Stop()
		w.reads.timer = nil
	}
	now := time.Now()
	for len(w.reads.active) < maxReads {
		read, ok, retry := w.reads.next(now)
		if ok {
			w.readNow(ctx, read)
			continue
		}
		if !retry.IsZero() {
			self, root := ctx.Self(), ctx.ActorSystem().Root
			w.reads.timer = time.AfterFunc(retry.Sub(now), func() { root.Send(self, readAgain{w}) })
		}
		break
	}
	if !w.reads.failing() {
		w.health.readsDone(ctx)
	}
}

func (w *watchActor) readNow(ctx actor.Context, read waitingRead) {
	w.reads.active[read.namespace] = &activeRead{pause: read.pause}
	source, resource, want, background := w.Source, w.Resource, w.want, w.reads.ctx
	self, root := ctx.Self(), ctx.ActorSystem().Root
	m := readDone{of: w, namespace: read.namespace, lists: w.lists, started: time.Now()}
	go func() {
		defer func() {
			if r := recover(); r != nil {
				m.err = fmt.Errorf("panic: %v", r)
			}
			root.Send(self, m)
		}()
		limited, cancel := context.WithTimeout(background, readTimeout)
		defer cancel()
		m.objects, m.err = source.List(limited, resource, m.namespace, want)
	}()
}

// readDone takes the result of a read, unless a newer list brings everything.
func (w *watchActor) readDone(ctx actor.Context, m readDone) {
	if m.of != w {
		return
	}
	read := w.reads.active[m.namespace]
	delete(w.reads.active, m.namespace)
	switch {
	case m.lists != w.lists || w.opening:
	case m.err != nil:
		w.retryRead(ctx, m, read.pause)
	default:
		w.takeRead(ctx, m, read)
	}
	w.readNext(ctx)
}

// takeRead takes the objects of a Namespace, but for those that were deleted since the read began.
func (w *watchActor) takeRead(ctx actor.Context, m readDone, read *activeRead) {
	for _, o := range m.objects {
		deleted, ok := read.tombstones[ref.Downstream{Namespace: o.Namespace, Name: o.Name}]
		if read.again && w.objects[ref.Downstream{Namespace: o.Namespace, Name: o.Name}] == nil || ok && !ref.Newer(o.ResourceVersion, deleted) {
			continue
		}
		w.present(ctx, o, m.started, false)
	}
	w.count()
	if read.again && !w.reads.isWaiting(m.namespace) {
		w.reads.waiting = append(w.reads.waiting, waitingRead{namespace: m.namespace})
	}
}

// retryRead tries a read again after a pause that doubles with each failure.
func (w *watchActor) retryRead(ctx actor.Context, m readDone, pause time.Duration) {
	w.health.readFailed(ctx, fmt.Errorf("listing namespace %q: %w", m.namespace, m.err))
	if w.reads.isWaiting(m.namespace) {
		w.reads.forget(m.namespace) // one retry does for both
	}
	pause = min(max(2*pause, minReadPause), maxReadPause)
	w.reads.waiting = append(w.reads.waiting, waitingRead{namespace: m.namespace, due: time.Now().Add(pause), pause: pause})
}

// maxParked bounds the names of parked Namespaces. Beyond, every Namespace that is reported is read.
const maxParked = 4096

// parkedNames are the Namespaces that objects named before they were reported.
type parkedNames struct {
	names    map[string]struct{}
	overflow bool
}

func (p *parkedNames) add(name string) {
	if len(p.names) >= maxParked {
		p.overflow = true
		return
	}
	if p.names == nil {
		p.names = map[string]struct{}{}
	}
	p.names[name] = struct{}{}
}

// take reports whether an object may have named the Namespace, and forgets it.
func (p *parkedNames) take(name string) bool {
	_, ok := p.names[name]
	delete(p.names, name)
	return ok || p.overflow
}
