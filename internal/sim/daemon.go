package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/kube/downstream"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/kube/upstream"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/supervisor"
)

// life is one process of a daemon. It ends when it is stopped or killed; the next one inherits nothing.
type life struct {
	name, daemon string
	plan         *plan
	system       *supervisor.System
	elector      *elector
	dead         chan struct{}
	end          context.CancelFunc
	electing     sync.WaitGroup

	restarts    restarting
	discovering *discovering // nil: upstream has no SyncTarget objects

	mu       sync.Mutex
	observed []*observations // by target
	disturbs []time.Time     // when its own code was made to fail
}

// awake waits while the process is frozen; false if it is no more.
func (l *life) awake(d draw) bool {
	for {
		select {
		case <-l.dead:
			return false
		default:
		}
		rest := l.plan.thaws(l.daemon)
		if rest <= 0 {
			return true
		}
		time.Sleep(rest + d.also(99).between(0, 5*time.Millisecond))
	}
}

// observations are those that a life has of a target.
func (l *life) observations(target int) *observations {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.observed[target]
}

// stale notes that a SyncTarget became stale.
func (l *life) stale(w *world, e supervisor.Health) {
	for i, t := range w.targets {
		if t.name == string(e.Target) {
			l.observations(i).becameStale(e.Resource.Resource)
		}
	}
}

// disturb notes that the code of this life was made to fail.
func (l *life) disturb() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.disturbs = append(l.disturbs, time.Now())
}

// disturbed is how far back the knowledge of a life may lag behind its observations: an actor that failed lost them, and observes again.
func (l *life) disturbed(at time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var longest time.Duration
	for _, d := range l.disturbs {
		if ago := at.Sub(d); ago >= 0 && ago < 2*time.Minute {
			longest = max(longest, ago+patience)
		}
	}
	return longest
}

// begin starts a process.
func (n *network) begin(w *world, daemon string, nth int, wildcard bool, l *lease) (*life, error) {
	born := &life{
		name: fmt.Sprintf("%s#%d", daemon, nth), daemon: daemon, plan: n.plan, dead: make(chan struct{}),
	}
	scope := w.workspaces
	if wildcard {
		scope = []string{"*"}
	}
	up, err := upstream.New(n.config(born, "upstream", w.upstream.Config(), nil), upstream.Options{Workspaces: scope, Backoff: backoff})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	born.end = cancel
	born.elector = &elector{lease: l, name: born.name, reach: func() (time.Duration, bool) { return n.toLease(born) }}
	born.electing.Go(func() { born.elector.run(ctx) })
	if !w.typed {
		born.discovering = &discovering{judge: n.judge, life: born, world: w}
		born.electing.Go(func() { born.discovering.run(ctx, up) })
	}
	figures, err := born.restarts.metrics()
	if err != nil {
		return nil, err
	}
	born.system, err = supervisor.New(supervisor.Options{
		Upstream: brittleUpstream{up, brittle{n, born, "upstream"}},
		Locators: []string{"NamespaceLocator"},
		Fence:    born.elector.fence,
		Writer:   actors.WriterOptions{Concurrency: 64}, // enough for all: queued writes come from maps, in any order
		Workers:  1,
		Metrics:  figures,
		Jitter:   func() float64 { return 0.5 },
		Logger:   n.log,
	})
	if err != nil {
		return nil, err
	}
	for _, k := range kinds {
		if err := born.system.AddResource(k.resource); err != nil {
			return nil, err
		}
	}
	if err := born.system.Start(ctx); err != nil {
		return nil, err
	}
	born.observed = make([]*observations, len(w.targets))
	for i, t := range w.targets {
		born.observed[i] = newObservations()
		if t.gone {
			continue
		}
		if err := born.system.AddTarget(n.connect(born, t, i)); err != nil {
			return nil, err
		}
	}
	born.system.Subscribe(func(e supervisor.Event) {
		switch e := e.(type) {
		case supervisor.Published:
			n.trace.note("%s: acknowledged: %s %s: %s", born.name, e.Resource.Resource, e.Upstream, e.Reason)
		case supervisor.Health:
			n.trace.note("%s: %s is stale: %v", born.name, e.Target, e.Stale)
			if e.Stale {
				born.stale(w, e)
			}
		case supervisor.Failure:
			n.trace.note("%s: failed: %s", born.name, e.Actor)
		}
	})
	n.trace.note("%s begins", born.name)
	return born, nil
}

// backoff has no jitter: a run must be had again.
var backoff = lean.Backoff{Initial: 500 * time.Millisecond, Max: 30 * time.Second}

// connect connects a life to a target, which it has not observed yet.
func (n *network) connect(l *life, t *target, i int) (supervisor.Target, actors.Downstream) {
	s := newObservations()
	l.mu.Lock()
	l.observed[i] = s
	l.mu.Unlock()
	down, err := downstream.New(n.config(l, t.name, t.server.Config(), s), downstream.Options{Backoff: backoff})
	if err != nil {
		panic(err) // our own configuration
	}
	return supervisor.Target{
		Name: ref.SyncTarget(t.name), Cluster: computeWorkspace, UID: t.located.UID, Workspaces: t.located.Workspaces,
	}, brittleDownstream{down, brittle{n, l, t.name}}
}

func (n *network) config(l *life, server string, cfg *rest.Config, s *observations) *rest.Config {
	cfg.Transport = &way{network: n, life: l, server: server, inner: cfg.Transport, observed: s}
	return cfg
}

// toLease is how a life reaches the lease now.
func (n *network) toLease(l *life) (time.Duration, bool) {
	d := n.seed.draw("lease/"+l.name, n.now())
	if !l.awake(d) || n.plan.out(l.daemon, "upstream") != nil {
		return 0, false
	}
	return d.between(leastLatency, 2*time.Second), true
}

// stop ends a process as SIGTERM does.
func (l *life) stop(t *trace) {
	t.note("%s is stopped", l.name)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := l.system.Stop(ctx)
	l.end()
	l.electing.Wait()
	l.elector.lease.release(l.name)
	close(l.dead)
	t.note("%s has stopped, in time: %v", l.name, err == nil)
}

// kill ends a process as SIGKILL does: requests on their way to a server go on, nothing else does.
func (l *life) kill(t *trace) {
	t.note("%s is killed", l.name)
	close(l.dead)
	l.end()
	l.electing.Wait()
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_ = l.system.Stop(gone) // its actors only: its connections are dead
}

// ---- connections with code that fails

// brittle makes a connection's code, or the actor behind it, panic now and then.
type brittle struct {
	net    *network
	life   *life
	server string
}

// harm draws the failure at an event or call. A poisonable one may be handed on with an invalid object.
func (b brittle) harm(c call, poisonable bool) harm {
	kind := b.life.daemon + " ↔ " + b.server + ": " + c.String()
	select {
	case <-b.life.dead:
		return harm{}
	default:
	}
	h, name := b.net.plan.harm(b.life.daemon, b.server, c, func(h harm) bool { return h.panics || h.poison && poisonable || h.fails != noActor }, b.net.now())
	if name != "" {
		b.net.trace.note("%s: %s", kind, name)
		b.life.disturb()
	}
	if h.fails != noActor {
		b.life.restarts.fail(h.fails, resourceOf(b.net.seed.draw("aggregator/"+kind, b.net.now())), h.after)
	}
	return h
}

// watch hands events on, some of them with an invalid object, until one makes it panic: that event and all later ones are lost.
func (b brittle) watch(ctx context.Context, r ref.Resource, emit ref.Emit, run func(context.Context, ref.Emit)) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	run(ctx, func(e ref.Event) {
		c := call{verb: "event", workspace: string(e.Scope), resource: r.Resource}
		if (e.Type == ref.Changed || e.Type == ref.Deleted) && len(e.Objects) == 1 {
			c.namespace, c.name = e.Objects[0].Namespace, e.Objects[0].Name
		}
		if ctx.Err() != nil {
			return
		}
		h := b.harm(c, e.Type == ref.Listed)
		if h.panics {
			cancel(errBug)
			return
		}
		if h.poison {
			e.Objects = append(e.Objects[:len(e.Objects):len(e.Objects)], nil)
		}
		emit(e)
	})
	if errors.Is(context.Cause(ctx), errBug) {
		panic(errBug)
	}
}

var errBug = errors.New("a bug in a connection")

type brittleUpstream struct {
	actors.Upstream
	brittle
}

func (b brittleUpstream) Watch(ctx context.Context, r ref.Resource, want ref.Want, emit ref.Emit) {
	b.life.restarts.watching(ctx, r, func(ctx context.Context) {
		b.watch(ctx, r, emit, func(ctx context.Context, emit ref.Emit) { b.Upstream.Watch(ctx, r, want, emit) })
	})
}

func (b brittleUpstream) Patch(ctx context.Context, p ref.Patch, want ref.Want) (*ref.Object, error) {
	h := b.harm(call{verb: "patch", workspace: string(p.Upstream.Workspace), resource: p.Resource.Resource, name: p.Upstream.Name}, true)
	if h.panics {
		panic(errBug)
	}
	o, err := b.Upstream.Patch(ctx, p, want)
	if h.poison && err == nil {
		return nil, nil // no connection returns that
	}
	return o, err
}

// Host is asked on the writer's turn.
func (b brittleUpstream) Host(u ref.Upstream) string {
	if b.harm(call{verb: "host", workspace: string(u.Workspace), name: u.Name}, false).panics {
		panic(errBug)
	}
	return b.Upstream.Host(u)
}

type brittleDownstream struct {
	actors.Downstream
	brittle
}

func (b brittleDownstream) Watch(ctx context.Context, r ref.Resource, want ref.Want, emit ref.Emit) {
	b.watch(ctx, r, emit, func(ctx context.Context, emit ref.Emit) { b.Downstream.Watch(ctx, r, want, emit) })
}

func (b brittleDownstream) List(ctx context.Context, r ref.Resource, namespace string, want ref.Want) ([]*ref.Object, error) {
	if b.harm(call{verb: "read", resource: r.Resource, namespace: namespace}, false).panics {
		panic(errBug)
	}
	return b.Downstream.List(ctx, r, namespace, want)
}

func names(of []*target) []string {
	var all []string
	for _, t := range of {
		all = append(all, t.name)
	}
	return all
}

func lines(s []string) string { return strings.Join(s, "\n") }
