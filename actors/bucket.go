package actors

import (
	"context"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// answered brings the outcome of a read; an instance before a restart asked for another State.
type answered struct {
	of    *bucket
	event reconcile.Event
}

// getTimeout bounds a read of an upstream object, and the question how a scope serves the resource.
const getTimeout = 10 * time.Second

// bucket is the shell of a reconcile.State: a message becomes a Step, and its effects are performed.
type bucket struct {
	AggregatorConfig
	index       int
	incarnation uint64
	resource    string
	state       *reconcile.State
	log         *logOnce
	clock       clock
	timer       *time.Timer
	counters    [reconcile.Parked]prometheus.Counter
	parked      map[string]int // parks by reason, to be taken off the gauge in the end
	longest     time.Duration
	flushing    bool // the aggregator waits for Flushed
	reasons     map[aggregate.Reason]prometheus.Counter
}

func newBucket(c AggregatorConfig, index int) actor.Actor {
	resource := ref.ResourceString(c.Resource)
	b := &bucket{
		AggregatorConfig: c, index: index, incarnation: c.Epochs.Add(1), resource: resource, log: newLogOnce(c.Log), clock: newClock(),
		parked: map[string]int{}, reasons: map[aggregate.Reason]prometheus.Counter{},
	}
	b.counters = [reconcile.Parked]prometheus.Counter{
		reconcile.Contributions:   c.Metrics.Contributions.WithLabelValues(resource),
		reconcile.SuppressedEarly: c.Metrics.Suppressed.WithLabelValues(resource, "aggregator"),
		reconcile.Unchanged:       c.Metrics.Suppressed.WithLabelValues(resource, "unchanged"),
		reconcile.Coalesced:       c.Metrics.Coalesced.WithLabelValues(resource, "aggregator"),
		reconcile.RuleFailures:    c.Metrics.RuleFailures.WithLabelValues(resource),
		reconcile.Contested:       c.Metrics.Contested.WithLabelValues(resource),
		reconcile.Conflicts:       c.Metrics.Conflicts.WithLabelValues(resource),
	}
	return b
}

func (b *bucket) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case reconcile.Event:
		if idle := b.step(ctx, m); idle && ctx.Sender() != nil {
			b.unspent(ctx)
		}
	case answered:
		if m.of == b {
			b.step(ctx, m.event)
		}
	case *actor.Started:
		b.begin(ctx)
	case Flush:
		b.flushing = true
		b.step(ctx, reconcile.Flush{})
	case Explain:
		ctx.Respond(b.state.Explain(b.clock.now(), m.Upstream))
	case *actor.Restarting, *actor.Stopping:
		b.end()
	}
}

// unspent answers an isolated report, unless its copy has gone meanwhile.
func (b *bucket) unspent(ctx actor.Context) {
	if _, alive := ctx.ActorSystem().ProcessRegistry.GetLocal(ctx.Sender().Id); alive {
		ctx.Send(ctx.Sender(), Unspent{})
	}
}

func (b *bucket) begin(ctx actor.Context) {
	b.state = reconcile.New(reconcile.Config{
		Policy: b.Policies.For(b.Resource), Quiet: b.Quiet, Deadline: b.Deadline, Incarnation: b.incarnation,
	})
	ctx.Send(b.Writer, Incarnation{From: ctx.Self(), Number: b.incarnation})
	b.report(ctx, bucketStarted{})
}

func (b *bucket) report(ctx actor.Context, fact any) {
	ctx.Send(ctx.Parent(), bucketReport{bucket: b.index, incarnation: b.incarnation, fact: fact})
}

func (b *bucket) end() {
	if b.timer != nil {
		b.timer.Stop()
	}
	for reason, n := range b.parked {
		b.Metrics.Parked.WithLabelValues(reason).Sub(float64(n))
	}
}

// step takes an event and performs its effects. idle reports whether it led to a decision that is published already.
func (b *bucket) step(ctx actor.Context, e reconcile.Event) (idle bool) {
	now := b.clock.now()
	for _, effect := range b.state.Step(now, e) {
		if c, is := effect.(reconcile.Count); is && c.What == reconcile.Unchanged {
			idle = true
		}
		b.perform(ctx, effect)
	}
	if b.flushing && !b.state.Busy() {
		b.flushing = false
		b.report(ctx, Flushed{b.Resource})
	}
	if took := b.clock.now().Sub(now); took > b.longest {
		b.longest = took
		b.Metrics.LongestTurn.WithLabelValues(b.resource).Set(took.Seconds())
	}
	return idle
}

func (b *bucket) perform(ctx actor.Context, effect reconcile.Effect) {
	switch e := effect.(type) {
	case reconcile.Count:
		b.countEvent(e)
	case reconcile.Decided:
		b.reason(e.Reason).Inc()
	case reconcile.Write:
		ctx.Send(b.Writer, Write{Write: e, Resource: b.Resource, From: ctx.Self()})
	case reconcile.Cancel:
		ctx.Send(b.Writer, Cancel{Cancel: e, Resource: b.Resource})
	case reconcile.Published:
		b.published(ctx, e)
	case reconcile.Wake:
		b.wake(ctx, e)
	case reconcile.Continue:
		ctx.Send(ctx.Self(), e)
	case reconcile.Log:
		b.log.write(e)
	case reconcile.Fetch:
		b.fetch(ctx, e)
	case reconcile.Describe:
		b.describe(ctx, e)
	case reconcile.ScopeReady, reconcile.Tallied:
		b.report(ctx, e)
	}
}

func (b *bucket) countEvent(e reconcile.Count) {
	switch e.What {
	case reconcile.Rejected:
		b.Metrics.Rejected.WithLabelValues(e.Label).Add(float64(e.Delta))
	case reconcile.Parked:
		b.parked[e.Label] += e.Delta
		b.Metrics.Parked.WithLabelValues(e.Label).Add(float64(e.Delta))
	default:
		b.counters[e.What].Add(float64(e.Delta))
	}
}

func (b *bucket) reason(r aggregate.Reason) prometheus.Counter {
	c := b.reasons[r]
	if c == nil {
		c = b.Metrics.Decisions.WithLabelValues(b.resource, string(r))
		b.reasons[r] = c
	}
	return c
}

// published informs the metrics, and the subscribers of the event stream.
func (b *bucket) published(ctx actor.Context, e reconcile.Published) {
	if e.Latency > 0 {
		b.Metrics.Propagation.WithLabelValues(b.resource).Observe(e.Latency.Seconds())
	}
	ctx.ActorSystem().EventStream.Publish(Published{
		Resource: b.Resource, Upstream: e.Upstream, Status: e.Status, Reason: e.Reason, Latency: e.Latency,
	})
}

// wake moves the one timer. A TimePassed of an earlier time does no harm.
func (b *bucket) wake(ctx actor.Context, e reconcile.Wake) {
	if e.At.IsZero() {
		b.timer.Stop()
		return
	}
	d := e.At.Sub(b.clock.now())
	if b.timer != nil {
		b.timer.Reset(d)
		return
	}
	self, root := ctx.Self(), ctx.ActorSystem().Root
	b.timer = time.AfterFunc(d, func() { root.Send(self, reconcile.TimePassed{}) })
}

func (b *bucket) fetch(ctx actor.Context, e reconcile.Fetch) {
	upstream, resource := b.Upstream, b.Resource
	b.aside(ctx, func(limited context.Context) reconcile.Event {
		m := reconcile.Fetched{Upstream: e.Upstream, Token: e.Token}
		if m.Object, m.Err = upstream.Get(limited, resource, e.Upstream, *e.Want); m.Err == nil {
			m.Err = isObject(m.Object, e.Upstream)
		} else {
			m.Gone = classify(m.Err) == reconcile.Gone
		}
		return m
	}, func(err error) reconcile.Event {
		return reconcile.Fetched{Upstream: e.Upstream, Token: e.Token, Err: err}
	})
}

// describe asks the API server how it serves the resource in a scope.
func (b *bucket) describe(ctx actor.Context, e reconcile.Describe) {
	upstream, resource := b.Upstream, b.Resource
	b.aside(ctx, func(limited context.Context) reconcile.Event {
		m := reconcile.ScopeDescribed{Scope: e.Scope}
		m.Description, m.Err = upstream.Describe(limited, resource, e.Scope, e.Workspace)
		return m
	}, func(err error) reconcile.Event { return reconcile.ScopeDescribed{Scope: e.Scope, Err: err} })
}

// aside makes a call in a goroutine, and sends its outcome, or a panic as its error, to this incarnation of the bucket.
func (b *bucket) aside(ctx actor.Context, call func(context.Context) reconcile.Event, failed func(error) reconcile.Event) {
	self, root := ctx.Self(), ctx.ActorSystem().Root
	go func() {
		var outcome reconcile.Event
		defer func() {
			if r := recover(); r != nil {
				outcome = failed(fmt.Errorf("panic: %v", r))
			}
			root.Send(self, answered{b, outcome})
		}()
		limited, cancel := context.WithTimeout(context.Background(), getTimeout)
		defer cancel()
		outcome = call(limited)
	}()
}

// clock never goes back, also when the system's clock is set: all its times are one reading of that clock and the time since.
type clock struct{ start time.Time }

func newClock() clock { return clock{time.Now()} }

func (c clock) now() time.Time { return c.start.Add(time.Since(c.start)) }

// logOnce writes log lines of which repetitions are debug output.
type logOnce struct {
	log  zerolog.Logger
	once *once
}

func newLogOnce(log zerolog.Logger) *logOnce { return &logOnce{log, newOnce()} }

func (l *logOnce) write(e reconcile.Log) {
	level := zerolog.WarnLevel
	switch {
	case e.Info:
		level = zerolog.InfoLevel
	case e.Once != "":
		level = l.once.level(e.Once)
	}
	line := l.log.WithLevel(level)
	for i := 0; i+1 < len(e.Fields); i += 2 {
		key := e.Fields[i].(string)
		switch v := e.Fields[i+1].(type) {
		case error:
			line = line.AnErr(key, v)
		case fmt.Stringer:
			line = line.Stringer(key, v)
		default:
			line = line.Interface(key, v)
		}
	}
	line.Msg(e.Message)
}
