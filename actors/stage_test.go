package actors

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// stage runs single actors of the flow in a bubble. Their parents, and the actors that they send to, record the messages that they receive.
type stage struct {
	t       *testing.T
	engine  *actor.ActorSystem
	metrics *metrics.Metrics
	log     zerolog.Logger
	epochs  *atomic.Uint64
	props   func(actor.Producer) *actor.Props
}

func onStage(t *testing.T, test func(*stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		counted, err := metrics.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		dispatcher := NewDispatcher(2)
		s := &stage{
			t: t, metrics: counted, log: zerolog.Nop(), epochs: &atomic.Uint64{},
			engine: actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) })),
		}
		s.props = func(p actor.Producer) *actor.Props {
			return actor.PropsFromProducer(p, actor.WithDispatcher(dispatcher), actor.WithMailbox(Mailbox), actor.WithSupervisor(actor.RestartingSupervisorStrategy()))
		}
		test(s)
		time.Sleep(2 * time.Second) // dead letters are counted for a second
		s.engine.Shutdown()
		dispatcher.Close()
	})
}

func (s *stage) send(pid *actor.PID, m any) { s.engine.Root.Send(pid, m) }

// witness is an actor that records its messages, and spawns its child at the start.
type witness struct {
	child func(ctx actor.Context)
	mu    sync.Mutex
	got   []any
	on    func(ctx actor.Context, m any) // called for each, on the actor's turn
}

func (r *witness) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		if r.child != nil {
			r.child(ctx)
		}
	case actor.AutoReceiveMessage, actor.SystemMessage:
	default:
		r.mu.Lock()
		r.got = append(r.got, m)
		r.mu.Unlock()
		if r.on != nil {
			r.on(ctx, m)
		}
	}
}

// received are the messages of one type so far.
func received[M any](r *witness) (out []M) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.got {
		if m, ok := m.(M); ok {
			out = append(out, m)
		}
	}
	return out
}

func (s *stage) record() (*witness, *actor.PID) {
	r := &witness{}
	pid := s.engine.Root.Spawn(s.props(func() actor.Actor { return r }))
	return r, pid
}

// below spawns an actor as the child of a witness. stop ends both.
func (s *stage) below(parent *witness, producer actor.Producer) (pid *actor.PID, stop func()) {
	parent.child = func(ctx actor.Context) { pid = ctx.Spawn(s.props(producer)) }
	top := s.engine.Root.Spawn(s.props(func() actor.Actor { return parent }))
	synctest.Wait()
	return pid, func() {
		s.engine.Root.Stop(top)
		synctest.Wait()
	}
}

// edge is a Downstream under a test's control.
type edge struct {
	mu      sync.Mutex
	emits   map[ref.Resource]ref.Emit // of the watch that is open
	watches int                       // that were opened
	lists   int                       // List calls
	active  int                       // of these, under way
	most    int                       // under way at a time
	list    func(namespace string) ([]*ref.Object, error)
}

func newEdge() *edge { return &edge{emits: map[ref.Resource]ref.Emit{}} }

func (e *edge) Watch(ctx context.Context, r ref.Resource, _ ref.Want, emit ref.Emit) {
	e.mu.Lock()
	e.emits[r] = emit
	e.watches++
	e.mu.Unlock()
	<-ctx.Done()
}

func (e *edge) emit(r ref.Resource, event ref.Event) {
	e.mu.Lock()
	emit := e.emits[r]
	e.mu.Unlock()
	emit(event)
}

func (e *edge) List(_ context.Context, _ ref.Resource, namespace string, _ ref.Want) ([]*ref.Object, error) {
	e.mu.Lock()
	e.lists++
	e.active++
	e.most = max(e.most, e.active)
	e.mu.Unlock()
	time.Sleep(100 * time.Millisecond)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active--
	if e.list == nil {
		return nil, nil
	}
	return e.list(namespace)
}

func (e *edge) Probe(context.Context) error { return nil }
func (e *edge) LastHeard() time.Time        { return time.Time{} }
func (e *edge) Close()                      {}
