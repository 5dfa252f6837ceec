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
	readTimeout  = 30 * time.Second // of the read of one Namespace
	maxReads     = 2                // under way at a time, for one kind of one SyncTarget
	maxWaiting   = 64               // beyond, one relist costs less
	minReadPause = time.Second      // after a failed read
	maxReadPause = 30 * time.Second
)

// namespaceReads are the reads of single Namespaces, aside from the watch: objects there belong elsewhere than before.
type namespaceReads struct {
	active     int
	waiting    []string
	timer      *time.Timer               // after a failure; nil: none is due
	pause      time.Duration             // after the last failure
	tombstones map[ref.Downstream]string // resourceVersions of objects that were deleted during reads
}

// readDone answers a read.
type readDone struct {
	of        *watchActor // another one has taken its place if it failed meanwhile
	namespace string
	objects   []*ref.Object
	err       error
	lists     int // of the watch when the read began
	started   time.Time
}

// readAgain is due after a failed read.
type readAgain struct{}

// deleted remembers a deletion, so that a read that began earlier does not bring the object back.
func (r *namespaceReads) deleted(source ref.Downstream, version string) {
	if r.active == 0 {
		return
	}
	if r.tombstones == nil {
		r.tombstones = map[ref.Downstream]string{}
	}
	r.tombstones[source] = version
}

// forget takes a Namespace that is gone off those that wait.
func (r *namespaceReads) forget(namespace string) {
	if i := slices.Index(r.waiting, namespace); i >= 0 {
		r.waiting = slices.Delete(r.waiting, i, i+1)
	}
}

// supersede drops the reads that wait: a complete list is here.
func (r *namespaceReads) supersede() { r.waiting = nil }

func (r *namespaceReads) stop() {
	if r.timer != nil {
		r.timer.Stop()
	}
}

// read lists one Namespace ("": cluster-scoped objects) when its turn comes. Many at once become one relist.
func (w *watchActor) read(ctx actor.Context, namespace string) {
	if w.inbox == nil || slices.Contains(w.reads.waiting, namespace) {
		return
	}
	if len(w.reads.waiting) >= maxWaiting {
		w.reads.supersede()
		w.relist(ctx)
		return
	}
	w.reads.waiting = append(w.reads.waiting, namespace)
	if w.reads.timer == nil {
		w.readNext(ctx)
	}
}

// readNext begins reads that wait.
func (w *watchActor) readNext(ctx actor.Context) {
	w.reads.timer = nil
	for w.reads.active < maxReads && len(w.reads.waiting) > 0 {
		namespace := w.reads.waiting[0]
		w.reads.waiting = w.reads.waiting[1:]
		w.readNow(ctx, namespace)
	}
}

func (w *watchActor) readNow(ctx actor.Context, namespace string) {
	source, resource, want := w.Source, w.Resource, w.want
	self, root := ctx.Self(), ctx.ActorSystem().Root
	m := readDone{of: w, namespace: namespace, lists: w.lists, started: time.Now()}
	w.reads.active++
	go func() {
		defer func() {
			if r := recover(); r != nil {
				m.err = fmt.Errorf("panic: %v", r)
			}
			root.Send(self, m)
		}()
		limited, cancel := context.WithTimeout(context.Background(), readTimeout)
		defer cancel()
		m.objects, m.err = source.List(limited, resource, namespace, want)
	}()
}

// readDone takes the result of a read, unless a newer list brought everything or an object was deleted meanwhile. A failed read is
// retried, not the watch: that would list everything because one Namespace could not be listed.
func (w *watchActor) readDone(ctx actor.Context, m readDone) {
	if m.of != w {
		return
	}
	w.reads.active--
	switch {
	case m.lists != w.lists:
	case m.err != nil:
		w.retryRead(ctx, m)
	default:
		w.reads.pause = 0
		for _, o := range m.objects {
			if deleted, ok := w.reads.tombstones[ref.Downstream{Namespace: o.Namespace, Name: o.Name}]; ok && !ref.Newer(o.ResourceVersion, deleted) {
				continue
			}
			w.present(ctx, o, m.started, false)
		}
		w.count()
	}
	if w.reads.active == 0 {
		w.reads.tombstones = nil
	}
	if w.reads.timer == nil {
		w.readNext(ctx)
	}
}

func (w *watchActor) retryRead(ctx actor.Context, m readDone) {
	w.health.readFailed(ctx, fmt.Errorf("listing namespace %q: %w", m.namespace, m.err))
	if !slices.Contains(w.reads.waiting, m.namespace) {
		w.reads.waiting = append(w.reads.waiting, m.namespace)
	}
	w.reads.pause = min(max(2*w.reads.pause, minReadPause), maxReadPause)
	if w.reads.timer == nil {
		self, root := ctx.Self(), ctx.ActorSystem().Root
		w.reads.timer = time.AfterFunc(w.reads.pause, func() { root.Send(self, readAgain{}) })
	}
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
