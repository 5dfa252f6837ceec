package actors

import (
	"context"
	"maps"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// WriterOptions bound the writes. Within these bounds the writer measures how many calls at a time an API server sustains.
type WriterOptions struct {
	QPS         float64 // PATCH calls per second at most; 0: no cap
	Burst       int     // calls that may go at once beyond QPS; 0: as Concurrency
	Concurrency int     // calls in flight at most; 0: 16
}

// WriterConfig is the configuration of the writer.
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
	hostMemory   = 2 * time.Minute // after a pause; then the next one is the first again
)

// writer sends the latest decision on each object, one call in flight per object, within the token bucket and the slots.
type writer struct {
	WriterConfig
	limiter  *rate.Limiter
	queue    *patch.Queue[Write]
	inFlight map[patch.Key]*Write // to be sent if the call writes nothing: the same, a newer one, or nil: it was cancelled
	alive    map[string]uint64    // the incarnation of each bucket, by its id
	slots    *patch.Slots
	workers  int       // goroutines that take from calls
	calls    chan call // to be made by the workers
	hosts    map[string]*host
	wake     *time.Timer
	once     *once
	drained  *actor.PID // asked for Drained; nil: none did
	stop     context.CancelFunc
	ctx      context.Context // ends all calls
}

// host is a server that asked for a pause, or is unreachable.
type host struct {
	until  time.Time
	pause  time.Duration
	fenced bool // the pause is for the right to write, not for the server
}

// woken is the writer's timer; of an instance before a restart it is ignored.
type woken struct{ of *writer }

// WriterStarted reports to the parent that a writer is new: the queued writes of the one before are lost.
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
	w := &writer{
		WriterConfig: c,
		limiter:      rate.NewLimiter(limit, c.Burst),
		inFlight:     map[patch.Key]*Write{},
		alive:        map[string]uint64{},
		slots:        patch.NewSlots(c.Concurrency),
		calls:        make(chan call, c.Concurrency),
		hosts:        map[string]*host{},
		once:         newOnce(),
		ctx:          ctx,
		stop:         stop,
	}
	w.queue = patch.NewQueue[Write](w)
	return w
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
		if m.of == w {
			w.wake = nil
			w.pump(ctx)
		}
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

// put queues the latest decision on an object. While a call for the object is in flight, it waits for the answer.
func (w *writer) put(m Write) {
	key := keyOf(m)
	w.alive[m.From.Id] = max(w.alive[m.From.Id], m.Token.Incarnation()) // a writer that restarted learns it again
	if next, under := w.inFlight[key]; under {
		if next != nil {
			m.Lane = max(m.Lane, next.Lane)
		}
		w.inFlight[key] = &m
		return
	}
	if w.queue.Put(key, m.Lane, m.Cause, m, time.Now()) {
		w.Metrics.Coalesced.WithLabelValues(ref.ResourceString(m.Resource), "writer").Inc()
	}
}

// cancel drops the queued write of an object, and does not repeat one in flight.
func (w *writer) cancel(key patch.Key) {
	if _, under := w.inFlight[key]; under {
		w.inFlight[key] = nil
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

// isAlive reports whether the bucket that asked for a write is still the same incarnation.
func (w *writer) isAlive(m Write) bool { return w.alive[m.From.Id] == m.Token.Incarnation() }

// pump sends the writes that may be sent now, and sets the timer for the others.
func (w *writer) pump(ctx actor.Context) {
	now := time.Now()
	if w.drained != nil && !w.mayWrite() {
		w.queue.Reset() // the daemon with the right to write decides and writes the same
	}
	for !w.slots.Full() && w.queue.Len() > 0 {
		if wait := w.tokenIn(now); wait > 0 {
			w.wakeIn(ctx, wait)
			break
		}
		m, ok := w.queue.Next(now)
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

// mayWrite reports whether there is the right to write now.
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

// Group is the group of a workspace in the queue; it moves with its host and with the time that its calls take.
func (w *writer) Group(in ref.Workspace, now time.Time) patch.Group {
	return patch.Group{Host: w.Upstream.Host(ref.Upstream{Workspace: in}), Slow: w.slots.Slow(in, now)}
}

// Open reports whether any write of a group may be sent.
func (w *writer) Open(g patch.Group, now time.Time) bool {
	h := w.hosts[g.Host]
	return (h == nil || !now.Before(h.until)) && w.slots.Open(g, now)
}

// Free reports whether a write of a workspace of an open group may be sent.
func (w *writer) Free(g patch.Group, in ref.Workspace) bool { return w.slots.Free(g, in) }

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
	w.wake = time.AfterFunc(d, func() { root.Send(self, woken{w}) })
}
