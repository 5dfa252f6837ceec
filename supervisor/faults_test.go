package supervisor_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/supervisor"
)

// world is a system over workspaces and clusters in memory, in a bubble. Each cluster holds copies of team-a's Deployments below
// the namespace that kcp's way down makes.
type world struct {
	*flow
	metrics  *metrics.Metrics
	clusters map[actors.SyncTarget]*cluster
	folder   map[actors.SyncTarget]string // the downstream namespace
	targets  []actors.SyncTarget
	port     actors.Upstream // nil: upstream itself
}

func inWorld(t *testing.T, targets []actors.SyncTarget, prepare, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			flow: &flow{t: t, upstream: newWorkspaces()}, targets: targets,
			clusters: map[actors.SyncTarget]*cluster{}, folder: map[actors.SyncTarget]string{},
		}
		for _, name := range targets {
			w.clusters[name] = newCluster()
			w.folder[name] = w.clusters[name].located(w.target(name), "default")
		}
		prepare(w)
		w.start()
		test(w)
		w.stop()
	})
}

func (w *world) target(name actors.SyncTarget) locator.Target {
	return locator.Target{Name: name, Cluster: "root:infra", UID: "uid-" + string(name)}
}

func (w *world) start() {
	w.t.Helper()
	var err error
	w.metrics, err = metrics.New(nil)
	w.must(err)
	port := w.port
	if port == nil {
		port = w.upstream
	}
	w.system, err = supervisor.New(supervisor.Options{Upstream: port, Metrics: w.metrics})
	w.must(err)
	w.must(w.system.AddResource(deployments))
	for _, name := range w.targets {
		w.must(w.system.AddTarget(supervisor.Target{Name: name, Cluster: "root:infra", UID: "uid-" + string(name),
			Workspaces: []actors.Workspace{"team-a"}}, w.clusters[name]))
	}
	w.must(w.system.Start(w.t.Context()))
	synctest.Wait()
}

func (w *world) ready(name actors.SyncTarget, ready int) {
	w.clusters[name].put(deployments, deployment(w.folder[name], "web", ready))
}

func (w *world) condition(kind string) map[string]any {
	w.t.Helper()
	conditions, _ := w.upstream.status(web)["conditions"].([]any)
	for _, c := range conditions {
		if m := c.(map[string]any); m["type"] == kind {
			return m
		}
	}
	return nil
}

func everywhere(ready int) func(*world) {
	return func(w *world) {
		w.upstream.put(web, 1, nil)
		for _, name := range w.targets {
			w.ready(name, ready)
		}
	}
}

var three = []actors.SyncTarget{"east", "north", "west"}

func TestAStaleSyncTargetIsHeldAndNamed(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		w.settle()
		w.wantReady(6)
		w.clusters["west"].goAway(true)
		w.ready("east", 3)
		time.Sleep(30 * time.Second)
		w.wantReady(7)
		if got := w.condition("Available")["status"]; got != "True" {
			t.Errorf("within the grace Available is %v", got)
		}
		time.Sleep(30 * time.Second)
		w.wantReady(7)
		if got := w.condition("Available")["status"]; got != "Unknown" {
			t.Errorf("with a stale SyncTarget Available is %v, want Unknown", got)
		}
		if got := fmt.Sprint(w.condition("upstreamd.dev/Aggregated")["message"]); !strings.Contains(got, "west") || !strings.Contains(got, "2/3") {
			t.Errorf("the summary is %q", got)
		}
		w.clusters["west"].goAway(false)
		time.Sleep(2 * time.Minute)
		w.wantReady(7)
		if got := w.condition("Available")["status"]; got != "True" {
			t.Errorf("after it came back Available is %v", got)
		}
	})
}

func TestARestartDuringAnOutageShrinksNothing(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		w.settle()
		w.wantReady(6)
		w.clusters["west"].goAway(true)
		w.stop()
		w.start()
		w.ready("east", 1)
		for range 120 {
			time.Sleep(time.Second)
			if got := w.upstream.status(web)["readyReplicas"].(float64); got < 6 {
				t.Fatalf("published readyReplicas shrank to %v while nothing is known of west", got)
			}
		}
		if got := fmt.Sprint(w.condition("upstreamd.dev/Aggregated")["message"]); !strings.Contains(got, "west") {
			t.Errorf("the summary is %q, and does not name west", got)
		}
		w.clusters["west"].goAway(false)
		w.ready("west", 3)
		time.Sleep(2 * time.Minute)
		w.wantReady(6) // 1 + 2 + 3
	})
}

func TestARelistWithoutChangeWritesNothing(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		w.settle()
		before := len(w.upstream.patches())
		for range 5 {
			for _, c := range w.clusters {
				c.relist(deployments, nil)
			}
			w.settle()
		}
		if n := len(w.upstream.patches()) - before; n != 0 {
			t.Errorf("%d PATCH calls after relists without a change", n)
		}
	})
}

// A copy that was created anew while the watch was broken takes the place of the one before, without a moment in which neither counts.
func TestACopyReplacedWhileTheWatchIsBrokenCountsThroughout(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		w.settle()
		before := len(w.upstream.patches())
		w.clusters["west"].relist(deployments, func(all map[ref.Downstream]*ref.Object) {
			for name, o := range all {
				again := *o
				again.UID, again.ResourceVersion, again.Status = "another", "1000000", deployment("", "", 3).Status
				all[name] = &again
			}
		})
		w.settle()
		w.wantReady(7)
		if calls := w.upstream.patches()[before:]; len(calls) != 1 {
			t.Errorf("%d PATCH calls, want 1: %v", len(calls), calls)
		}
	})
}

func TestAMassOfVanishedObjectsNeedsASecondList(t *testing.T) {
	const many = 40
	prepare := func(w *world) {
		for n := range many {
			name := fmt.Sprintf("web-%d", n)
			w.upstream.put(ref.Upstream{Workspace: "team-a", Namespace: "default", Name: name}, 1, nil)
			for _, target := range w.targets {
				w.clusters[target].put(deployments, deployment(w.folder[target], name, 2))
			}
		}
	}
	inWorld(t, []actors.SyncTarget{"east", "west"}, prepare, func(w *world) {
		w.settle()
		before := len(w.upstream.patches())
		west := w.clusters["west"]
		west.mu.Lock()
		west.send(deployments, ref.Event{Type: ref.Listed}) // an empty list, though all is there
		west.mu.Unlock()
		w.settle()
		if n := len(w.upstream.patches()) - before; n != 0 {
			t.Errorf("one empty list led to %d PATCH calls, though a second list has all objects", n)
		}
		west.relist(deployments, func(all map[ref.Downstream]*ref.Object) { clear(all) })
		w.settle()
		for n := range many {
			u := ref.Upstream{Workspace: "team-a", Namespace: "default", Name: fmt.Sprintf("web-%d", n)}
			if got := w.upstream.status(u)["readyReplicas"]; got != 2.0 {
				t.Fatalf("%s has readyReplicas %v, want 2 as west's copy is gone", u, got)
			}
		}
	})
}

func TestObjectsOfANamespaceThatIsNotKnownYetArrive(t *testing.T) {
	inWorld(t, []actors.SyncTarget{"east"}, func(w *world) {
		w.upstream.put(ref.Upstream{Workspace: "team-a", Namespace: "late", Name: "web"}, 1, nil)
	}, func(w *world) {
		east := w.clusters["east"]
		elsewhere := newCluster()
		name := elsewhere.located(w.target("east"), "late") // the name that the Namespace will have
		east.put(deployments, deployment(name, "web", 2))
		w.settle()
		if n := len(w.upstream.patches()); n != 0 {
			t.Fatalf("%d PATCH calls for an object in a Namespace that is not known", n)
		}
		east.located(w.target("east"), "late")
		w.settle()
		if got := w.upstream.status(ref.Upstream{Workspace: "team-a", Namespace: "late", Name: "web"})["readyReplicas"]; got != 2.0 {
			t.Errorf("readyReplicas = %v, want 2", got)
		}
	})
}

func TestForeignObjectsCostNoActor(t *testing.T) {
	inWorld(t, []actors.SyncTarget{"east"}, func(w *world) {
		w.clusters["east"].put(namespaces, ref.Object{Name: "foreign"})
		for n := range 500 {
			w.clusters["east"].put(deployments, deployment("foreign", fmt.Sprint("web-", n), 1))
		}
		everywhere(1)(w)
	}, func(w *world) {
		w.settle()
		w.wantReady(1)
		if got := testutil.ToFloat64(w.metrics.Objects.WithLabelValues("east", "deployments.v1.apps")); got != 1 {
			t.Errorf("%v object actors, want 1", got)
		}
	})
}

func TestAForgedLocatorIsRefused(t *testing.T) {
	inWorld(t, []actors.SyncTarget{"east", "west"}, everywhere(1), func(w *world) {
		w.settle()
		before := len(w.upstream.patches())
		east := w.clusters["east"]
		// A Namespace with the locator of west, and one with the right locator under a wrong name.
		name := east.located(w.target("west"), "default")
		east.put(deployments, deployment(name, "web", 3))
		honest := east.objects[namespaces][ref.Downstream{Name: w.folder["east"]}]
		east.put(namespaces, ref.Object{Name: "kcp-000000000000", Annotations: honest.Annotations})
		east.put(deployments, deployment("kcp-000000000000", "web", 3))
		w.settle()
		w.wantReady(2)
		if n := len(w.upstream.patches()) - before; n != 0 {
			t.Errorf("forged locators led to %d PATCH calls", n)
		}
		if got := testutil.ToFloat64(w.metrics.Rejected.WithLabelValues("identity")); got < 2 {
			t.Errorf("%v identity errors counted, want 2", got)
		}
	})
}

func TestABadObjectHurtsOnlyItself(t *testing.T) {
	other := ref.Upstream{Workspace: "team-a", Namespace: "default", Name: "other"}
	inWorld(t, []actors.SyncTarget{"east"}, func(w *world) {
		everywhere(1)(w)
		w.upstream.put(other, 1, nil)
		bad := deployment(w.folder["east"], "other", 1)
		bad.Status, bad.Err = nil, fmt.Errorf("a byte that is no JSON")
		w.clusters["east"].put(deployments, bad)
	}, func(w *world) {
		w.settle()
		w.wantReady(1)
		if got := w.upstream.status(other)["readyReplicas"]; got != nil {
			t.Errorf("an undecodable object led to readyReplicas %v", got)
		}
		w.clusters["east"].put(deployments, deployment(w.folder["east"], "other", 2))
		w.settle()
		if got := w.upstream.status(other)["readyReplicas"]; got != 2.0 {
			t.Errorf("mended, it has readyReplicas %v, want 2", got)
		}
	})
}

func TestAFailedWatchIsRestartedWithAnEvent(t *testing.T) {
	inWorld(t, []actors.SyncTarget{"east", "west"}, everywhere(1), func(w *world) {
		w.settle()
		var failures atomic.Int64
		w.system.Subscribe(func(e supervisor.Event) {
			if _, ok := e.(supervisor.Failure); ok {
				failures.Add(1)
			}
		})
		w.must(w.system.RemoveTarget(w.t.Context(), "west"))
		w.clusters["west"].panics = 3
		w.must(w.system.AddTarget(supervisor.Target{Name: "west", Cluster: "root:infra", Workspaces: []actors.Workspace{"team-a"}}, w.clusters["west"]))
		w.settle()
		w.ready("west", 3)
		w.settle()
		w.wantReady(4)
		if failures.Load() != 3 {
			t.Errorf("%d failure events, want 3", failures.Load())
		}
		if got := testutil.ToFloat64(w.metrics.Restarts.WithLabelValues("watch")); got != 3 {
			t.Errorf("%v restarts counted, want 3", got)
		}
	})
}

// Watches wait for the Namespaces to be known. The watch of Namespaces may fail before that.
func TestAFailedWatchOfNamespacesIsNotWaitedFor(t *testing.T) {
	inWorld(t, []actors.SyncTarget{"east"}, func(w *world) {
		everywhere(2)(w)
		w.clusters["east"].falters = 2
	}, func(w *world) {
		time.Sleep(10 * time.Second)
		w.settle()
		w.wantReady(2)
	})
}

func TestObjectDeletedAndRecreatedDownstreamEndsTrue(t *testing.T) {
	inWorld(t, []actors.SyncTarget{"east"}, everywhere(1), func(w *world) {
		w.settle()
		east := w.clusters["east"]
		for n := range 100 {
			east.remove(deployments, w.folder["east"], "web")
			w.ready("east", n%4)
			if n%10 == 0 {
				time.Sleep(20 * time.Millisecond)
			}
		}
		w.ready("east", 2)
		w.settle()
		w.wantReady(2)
		if got := testutil.ToFloat64(w.metrics.Objects.WithLabelValues("east", "deployments.v1.apps")); got != 1 {
			t.Errorf("%v object actors, want 1", got)
		}
	})
}

func TestBindingsMayChangeWhileItRuns(t *testing.T) {
	elsewhere := ref.Upstream{Workspace: "team-b", Namespace: "default", Name: "web"}
	inWorld(t, []actors.SyncTarget{"east"}, func(w *world) {
		everywhere(1)(w)
		w.upstream.put(elsewhere, 1, nil)
		east := w.clusters["east"]
		east.put(namespaces, ref.Object{Name: "kcp-team-b-default"})
		east.put(deployments, deployment("kcp-team-b-default", "web", 2))
	}, func(w *world) {
		w.settle()
		if got := w.upstream.status(elsewhere); got != nil {
			t.Fatalf("a workspace that east is not bound to got %v", got)
		}
		east := supervisor.Target{Name: "east", Cluster: "root:infra", UID: "uid-east", Workspaces: []actors.Workspace{"team-a", "team-b"}}
		w.must(w.system.SetTarget(east))
		w.settle()
		w.wantReady(1)
		if got := w.upstream.status(elsewhere)["readyReplicas"]; got != 2.0 {
			t.Errorf("once bound, team-b has readyReplicas %v, want 2", got)
		}
		before := len(w.upstream.patches())
		w.must(w.system.SetTarget(east))
		w.settle()
		if n := len(w.upstream.patches()) - before; n != 0 {
			t.Errorf("%d PATCH calls though nothing about the SyncTarget changed", n)
		}
		east.Workspaces = []actors.Workspace{"team-a"}
		w.must(w.system.SetTarget(east))
		w.settle()
		w.wantReady(1)
	})
}

func TestAResourceMayBeRemovedAndAddedAgain(t *testing.T) {
	inWorld(t, three, everywhere(1), func(w *world) {
		w.settle()
		w.wantReady(3)
		for range 20 {
			w.must(w.system.RemoveResource(deployments))
			w.must(w.system.AddResource(deployments))
		}
		w.ready("east", 3)
		w.settle()
		w.wantReady(5)
		for _, name := range w.targets {
			if got := testutil.ToFloat64(w.metrics.Objects.WithLabelValues(string(name), "deployments.v1.apps")); got != 1 {
				t.Errorf("%v object actors in %s, want 1", got, name)
			}
		}
		if got := testutil.ToFloat64(w.metrics.Failures.WithLabelValues("object")); got != 0 {
			t.Errorf("%v actors failed", got)
		}
	})
}
