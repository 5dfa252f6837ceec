package actors

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// onNamespaces runs a test with a watch of Namespaces. instance returns its newest instance, to be looked at while the bubble is idle.
func onNamespaces(t *testing.T, test func(s *stage, e *edge, pid *actor.PID, parent *witness, instance func() *namespacesActor)) {
	t.Helper()
	onStage(t, func(s *stage) {
		resolver, err := locator.New([]string{locator.Prefix}, locator.Target{Name: "east", Workspaces: []ref.Workspace{"a"}})
		if err != nil {
			t.Fatal(err)
		}
		var newest *namespacesActor
		e, parent := newEdge(), &witness{}
		pid, stop := s.below(parent, func() actor.Actor {
			newest = NewNamespaces(NamespacesConfig{Target: "east", Source: e, Resolver: resolver, Metrics: s.metrics, Log: s.log}).(*namespacesActor)
			return newest
		})
		test(s, e, pid, parent, func() *namespacesActor { return newest })
		stop()
		time.Sleep(time.Minute)
	})
}

// Those that ask before the Namespaces are listed are answered once, however often they ask.
func TestNamespacesAnswersOnceListed(t *testing.T) {
	onNamespaces(t, func(s *stage, e *edge, pid *actor.PID, _ *witness, instance func() *namespacesActor) {
		asker, askerPID := s.record()
		for range 1000 {
			s.engine.Root.RequestWithCustomSender(pid, SendNamespaces{}, askerPID)
		}
		synctest.Wait()
		if n := len(instance().waiting); n != 1 {
			t.Errorf("%d wait, want one", n)
		}
		e.emit(namespaceResource, ref.Event{Type: ref.Listed, Objects: []*ref.Object{{Name: "kcp-a-x"}}})
		if got := received[Namespaces](asker); len(got) != 1 || got[0].Locations["kcp-a-x"] == nil {
			t.Errorf("answers %v", got)
		}
		s.engine.Root.Stop(askerPID)
	})
}

// The watch of Namespaces is reported as broken until it is listed, with each new cause, and as live once.
func TestNamespacesReportsItsHealth(t *testing.T) {
	onNamespaces(t, func(_ *stage, e *edge, pid *actor.PID, parent *witness, _ func() *namespacesActor) {
		began := time.Now()
		time.Sleep(time.Second)
		for _, cause := range []string{"EOF", "EOF", "forbidden"} {
			e.emit(namespaceResource, ref.Event{Type: ref.Failed, Err: errors.New(cause)})
			synctest.Wait()
			time.Sleep(time.Second)
		}
		got := received[WatchBroke](parent)
		if len(got) != 3 || got[0].Err != nil || got[1].Err.Error() != "EOF" || got[2].Err.Error() != "forbidden" {
			t.Fatalf("reports %v", got)
		}
		for _, m := range got {
			if !m.Since.Equal(began) || !m.Watch.Equal(pid) || m.Resource != (ref.Resource{}) {
				t.Errorf("report %+v, want since %v", m, began)
			}
		}
		e.emit(namespaceResource, ref.Event{Type: ref.Listed})
		e.emit(namespaceResource, ref.Event{Type: ref.Changed, Objects: []*ref.Object{{Name: "kcp-a-x"}}})
		if got := received[WatchLive](parent); len(got) != 1 {
			t.Errorf("%d reports that it is live, want one", len(got))
		}
		e.emit(namespaceResource, ref.Event{Type: ref.Failed, Err: &ref.OverLimit{Limit: ref.LimitObjects, Most: 3}})
		e.emit(namespaceResource, ref.Event{Type: ref.Changed, Objects: []*ref.Object{{Name: "kcp-a-y"}}})
		synctest.Wait()
		if got := received[WatchLive](parent); len(got) != 1 {
			t.Error("live without a list after a limit was exceeded")
		}
		e.emit(namespaceResource, ref.Event{Type: ref.Listed})
		if got := received[WatchLive](parent); len(got) != 2 {
			t.Error("not live, though a list keeps to the limit")
		}
	})
}

func TestChurnLeavesNothingInNamespaces(t *testing.T) {
	onNamespaces(t, func(_ *stage, e *edge, _ *actor.PID, parent *witness, instance func() *namespacesActor) {
		e.emit(namespaceResource, ref.Event{Type: ref.Listed})
		for n := range 100_000 {
			o := []*ref.Object{{Name: fmt.Sprintf("kcp-a-%d", n)}}
			e.emit(namespaceResource, ref.Event{Type: ref.Changed, Objects: o})
			if n%10 == 0 {
				synctest.Wait()
			}
			e.emit(namespaceResource, ref.Event{Type: ref.Deleted, Objects: o})
		}
		if got := len(received[NamespaceChanged](parent)); got < 10_000 {
			t.Errorf("%d changes were reported", got)
		}
		if n := instance(); len(n.locations) != 0 || len(n.inbox.changes) != 0 || len(n.inbox.live) > 1 {
			t.Errorf("%d locations, %d changes", len(n.locations), len(n.inbox.changes))
		}
	})
}
