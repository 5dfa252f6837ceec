package actors

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// WriterOptions bound the writes. Within these bounds the writer finds out how many calls at a time an API server can use.
type WriterOptions struct {
	QPS         float64 // PATCH calls per second at most; 0: no cap
	Burst       int     // calls that may go at once beyond QPS; 0: as Concurrency
	Concurrency int     // calls in flight at most; 0: 16
}

// WriterConfig is what the writer needs.
type WriterConfig struct {
	WriterOptions
	Upstream Upstream
	Fence    ref.Fence // the right to write; nil: always
	Jitter   Jitter    // of pauses
	Metrics  *metrics.Metrics
	Log      zerolog.Logger
}

const (
	minHostPause = time.Second
	maxHostPause = 30 * time.Second
)

// writer sends the latest decision on each object, one call in flight per object, within the token bucket and the slots.
type writer struct {
	WriterConfig
	limiter  *rate.Limiter
	queue    *patch.Queue[Write]
	inFlight map[patch.Key]bool // whether it was taken back meanwhile
	alive    map[string]uint64  // the incarnation of each bucket, by its id
	slots    *patch.Slots
	workers  int       // goroutines that take from calls
	calls    chan call // to be made by the workers
	hosts    map[string]*host
	wake     *time.Timer
	said     *once
	drained  *actor.PID // who asked to be told when nothing is left
	stop     context.CancelFunc
	ctx      context.Context // ends all calls
}

// host is a server that asked for a pause, or can't be reached.
type host struct {
	until  time.Time
	pause  time.Duration
	fenced bool // it is not the server that is waited for, but the right to write
}

// woken is the writer's timer.
type woken struct{}

// WriterStarted tells the parent that a writer is new, and that what waited in the one before is lost.
type WriterStarted struct{}

// NewWriter makes the writer actor.
func NewWriter(c WriterConfig) actor.Actor {
	if c.Concurrency <= 0 {
		c.Concurrency = 16
	}
	if c.Burst <= 0 {
		c.Burst = c.Concurrency
	}
	limit := rate.Inf
	if c.QPS > 0 {
		limit = rate.Limit(c.QPS)
	}
	ctx, stop := context.WithCancel(context.Background())
	return &writer{
		WriterConfig: c,
		limiter:      rate.NewLimiter(limit, c.Burst),
		queue:        patch.NewQueue[Write](),
		inFlight:     map[patch.Key]bool{},
		alive:        map[string]uint64{},
		slots:        patch.NewSlots(c.Concurrency),
		calls:        make(chan call, c.Concurrency),
		hosts:        map[string]*host{},
		said:         newOnce(),
		ctx:          ctx,
		stop:         stop,
	}
}

func (w *writer) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		ctx.Send(ctx.Parent(), WriterStarted{})
	case Write:
		w.put(m)
		w.pump(ctx)
	case Cancel:
		w.cancel(patch.Key{Resource: m.Resource, Upstream: m.Upstream})
	case Incarnation:
		w.incarnation(m)
	case patched:
		w.patched(ctx, m)
		w.pump(ctx)
	case woken:
		w.wake = nil
		w.pump(ctx)
	case MayWrite:
		maps.DeleteFunc(w.hosts, func(_ string, h *host) bool { return h.fenced })
		w.pump(ctx)
	case Drain:
		w.drained = ctx.Sender()
		w.pump(ctx)
	case *actor.Restarting, *actor.Stopping:
		w.stop()
		if w.wake != nil {
			w.wake.Stop()
		}
	}
}

func keyOf(m Write) patch.Key {
	return patch.Key{Resource: m.Resource, Upstream: m.Upstream}
}

// put queues the latest decision on an object.
func (w *writer) put(m Write) {
	key := keyOf(m)
	w.alive[m.From.Id] = max(w.alive[m.From.Id], m.Token.Incarnation()) // a writer that restarted learns it again
	if _, under := w.inFlight[key]; under {
		w.inFlight[key] = false
	}
	if w.queue.Put(key, m.Lane, m.Cause, m, time.Now()) {
		w.Metrics.Coalesced.WithLabelValues(ref.ResourceString(m.Resource), "writer").Inc()
	}
}

// cancel takes back the write of an object.
func (w *writer) cancel(key patch.Key) {
	if _, under := w.inFlight[key]; under {
		w.inFlight[key] = true
	}
	w.queue.Remove(key)
}

// incarnation drops the queued writes of the predecessors of a bucket.
func (w *writer) incarnation(m Incarnation) {
	if w.alive[m.From.Id] = m.Number; m.Number == 0 {
		delete(w.alive, m.From.Id)
	}
	w.queue.RemoveFunc(func(q Write) bool { return q.From.Id == m.From.Id && !w.isAlive(q) })
}

// isAlive reports whether the bucket that asked for a write still waits for its answer.
func (w *writer) isAlive(m Write) bool { return w.alive[m.From.Id] == m.Token.Incarnation() }

// pump sends what may be sent now, and arms the timer for what may be sent later.
func (w *writer) pump(ctx actor.Context) {
	now := time.Now()
	if w.drained != nil && !w.mayWrite() {
		w.queue = patch.NewQueue[Write]() // whoever has the right decides on the same, and writes it
	}
	for !w.slots.Full() && w.queue.Len() > 0 {
		if wait := w.tokenIn(now); wait > 0 {
			w.wakeIn(ctx, wait)
			break
		}
		m, ok := w.queue.Next(now, func(k patch.Key) bool { return w.allowed(k, now) })
		if !ok {
			w.wakeForHosts(ctx, now)
			break
		}
		w.limiter.AllowN(now, 1)
		w.send(ctx, m, now)
	}
	w.Metrics.QueueDepth.Set(float64(w.queue.Len()))
	w.Metrics.InFlight.Set(float64(w.slots.InFlight()))
	w.Metrics.Slots.Set(float64(w.slots.Limit()))
	if w.drained != nil && w.queue.Len() == 0 && w.slots.InFlight() == 0 {
		ctx.Send(w.drained, Drained{})
		w.drained = nil
	}
}

// mayWrite tells whether there is the right to write now.
func (w *writer) mayWrite() bool {
	if w.Fence == nil {
		return true
	}
	_, cancel, ok := w.Fence(w.ctx)
	cancel()
	return ok
}

// tokenIn is how long the bucket takes to hold a token.
func (w *writer) tokenIn(now time.Time) time.Duration {
	if w.limiter.Limit() == rate.Inf {
		return 0
	}
	missing := 1 - w.limiter.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing/float64(w.limiter.Limit())*float64(time.Second)) + time.Millisecond
}

// allowed says whether a write may leave, or if k names a workspace only, any of its writes.
func (w *writer) allowed(k patch.Key, now time.Time) bool {
	if k.Upstream.Name != "" {
		_, busy := w.inFlight[k]
		return !busy
	}
	name := w.Upstream.Host(k.Upstream)
	if h := w.hosts[name]; h != nil && now.Before(h.until) {
		return false
	}
	return w.slots.Free(name, k.Upstream.Workspace, now)
}

func (w *writer) wakeForHosts(ctx actor.Context, now time.Time) {
	var next time.Duration
	for _, h := range w.hosts {
		if wait := h.until.Sub(now); wait > 0 && (next == 0 || wait < next) {
			next = wait
		}
	}
	if next > 0 {
		w.wakeIn(ctx, next)
	}
}

func (w *writer) wakeIn(ctx actor.Context, d time.Duration) {
	if w.wake != nil {
		w.wake.Stop()
	}
	self, root := ctx.Self(), ctx.ActorSystem().Root
	w.wake = time.AfterFunc(d, func() { root.Send(self, woken{}) })
}

// send has a worker call the API server. There are as many workers as calls were ever under way at a time: their stacks have grown
// to what a call needs.
func (w *writer) send(ctx actor.Context, m Write, now time.Time) {
	c := call{write: m, host: w.Upstream.Host(m.Upstream), began: now}
	w.inFlight[keyOf(m)] = false
	w.slots.Begin(c.host, m.Upstream.Workspace, now)
	if !m.Received.IsZero() {
		w.Metrics.Added.Observe(now.Sub(m.Received).Seconds())
	}
	if w.workers < w.slots.InFlight() {
		w.workers++
		self, root := ctx.Self(), ctx.ActorSystem().Root
		go w.work(w.ctx, func(p patched) { root.Send(self, p) })
	}
	w.calls <- c // has room for all that are under way
}

// work makes calls until ctx ends.
func (w *writer) work(ctx context.Context, ended func(patched)) {
	for {
		select {
		case c := <-w.calls:
			ended(w.call(ctx, c))
		case <-ctx.Done():
			return
		}
	}
}

// call makes one. The right to write is checked right before, and bounds the call.
func (w *writer) call(ctx context.Context, c call) (p patched) {
	p.call = c
	defer func() {
		if r := recover(); r != nil {
			p.err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	if w.Fence != nil {
		bounded, cancel, ok := w.Fence(ctx)
		defer cancel()
		if p.fenced = !ok; p.fenced {
			return p
		}
		ctx = bounded
	}
	m := c.write
	if p.object, p.err = w.Upstream.Patch(ctx, ref.Patch{Resource: m.Resource, Upstream: m.Upstream, Body: m.Body}, *m.Want); p.err == nil {
		p.err = isObject(p.object, m.Upstream)
	}
	return p
}

// isObject tells whether an answer of success holds what was asked for. What stands between us and the API server may answer with
// anything: nothing can be learned from that, least of all what became of a write.
func isObject(o *ref.Object, u ref.Upstream) error {
	switch {
	case o == nil:
		return errors.New("the answer holds no object")
	case o.Err != nil:
		return fmt.Errorf("the answer can't be read: %w", o.Err)
	case o.Name != u.Name || o.Namespace != u.Namespace || o.ResourceVersion == "":
		return fmt.Errorf("the answer is not the object: it names %q in %q", o.Name, o.Namespace)
	}
	return nil
}

// patched handles an answer. What still waits for the same object was decided on an older version and is dropped: the
// aggregator decides again with the answer in hand.
func (w *writer) patched(ctx actor.Context, m patched) {
	key := keyOf(m.write)
	takenBack := w.inFlight[key]
	delete(w.inFlight, key)
	class := reconcile.Refusal("")
	if m.err != nil {
		class = classify(m.err)
	}
	if m.fenced {
		class = reconcile.Fenced
	}
	w.slots.End(m.host, key.Upstream.Workspace, m.began, time.Now(), ending(class))
	w.Metrics.Patches.WithLabelValues(ref.ResourceString(key.Resource), result(m, class)).Inc()
	switch class {
	case "":
		if h := w.hosts[m.host]; h != nil && !time.Now().Before(h.until) {
			delete(w.hosts, m.host)
			w.said.forget("pause/" + m.host)
		}
		w.dropOlder(key, m.write)
		ctx.Send(m.write.From, reconcile.Acknowledged{Upstream: key.Upstream, Token: m.write.Token, Object: m.object})
	case reconcile.Busy, reconcile.Unauthorized, reconcile.Unreachable, reconcile.Fenced:
		w.pause(m.host, class, m.err)
		if !takenBack && w.isAlive(m.write) && !w.queue.Has(key) { // the latest stays; it was not written, so its version still holds
			w.queue.Put(key, m.write.Lane, m.write.Cause, m.write, time.Now())
		}
	default:
		w.dropOlder(key, m.write)
		w.Log.WithLevel(w.said.level(string(class))).Str("upstream", key.Upstream.String()).
			Str("resource", ref.ResourceString(key.Resource)).Str("reason", string(class)).Err(m.err).Msg("status patch refused")
		ctx.Send(m.write.From, reconcile.Refused{Upstream: key.Upstream, Token: m.write.Token, Class: class, Err: m.err})
	}
}

// dropOlder drops the queued write of an object that was answered: it was decided on an older version, and the bucket decides again with the
// answer in hand. A bucket that has restarted since does not get this answer, so its queued write stays.
func (w *writer) dropOlder(key patch.Key, answered Write) {
	if w.isAlive(answered) {
		w.queue.Remove(key)
	}
}

// ending is what an answer says about the load that the server can take.
func ending(class reconcile.Refusal) patch.Ending {
	switch class {
	case reconcile.Busy:
		return patch.Overloaded
	case reconcile.OutcomeUnknown, reconcile.Unauthorized, reconcile.Unreachable, reconcile.Fenced:
		return patch.Unanswered
	}
	return patch.Answered
}

// result is the label of the patches metric.
func result(m patched, class reconcile.Refusal) string {
	switch {
	case class != "":
		return string(class)
	case m.object.ResourceVersion == m.write.Version:
		return "unchanged"
	}
	return "written"
}

// pause keeps from a host for as long as it asks, else for longer each time.
func (w *writer) pause(name string, class reconcile.Refusal, err error) {
	h := w.hosts[name]
	if h == nil {
		h = &host{}
		w.hosts[name] = h
	}
	now := time.Now()
	if now.Before(h.until) {
		return
	}
	h.pause = min(max(2*h.pause, minHostPause), maxHostPause)
	d := h.pause/2 + jittered(w.Jitter, h.pause/2)
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok && seconds > 0 {
		d = min(time.Duration(seconds)*time.Second, maxHostPause)
	}
	h.until = now.Add(d)
	if h.fenced = class == reconcile.Fenced; h.fenced {
		return // who stands by says so once, not for each host
	}
	w.Log.WithLevel(w.said.level("pause/"+name)).Str("host", name).Str("reason", string(class)).Dur("pause", d).Err(err).
		Msg("the API server is not written to for a while; what waits is kept")
}
