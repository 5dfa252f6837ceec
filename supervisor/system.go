// Package supervisor starts and stops upstreamd's actor system, keeps it alive, and is its Go API. The daemon uses it; so can any other
// program that watches physical clusters, or that has watches of its own and hands over the objects that they report.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
)

// Scheduling holds the fields of a SyncTarget object that decide about new and present workloads.
type Scheduling = reconcile.Scheduling

// Explanation is the facts about an upstream object and the last decision on it.
type Explanation = reconcile.Explanation

// ErrStopped is returned by calls to a System that is not running.
var ErrStopped = errors.New("the system is not running")

// System is a running upstreamd. Its methods may be called from any goroutine.
type System struct {
	options     Options
	policies    atomic.Pointer[policy.Set]
	engine      *actor.ActorSystem
	dispatcher  *actors.Dispatcher
	strategy    *strategy
	root        *actor.PID
	epochs      atomic.Uint64
	subscribers subscribers

	mu         sync.Mutex
	running    bool
	resources  map[ref.Resource]*resource
	targets    map[ref.SyncTarget]*registration
	extractors map[ref.Resource]status.Extractor
	added      uint64 // resources and SyncTargets so far
}

// New makes a System that does not run yet.
func New(o Options) (*System, error) {
	if o.Upstream == nil {
		return nil, errors.New("supervisor: Options.Upstream is required")
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	if _, err := locator.New(o.Locators, locator.Target{}); err != nil {
		return nil, err
	}
	s := &System{
		options:     o,
		resources:   map[ref.Resource]*resource{},
		targets:     map[ref.SyncTarget]*registration{},
		extractors:  map[ref.Resource]status.Extractor{},
		strategy:    &strategy{metrics: o.Metrics, jitter: o.Jitter, log: o.Logger},
		subscribers: subscribers{log: o.Logger},
	}
	s.policies.Store(o.Policies)
	return s, nil
}

// Start runs the actors. Resources and SyncTargets may be added before and after.
func (s *System) Start(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine != nil {
		return errors.New("supervisor: a System is started once")
	}
	logger := s.options.SystemLogger
	s.engine = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return logger }))
	s.dispatcher = actors.NewDispatcher(s.options.Workers)
	s.engine.EventStream.Subscribe(func(e any) {
		if _, ok := e.(*actor.DeadLetterEvent); ok {
			s.options.Metrics.DeadLetters.Inc()
			return
		}
		s.subscribers.dispatch(e)
	})
	props := s.props(func() actor.Actor { return &rootActor{system: s} }).Configure(actor.WithGuardian(s.strategy))
	s.running = true
	pid, err := s.engine.Root.SpawnNamed(props, rootName)
	if err != nil {
		return fmt.Errorf("starting the root actor: %w", err)
	}
	s.root = pid
	return nil
}

// SetPolicies replaces the policies. Every object is read and decided again.
func (s *System) SetPolicies(set *policy.Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies.Store(set)
	s.send(actors.PolicyChanged{Policies: set})
}

// MayWrite reports that the right to write has begun, by [Options.Fence]: queued writes are sent now, rather than with their next attempt.
func (s *System) MayWrite() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send(actors.MayWrite{})
}

// Ready reports whether the System runs and every resource was listed upstream at least once.
func (s *System) Ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.resources {
		if !r.listed {
			return false
		}
	}
	return s.running
}

// Explain returns the facts about an upstream object, and the reason for its status.
func (s *System) Explain(ctx context.Context, r actors.Resource, u ref.Upstream) (Explanation, error) {
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	if !running {
		return Explanation{}, ErrStopped
	}
	timeout := 5 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		timeout = time.Until(deadline)
	}
	answer, err := s.engine.Root.RequestFuture(s.aggregator(r), actors.Explain{Upstream: u}, timeout).Result()
	if err != nil {
		return Explanation{}, fmt.Errorf("explaining %s: %w", u, err)
	}
	explanation, ok := answer.(Explanation)
	if !ok {
		return Explanation{}, fmt.Errorf("explaining %s: unexpected answer %T", u, answer)
	}
	return explanation, nil
}

// Stop ends the flow in order: the watches end, pending decisions are written, the actors end. If ctx ends first, the pending writes are
// dropped (the next process decides them again), and an error says so.
func (s *System) Stop(ctx context.Context) error {
	s.mu.Lock()
	if !s.running {
		s.mu.Unlock()
		return ErrStopped
	}
	s.running = false
	s.mu.Unlock()
	drained := make(chan struct{})
	s.engine.Root.Send(s.root, stop{drained})
	var err error
	select {
	case <-drained:
	case <-ctx.Done():
		err = fmt.Errorf("stopped before everything was written: %w", ctx.Err())
	}
	s.end()
	return err
}

// end stops the actors and waits until they are gone.
func (s *System) end() {
	gone := make(chan struct{})
	_ = s.engine.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			c.Watch(s.root)
			c.Stop(s.root)
		case *actor.Terminated:
			if m.Who.Id == s.root.Id {
				c.Stop(c.Self())
			}
		case *actor.Stopped:
			close(gone)
		}
	}))
	<-gone
	s.engine.Shutdown()
	s.dispatcher.Close()
}

// ---- for the actors

// send sends to the root actor if it runs; resources and SyncTargets that were added before are taken at the start. s.mu is held.
func (s *System) send(m any) {
	if s.running && s.root != nil {
		s.engine.Root.Send(s.root, m)
	}
}

// props are those of every actor: our dispatcher, mailbox and strategy.
func (s *System) props(producer actor.Producer) *actor.Props {
	return actor.PropsFromProducer(producer, actor.WithDispatcher(s.dispatcher), actor.WithMailbox(actors.Mailbox),
		actor.WithSupervisor(s.strategy))
}

func (s *System) spawn(ctx actor.Context, name string, producer actor.Producer) *actor.PID {
	pid, err := ctx.SpawnNamed(s.props(producer), name)
	if err != nil {
		panic(fmt.Errorf("spawning %s: %w", name, err))
	}
	return pid
}
