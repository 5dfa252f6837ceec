package actors

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// hub is an Upstream that blocks each call until a test answers it.
type hub struct {
	mu    sync.Mutex
	calls []*hubCall
	fails int // how many of the next Host calls panic
}

type hubCall struct {
	ref.Patch
	answer chan error
}

func (h *hub) Patch(_ context.Context, p ref.Patch, _ ref.Want) (*ref.Object, error) {
	c := &hubCall{p, make(chan error)}
	h.mu.Lock()
	h.calls = append(h.calls, c)
	n := len(h.calls)
	h.mu.Unlock()
	if err := <-c.answer; err != nil {
		return nil, err
	}
	return &ref.Object{Workspace: p.Upstream.Workspace, Namespace: p.Upstream.Namespace, Name: p.Upstream.Name, ResourceVersion: fmt.Sprint("after-", n)}, nil
}

// called are the calls so far.
func (h *hub) called() []*hubCall {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*hubCall(nil), h.calls...)
}

func (h *hub) Host(ref.Upstream) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fails > 0 {
		h.fails--
		panic("a bug in the edge")
	}
	return "hub"
}

func (h *hub) Watch(ctx context.Context, _ ref.Resource, _ ref.Want, _ ref.Emit) { <-ctx.Done() }
func (h *hub) Get(context.Context, ref.Resource, ref.Upstream, ref.Want) (*ref.Object, error) {
	return nil, http.ErrNotSupported
}
func (h *hub) Describe(context.Context, ref.Resource, ref.Workspace, ref.Workspace) (ref.Description, error) {
	return ref.Description{HasStatus: true}, nil
}

// writing is a writer on a stage, and the buckets that it answers.
type writing struct {
	*stage
	hub       *hub
	pid       *actor.PID
	parent    *witness
	bucket    *witness
	bucketPID *actor.PID
}

func onWriter(t *testing.T, concurrency int, test func(*writing)) {
	t.Helper()
	onStage(t, func(s *stage) {
		w := &writing{stage: s, hub: &hub{}, parent: &witness{}}
		w.bucket, w.bucketPID = s.record()
		pid, stop := s.below(w.parent, func() actor.Actor {
			return NewWriter(WriterConfig{WriterOptions: WriterOptions{Concurrency: concurrency}, Upstream: w.hub, Metrics: s.metrics, Log: s.log})
		})
		w.pid = pid
		test(w)
		for _, c := range w.hub.called() {
			select {
			case c.answer <- nil:
			default:
			}
		}
		synctest.Wait()
		stop()
		s.engine.Root.Stop(w.bucketPID)
		time.Sleep(time.Minute)
	})
}

// write is the write that a bucket of an incarnation decides on for an object with a number of ready replicas.
func (w *writing) write(incarnation uint64, name string, ready int) Write {
	w.t.Helper()
	policies, err := policy.Builtin()
	if err != nil {
		w.t.Fatal(err)
	}
	s := reconcile.New(reconcile.Config{Policy: policies.For(deployments), Incarnation: incarnation})
	u := ref.Upstream{Workspace: "a", Namespace: "default", Name: name}
	source := ref.Downstream{Namespace: "kcp-a-default", Name: name}
	target := locator.Target{Name: "east", Workspaces: []ref.Workspace{"a"}}
	object := &ref.Object{Workspace: "a", Namespace: "default", Name: name, UID: "u", ResourceVersion: "1", Generation: 1}
	for _, e := range []reconcile.Event{
		reconcile.SyncTargetAdded{Target: target, FromEpoch: 1},
		reconcile.UpstreamListed{Scope: "a", Version: "1", Objects: []*ref.Object{object}, First: true, Last: true},
		reconcile.ScopeDescribed{Scope: "a", Description: ref.Description{HasStatus: true}},
		reconcile.CopiesListed{Target: "east", Epoch: 1, Copies: []reconcile.Copy{{Source: source, Upstream: u}}, Last: true},
		reconcile.Reported{Target: "east", Source: source, Upstream: u, At: ref.Position{Epoch: 1},
			Contribution: &aggregate.Contribution{Status: map[string]any{"readyReplicas": int64(ready)}, Generation: 1}},
		reconcile.ListConfirmed{Target: "east", Epoch: 1},
		reconcile.Continue{}, reconcile.TimePassed{},
	} {
		for _, effect := range s.Step(time.Now(), e) {
			if found, ok := effect.(reconcile.Write); ok {
				return Write{Write: found, Resource: deployments, From: w.bucketPID}
			}
		}
	}
	w.t.Fatal("no write was decided on")
	return Write{}
}

// The answer to a write of a bucket that has failed since must not drop the queued write of its successor.
func TestTheAnswerToADeadBucketsWriteDropsNothingOfItsSuccessor(t *testing.T) {
	onWriter(t, 4, func(w *writing) {
		w.send(w.pid, Incarnation{From: w.bucketPID, Number: 1})
		w.send(w.pid, w.write(1, "web", 1))
		calls := w.hub.called()
		w.send(w.pid, Incarnation{From: w.bucketPID, Number: 2})
		w.send(w.pid, w.write(2, "web", 2)) // waits for the call under way
		if n := len(w.hub.called()); n != 1 {
			t.Fatalf("%d calls at a time for one object", n)
		}
		calls[0].answer <- nil
		if calls = w.hub.called(); len(calls) != 2 {
			t.Fatalf("%d calls, want the successor's too", len(calls))
		}
		calls[1].answer <- nil
		if acks := received[reconcile.Acknowledged](w.bucket); len(acks) != 2 || acks[1].Token.Incarnation() != 2 {
			t.Errorf("acknowledged: %+v", acks)
		}
	})
}

// An answer to a living bucket drops its queued write: it was decided on an older version.
func TestAnAnswerDropsTheQueuedWriteOfTheSameBucket(t *testing.T) {
	onWriter(t, 4, func(w *writing) {
		w.send(w.pid, Incarnation{From: w.bucketPID, Number: 1})
		w.send(w.pid, w.write(1, "web", 1))
		calls := w.hub.called()
		w.send(w.pid, w.write(1, "web", 2))
		synctest.Wait()
		calls[0].answer <- nil
		if n := len(w.hub.called()); n != 1 {
			t.Errorf("%d calls, want one", n)
		}
	})
}

// After a call that wrote nothing the newest write of the object is sent, once; a cancelled one is not.
func TestAfterACallThatWroteNothingTheNewestWriteIsSent(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(*writing) any
		want      int // calls
	}{
		"nothing": {func(*writing) any { return MayWrite{} }, 2},
		"newer":   {func(w *writing) any { return w.write(1, "web", 2) }, 2},
		"cancelled": {func(w *writing) any {
			return Cancel{Cancel: reconcile.Cancel{Upstream: w.write(1, "web", 1).Upstream}, Resource: deployments}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			onWriter(t, 4, func(w *writing) {
				w.send(w.pid, Incarnation{From: w.bucketPID, Number: 1})
				w.send(w.pid, w.write(1, "web", 1))
				first := w.hub.called()[0]
				w.send(w.pid, c.meanwhile(w))
				synctest.Wait()
				first.answer <- apierrors.NewTooManyRequests("busy", 1)
				time.Sleep(10 * time.Second)
				calls := w.hub.called()
				if len(calls) != c.want {
					t.Fatalf("%d calls, want %d", len(calls), c.want)
				}
				if last := string(calls[len(calls)-1].Body); (name == "newer") != strings.Contains(last, `"readyReplicas":2`) {
					t.Errorf("last call: %s", last)
				}
			})
		})
	}
}

// A workspace that was slow and is no longer so does not wait for slots that slow ones share.
func TestAWorkspaceThatIsFastAgainDoesNotWaitWithTheSlow(t *testing.T) {
	onWriter(t, 4, func(w *writing) {
		w.send(w.pid, Incarnation{From: w.bucketPID, Number: 1})
		write := func(workspace ref.Workspace, name string) {
			m := w.write(1, name, 1)
			m.Upstream.Workspace = workspace
			w.send(w.pid, m)
		}
		write("a", "1")
		write("b", "1")
		write("c", "1")
		slow := w.hub.called()
		time.Sleep(2 * time.Second)
		write("a", "2")
		write("a", "3")
		write("c", "2")
		if n := len(w.hub.called()); n != 3 {
			t.Fatalf("%d calls of slow workspaces, want 3 of 4 slots", n)
		}
		slow[0].answer <- nil
		calls := w.hub.called()
		calls[len(calls)-1].answer <- nil // at once
		if calls = w.hub.called(); len(calls) != 6 || calls[4].Upstream.Workspace != "c" && calls[5].Upstream.Workspace != "c" {
			t.Errorf("%d calls, want those of c and a in the two slots that are free", len(calls))
		}
	})
}

// Queued writes of a failed bucket, or of a removed resource, are not sent.
func TestQueuedWritesOfADeadBucketArePurged(t *testing.T) {
	for name, number := range map[string]uint64{"restarted": 2, "removed": 0} {
		t.Run(name, func(t *testing.T) {
			onWriter(t, 1, func(w *writing) {
				w.send(w.pid, Incarnation{From: w.bucketPID, Number: 1})
				w.send(w.pid, w.write(1, "web", 1))
				calls := w.hub.called()
				w.send(w.pid, w.write(1, "other", 1)) // no slot is free
				synctest.Wait()
				w.send(w.pid, Incarnation{From: w.bucketPID, Number: number})
				synctest.Wait()
				calls[0].answer <- nil
				time.Sleep(time.Minute)
				if calls = w.hub.called(); len(calls) != 1 {
					t.Errorf("%d calls, want one: %v", len(calls), calls[1].Upstream)
				}
			})
		})
	}
}

// A writer that restarts knows no incarnations; writes that it receives afterwards are repeated when the server is busy, as before.
func TestAWriterThatRestartsLearnsIncarnationsAgain(t *testing.T) {
	onWriter(t, 4, func(w *writing) {
		w.send(w.pid, Incarnation{From: w.bucketPID, Number: 1})
		w.hub.fails = 1
		w.send(w.pid, w.write(1, "web", 1)) // fails the writer
		time.Sleep(time.Second)
		if n := len(received[WriterStarted](w.parent)); n != 2 {
			t.Fatalf("%d starts of the writer, want 2", n)
		}
		w.send(w.pid, w.write(1, "web", 1))
		w.hub.called()[0].answer <- apierrors.NewTooManyRequests("busy", 1)
		time.Sleep(10 * time.Second)
		calls := w.hub.called()
		if len(calls) != 2 {
			t.Fatalf("%d calls, want the refused one and its repetition", len(calls))
		}
		calls[1].answer <- nil
		if acks := received[reconcile.Acknowledged](w.bucket); len(acks) != 1 {
			t.Errorf("%d acknowledgements, want one", len(acks))
		}
	})
}

// The answer to a call of a writer that has failed since does not end a call of its successor: one call is under way per object.
func TestTheAnswerToADeadWritersCallIsIgnored(t *testing.T) {
	onWriter(t, 4, func(w *writing) {
		w.send(w.pid, Incarnation{From: w.bucketPID, Number: 1})
		w.send(w.pid, w.write(1, "web", 1))
		first := w.hub.called()[0]
		w.hub.mu.Lock()
		w.hub.fails = 1
		w.hub.mu.Unlock()
		w.send(w.pid, w.write(1, "other", 1)) // fails the writer
		time.Sleep(time.Second)
		w.send(w.pid, w.write(1, "web", 2))
		if n := len(w.hub.called()); n != 2 {
			t.Fatalf("%d calls, want one of each writer", n)
		}
		first.answer <- nil
		w.send(w.pid, w.write(1, "web", 3))
		if n := len(w.hub.called()); n != 2 {
			t.Errorf("%d calls: another one was sent while one is under way", n)
		}
		if n := len(received[reconcile.Acknowledged](w.bucket)); n != 0 {
			t.Errorf("%d acknowledgements of a dead writer's call", n)
		}
	})
}

// Servers, buckets and objects that come and go leave nothing in the writer.
func TestChurnLeavesNothingInTheWriter(t *testing.T) {
	onStage(t, func(s *stage) {
		var instance *writer
		h := &hosts{}
		bucket, bucketPID := s.record()
		w := &writing{stage: s, bucket: bucket, bucketPID: bucketPID}
		template := w.write(1, "web", 1)
		pid, stop := s.below(&witness{}, func() actor.Actor {
			instance = NewWriter(WriterConfig{Upstream: h, Metrics: s.metrics, Log: s.log}).(*writer)
			return instance
		})
		for n := range 2000 {
			from := actor.NewPID(bucketPID.Address, fmt.Sprint("bucket-", n))
			s.send(pid, Incarnation{From: from, Number: 1})
			for _, name := range []string{"a", "b"} {
				m := template
				m.From, m.Upstream.Name, m.Upstream.Workspace = from, name, ref.Workspace(fmt.Sprint("ws-", n))
				s.send(pid, m)
			}
			time.Sleep(time.Second)
			b := ref.Upstream{Workspace: ref.Workspace(fmt.Sprint("ws-", n)), Namespace: "default", Name: "b"}
			s.send(pid, Cancel{Cancel: reconcile.Cancel{Upstream: b}, Resource: deployments})
			s.send(pid, Incarnation{From: from})
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(instance.alive) != 0 || len(instance.inFlight) != 0 || instance.queue.Len() != 0 {
			t.Errorf("%d incarnations, %d calls, %d queued writes", len(instance.alive), len(instance.inFlight), instance.queue.Len())
		}
		if most := int(hostMemory/time.Second) + int(maxHostPause/time.Second) + 1; len(instance.hosts) > most {
			t.Errorf("%d servers are remembered, want %d at most", len(instance.hosts), most)
		}
		stop()
		s.engine.Root.Stop(bucketPID)
		time.Sleep(time.Minute)
	})
}

// hosts is an Upstream with a server per workspace, all of them unavailable.
type hosts struct{ hub }

func (h *hosts) Host(u ref.Upstream) string { return string(u.Workspace) }
func (h *hosts) Patch(context.Context, ref.Patch, ref.Want) (*ref.Object, error) {
	return nil, apierrors.NewServiceUnavailable("away")
}
