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

// life is one process of a daemon: it ends when it is stopped or killed, and the next one knows nothing of it.
type life struct {
	name, daemon string
	plan         *plan
	system       *supervisor.System
	elector      *elector
	seen         []*seen // by target
	dead         chan struct{}
	end          context.CancelFunc
	electing     sync.WaitGroup

	mu       sync.Mutex
	disturbs []time.Time // when its own code was made to fail
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

// disturb notes that the code of this life was made to fail.
func (l *life) disturb() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.disturbs = append(l.disturbs, time.Now())
}

// disturbed is for how long back what a life knew at a time may not be what it was told: an actor that fails loses that, and asks again.
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
	backoff := lean.Backoff{Initial: 500 * time.Millisecond, Max: 30 * time.Second}
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
	born.elector = &elector{lease: l, who: born.name, reach: func() (time.Duration, bool) { return n.toLease(born) }}
	born.electing.Go(func() { born.elector.run(ctx) })
	born.system, err = supervisor.New(supervisor.Options{
		Upstream: brittleUpstream{up, brittle{n, born, "upstream"}},
		Locators: []string{"NamespaceLocator"},
		Fence:    born.elector.fence,
		Workers:  1,
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
	for _, t := range w.targets {
		s := newSeen()
		born.seen = append(born.seen, s)
		down, err := downstream.New(n.config(born, t.name, t.server.Config(), s), downstream.Options{Backoff: backoff})
		if err != nil {
			return nil, err
		}
		err = born.system.AddTarget(supervisor.Target{
			Name: ref.SyncTarget(t.name), Cluster: computeWorkspace, UID: t.located.UID, Workspaces: t.located.Workspaces,
		}, brittleDownstream{down, brittle{n, born, t.name}})
		if err != nil {
			return nil, err
		}
	}
	born.system.Subscribe(func(e supervisor.Event) {
		switch e := e.(type) {
		case supervisor.Published:
			n.trace.say("%s: acknowledged: %s %s: %s", born.name, e.Resource.Resource, e.Upstream, e.Reason)
		case supervisor.Health:
			n.trace.say("%s: %s is stale: %v", born.name, e.Target, e.Stale)
		case supervisor.Failure:
			n.trace.say("%s: failed: %s", born.name, e.Actor)
		}
	})
	n.trace.say("%s begins", born.name)
	return born, nil
}

func (n *network) config(l *life, server string, cfg *rest.Config, s *seen) *rest.Config {
	cfg.Transport = &way{network: n, life: l, server: server, inner: cfg.Transport, seen: s}
	return cfg
}

// toLease is how a life reaches the lease now.
func (n *network) toLease(l *life) (time.Duration, bool) {
	d := n.seed.draw("lease/"+l.name, n.nth("lease/"+l.name))
	if !l.awake(d) || n.plan.out(l.daemon, "upstream") != nil {
		return 0, false
	}
	return d.between(leastLatency, 2*time.Second), true
}

// stop ends a process as SIGTERM does.
func (l *life) stop(t *trace) {
	t.say("%s is stopped", l.name)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := l.system.Stop(ctx)
	l.end()
	l.electing.Wait()
	l.elector.lease.release(l.name)
	close(l.dead)
	t.say("%s has stopped, in time: %v", l.name, err == nil)
}

// kill ends a process as SIGKILL does: what is on its way to a server goes on, nothing else.
func (l *life) kill(t *trace) {
	t.say("%s is killed", l.name)
	close(l.dead)
	l.end()
	l.electing.Wait()
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_ = l.system.Stop(gone) // its actors only: it reaches nobody any more
}

// ---- connections whose code fails

// brittle makes a connection's code, or the actor behind it, panic now and then.
type brittle struct {
	net    *network
	life   *life
	server string
}

// harm draws what happens at an event or call.
func (b brittle) harm(c call) harm {
	kind := b.life.daemon + " ↔ " + b.server + ": " + c.String()
	h, name := b.net.plan.harm(b.life.daemon, b.server, c, func(h harm) bool { return h.panics || h.poison }, b.net.nth(kind))
	if name != "" {
		b.net.trace.say("%s: %s", kind, name)
		b.life.disturb()
	}
	return h
}

// watch hands events on, some of them spoilt, until one makes it panic: that event and all later ones are lost.
func (b brittle) watch(ctx context.Context, r ref.Resource, emit ref.Emit, run func(context.Context, ref.Emit)) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	run(ctx, func(e ref.Event) {
		c := call{verb: "event", workspace: string(e.Scope), resource: r.Resource}
		if (e.Type == ref.Changed || e.Type == ref.Deleted) && len(e.Objects) == 1 {
			c.namespace, c.name = e.Objects[0].Namespace, e.Objects[0].Name
		}
		h := b.harm(c)
		if h.panics {
			cancel(errBug)
		}
		if ctx.Err() != nil {
			return
		}
		if h.poison && e.Type == ref.Listed {
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
	b.watch(ctx, r, emit, func(ctx context.Context, emit ref.Emit) { b.Upstream.Watch(ctx, r, want, emit) })
}

func (b brittleUpstream) Patch(ctx context.Context, p ref.Patch, want ref.Want) (*ref.Object, error) {
	h := b.harm(call{verb: "patch", workspace: string(p.Upstream.Workspace), resource: p.Resource.Resource, name: p.Upstream.Name})
	if h.panics {
		panic(errBug)
	}
	o, err := b.Upstream.Patch(ctx, p, want)
	if h.poison && err == nil {
		return nil, nil // what no connection returns
	}
	return o, err
}

type brittleDownstream struct {
	actors.Downstream
	brittle
}

func (b brittleDownstream) Watch(ctx context.Context, r ref.Resource, want ref.Want, emit ref.Emit) {
	b.watch(ctx, r, emit, func(ctx context.Context, emit ref.Emit) { b.Downstream.Watch(ctx, r, want, emit) })
}

func (b brittleDownstream) List(ctx context.Context, r ref.Resource, namespace string, want ref.Want) ([]*ref.Object, error) {
	if b.harm(call{verb: "read", resource: r.Resource, namespace: namespace}).panics {
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
