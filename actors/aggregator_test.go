package actors

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// fragile is a bucket that fails on some messages.
type fragile struct {
	actor.Actor
	fails func(message any) bool
}

func (f *fragile) Receive(ctx actor.Context) {
	if f.fails(ctx.Message()) {
		panic("a bug")
	}
	f.Actor.Receive(ctx)
}

// onAggregator runs a test with an aggregator of four buckets that fail where fails reports so.
func onAggregator(t *testing.T, fails func(message any) bool, test func(s *stage, aggregator *actor.PID, parent *witness)) {
	t.Helper()
	onStage(t, func(s *stage) {
		policies, err := policy.Builtin()
		if err != nil {
			t.Fatal(err)
		}
		_, writer := s.record()
		parent := &witness{}
		pid, stop := s.below(parent, func() actor.Actor {
			return NewAggregator(AggregatorConfig{
				Resource: deployments, Upstream: &hub{}, Policies: policies, Writer: writer, Buckets: 4, Epochs: s.epochs, Metrics: s.metrics, Log: s.log,
				Props: func(p actor.Producer) *actor.Props {
					return s.props(func() actor.Actor { return &fragile{p(), fails} })
				},
			})
		})
		test(s, pid, parent)
		stop()
		s.engine.Root.Stop(writer)
		time.Sleep(time.Minute)
	})
}

// A bucket that fails on a Flush is flushed again, and Flushed is sent once.
func TestABucketThatFailsOnAFlushIsFlushedAgain(t *testing.T) {
	var failures atomic.Int64
	fails := func(m any) bool {
		_, flush := m.(Flush)
		return flush && failures.Add(1) <= 2
	}
	onAggregator(t, fails, func(s *stage, aggregator *actor.PID, parent *witness) {
		asker, pid := s.record()
		s.engine.Root.RequestWithCustomSender(aggregator, Flush{}, pid)
		time.Sleep(time.Minute)
		if got := received[Flushed](asker); len(got) != 1 || got[0].Resource != deployments {
			t.Errorf("answers %v, want one", got)
		}
		if got := len(received[AggregatorStarted](parent)); got != 3 {
			t.Errorf("%d reports of new buckets, want the first and two", got)
		}
		s.engine.Root.Stop(pid)
	})
}

// Reports and answers of an incarnation of a bucket that is gone are void.
func TestReportsOfADeadBucketAreVoid(t *testing.T) {
	onAggregator(t, func(any) bool { return false }, func(s *stage, aggregator *actor.PID, parent *witness) {
		scope := reconcile.ScopeReady{Scope: "a"}
		for bucket := range 4 {
			s.send(aggregator, bucketReport{bucket: bucket, incarnation: 1000, fact: scope})
		}
		if got := received[UpstreamReady](parent); len(got) != 0 {
			t.Error("ready by reports of buckets that are gone")
		}
		buckets := BucketsOf(aggregator, 4)
		for _, b := range buckets {
			s.send(b, answered{of: &bucket{}, event: reconcile.UpstreamListed{Scope: "a", First: true, Last: true}})
			s.send(b, answered{of: &bucket{}, event: reconcile.ScopeDescribed{Scope: "a", Description: ref.Description{HasStatus: true}}})
		}
		synctest.Wait()
		if got := received[UpstreamReady](parent); len(got) != 0 {
			t.Error("ready by answers to buckets that are gone")
		}
		for _, b := range buckets {
			s.send(b, reconcile.UpstreamListed{Scope: "a", First: true, Last: true})
		}
		if got := received[UpstreamReady](parent); len(got) != 1 {
			t.Errorf("%d reports that the resource is ready, want one", len(got))
		}
	})
}
