package sim

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// restarting has an aggregator or the writer of a daemon fail between two of its messages.
type restarting struct {
	mu      sync.Mutex
	watches map[ref.Resource]func() // end the upstream watch of an aggregator by a panic
	writer  atomic.Bool             // the writer panics at the end of its next message
}

// victim is the actor that fails.
type victim int

const (
	noActor victim = iota
	aggregatorActor
	writerActor
)

// restartFaults have actors fail at any event or call of a daemon. Their share is small: each costs a list of everything.
var restartFaults = []fault{
	{"panic of the aggregator between two messages", anywhere, 0.04, all, func(d draw) harm {
		return harm{fails: aggregatorActor, after: d.also(2).between(0, 3*time.Millisecond)}
	}},
	{"panic of the writer between two messages", anywhere, 0.04, all, func(d draw) harm {
		return harm{fails: writerActor, after: d.also(2).between(0, 3*time.Millisecond)}
	}},
}

// slowWrites has answers arrive after the actor that waited for them was restarted, and decided again.
var slowWrites = fault{"slow answer to a write", atUpstream, 0.6, patches, func(d draw) harm {
	return harm{server: memapi.Fault{Hold: d.between(300*time.Millisecond, 6*time.Second)}}
}}

// drawRestarts adds times in which aggregators and writers fail.
func (p *plan) drawRestarts(targets []string) {
	r := p.seed.generator(13)
	if r.IntN(3) > 0 {
		return
	}
	servers := append([]string{"upstream"}, targets...)
	for range 1 + r.IntN(3) {
		from := time.Duration(r.Int64N(int64(p.chaos)))
		if r.IntN(2) == 0 { // at the end, no later change hides a decision that got lost
			from = p.chaos - time.Duration(r.Int64N(int64(30*time.Second)))
		}
		w := window{from, min(from+5*time.Second+time.Duration(r.Int64N(int64(30*time.Second))), p.chaos)}
		f, server := &restartFaults[r.IntN(len(restartFaults))], servers[r.IntN(len(servers))]
		p.episodes = append(p.episodes, episode{window: w, name: f.name + "/" + server + "/" + w.from.String(), fault: f, server: server})
		if r.IntN(2) == 0 {
			p.episodes = append(p.episodes, episode{window: w, name: slowWrites.name + "/" + w.from.String(), fault: &slowWrites, server: "upstream"})
		}
	}
}

// busy has controllers report all the time while actors fail.
func (w *world) busy(p *plan) {
	r := w.seed.generator(16)
	for _, e := range p.episodes {
		if e.fault != &slowWrites {
			continue
		}
		for range 60 {
			at := e.from + time.Duration(r.Int64N(int64(e.to-e.from)))
			o, value := w.objects[r.IntN(len(w.objects))], 1+r.IntN(9)
			w.after(at, func() {
				for _, i := range o.assigned {
					w.report(o, i, value)
				}
			})
		}
	}
}

// fail has an actor fail in a moment. The aggregator is that of a resource, if its upstream watch is open.
func (r *restarting) fail(actor victim, resource ref.Resource, after time.Duration) {
	time.AfterFunc(after, func() {
		if actor == writerActor {
			r.writer.Store(true)
			return
		}
		r.mu.Lock()
		end := r.watches[resource]
		r.mu.Unlock()
		if end != nil {
			end()
		}
	})
}

// watching runs an aggregator's upstream watch, and panics once fail ends it: the aggregator fails on the message that says so.
func (r *restarting) watching(ctx context.Context, resource ref.Resource, run func(context.Context)) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.mu.Lock()
	if r.watches == nil {
		r.watches = map[ref.Resource]func(){}
	}
	r.watches[resource] = func() { cancel(errBug) }
	r.mu.Unlock()
	run(ctx)
	if context.Cause(ctx) == errBug { //nolint:errorlint // our own
		panic(errBug)
	}
}

// failingGauge is a metric that the writer sets at the end of each of its messages.
type failingGauge struct {
	prometheus.Gauge
	restarts *restarting
}

// Set panics if the writer is to fail.
func (g failingGauge) Set(v float64) {
	if g.restarts.writer.CompareAndSwap(true, false) {
		panic(errBug)
	}
	g.Gauge.Set(v)
}

// metrics are the metrics of a daemon with a writer that can be made to fail.
func (r *restarting) metrics() (*metrics.Metrics, error) {
	m, err := metrics.New(nil)
	if err != nil {
		return nil, err
	}
	m.QueueDepth = failingGauge{m.QueueDepth, r}
	return m, nil
}

// resourceOf is the resource of an aggregator, by a draw.
func resourceOf(d draw) ref.Resource { return kinds[d.upTo(len(kinds))].resource }
