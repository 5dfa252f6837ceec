package supervisor_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/supervisor"
)

// least watches the published status until stop is called, and returns the lowest number of ready replicas.
func (w *world) least() (stop func() float64) {
	low, done := w.readyNow(), make(chan struct{})
	go func() {
		for {
			select {
			case <-w.t.Context().Done(): // a test that failed
				return
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				low = min(low, w.readyNow())
			}
		}
	}()
	return func() float64 {
		close(done)
		synctest.Wait()
		return low
	}
}

func (w *world) readyNow() float64 {
	ready, _ := w.upstream.status(web)["readyReplicas"].(float64)
	return ready
}

// A SyncTarget is replaced by another of its name: the copies of the first are withdrawn, and nothing shrinks meanwhile.
func TestASyncTargetIsReplacedWithoutAFlap(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		w.settle()
		w.wantReady(6)
		low := w.least()
		next := supervisor.Target{Name: "west", Cluster: "root:infra", UID: "another", Workspaces: []actors.Workspace{"team-a"}}
		other := newCluster()
		folder := other.located(locator.Target{Name: "west", Cluster: "root:infra", UID: "another"}, "default")
		other.put(deployments, deployment(folder, "web", 3))
		other.goAway(true)
		w.must(w.system.ReplaceTarget(w.t.Context(), next, other))
		if !w.clusters["west"].isClosed() {
			t.Error("the connection of the one that left is open")
		}
		w.ready("west", 1) // its watch has ended
		time.Sleep(20 * time.Second)
		w.wantReady(6)
		other.goAway(false)
		time.Sleep(5 * time.Second)
		w.wantReady(7)
		if lowest := low(); lowest < 6 {
			t.Errorf("%v ready replicas were published meanwhile", lowest)
		}
		w.must(w.system.RemoveTarget(w.t.Context(), "west"))
		w.settle()
		w.wantReady(4)
		if err := w.system.ReplaceTarget(w.t.Context(), next, newCluster()); err == nil {
			t.Error("one that is not there was replaced")
		}
	})
}

// SyncTargets that are superseded before they began are closed like those that had begun.
func TestReplacedBeforeItBegan(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		w.settle()
		target := func(uid string) supervisor.Target {
			return supervisor.Target{Name: "west", Cluster: "root:infra", UID: uid, Workspaces: []actors.Workspace{"team-a"}}
		}
		clusters := []*cluster{newCluster(), newCluster(), newCluster()}
		ended := make(chan error, len(clusters))
		for i, c := range clusters {
			go func() { ended <- w.system.ReplaceTarget(w.t.Context(), target(fmt.Sprint(i)), c) }()
		}
		for range clusters {
			w.must(<-ended)
		}
		w.must(w.system.RemoveTarget(w.t.Context(), "west"))
		w.settle()
		w.wantReady(4)
		for i, c := range append(clusters, w.clusters["west"]) {
			if !c.isClosed() {
				t.Errorf("cluster %d is open", i)
			}
		}
	})
}

// The scheduling fields of a SyncTarget object change decisions without a list.
func TestEvictedSyncTargetsDoNotCount(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		w.settle()
		w.wantReady(6)
		lists := w.clusters["west"].watched()
		west := supervisor.Target{Name: "west", Cluster: "root:infra", UID: "uid-west", Workspaces: []actors.Workspace{"team-a"}}
		west.Scheduling = supervisor.Scheduling{Unschedulable: true, Evicted: true}
		w.must(w.system.SetTarget(west))
		w.settle()
		w.wantReady(4)
		west.Scheduling.Evicted = false
		w.must(w.system.SetTarget(west))
		w.settle()
		w.wantReady(6)
		if got := w.clusters["west"].watched(); got != lists {
			t.Errorf("%d watches, %d before", got, lists)
		}
	})
}

// A thousand SyncTargets that come with objects and go leave nothing behind.
func TestAThousandSyncTargetsLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		counted, err := metrics.New(registry)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{flow: &flow{t: t, upstream: newWorkspaces()}, metrics: counted}
		w.system, err = supervisor.New(supervisor.Options{Upstream: w.upstream, Metrics: counted})
		w.must(err)
		w.must(w.system.AddResource(deployments))
		w.must(w.system.Start(t.Context()))
		const objects = 5
		for n := range objects {
			u := web
			u.Name = fmt.Sprint("web-", n)
			w.upstream.put(u, 1, nil)
		}
		cycle := func() {
			c := newCluster()
			folder := c.located(locator.Target{Name: "east", Cluster: "root:infra", UID: "u"}, "default")
			for n := range objects {
				c.put(deployments, deployment(folder, fmt.Sprint("web-", n), 1))
			}
			w.must(w.system.AddTarget(supervisor.Target{Name: "east", Cluster: "root:infra", UID: "u", Workspaces: []actors.Workspace{"team-a"}}, c))
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			w.must(w.system.RemoveTarget(t.Context(), "east"))
			synctest.Wait()
		}
		look := func() (goroutines, alive int, heap uint64, series int) {
			time.Sleep(2 * time.Minute) // timers of grace and deadline run out
			synctest.Wait()
			families, err := registry.Gather()
			w.must(err)
			for _, f := range families {
				series += len(f.GetMetric())
				for _, m := range f.GetMetric() {
					for _, l := range m.GetLabel() {
						if l.GetName() == "sync_target" && l.GetValue() == "east" {
							t.Errorf("%s still has a series of the SyncTarget", f.GetName())
						}
					}
				}
			}
			for range 3 {
				runtime.GC()
			}
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			return runtime.NumGoroutine(), w.system.Actors(), stats.HeapAlloc, series
		}
		w.system.GrowRegistry()
		for range 20 {
			cycle()
		}
		goroutines, actorsBefore, heap, series := look()
		published := len(w.upstream.patches())
		for range 1000 {
			cycle()
		}
		w.upstream.forgetCalls()
		goroutinesAfter, actorsAfter, heapAfter, seriesAfter := look()
		t.Logf("before and after 1,000 cycles: %d and %d goroutines, %d and %d actors, %d and %d series, %d and %d KiB of heap",
			goroutines, goroutinesAfter, actorsBefore, actorsAfter, series, seriesAfter, heap>>10, heapAfter>>10)
		if published == 0 {
			t.Error("nothing was published: the cycles did nothing")
		}
		if goroutinesAfter > goroutines || seriesAfter > series+5 { // a few, such as a reason, are only seen now and then
			t.Errorf("%d goroutines and %d series more", goroutinesAfter-goroutines, seriesAfter-series)
		}
		if actorsBefore == 0 || actorsAfter != actorsBefore {
			t.Errorf("%d actors, %d before", actorsAfter, actorsBefore)
		}
		if grown := int64(heapAfter) - int64(heap); grown > 512<<10 {
			t.Errorf("%d KiB of heap more", grown>>10)
		}
		w.stop()
	})
}

// Explain shows the scheduling of a SyncTarget, as a reason why another one is the primary.
func TestSchedulingIsExplained(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		w.must(w.system.SetTarget(supervisor.Target{Name: "west", Cluster: "root:infra", UID: "uid-west",
			Workspaces: []actors.Workspace{"team-a"}, Scheduling: supervisor.Scheduling{Unschedulable: true}}))
		w.settle()
		e, err := w.system.Explain(w.t.Context(), deployments, web)
		w.must(err)
		var unschedulable []string
		for _, s := range e.Input.Sources {
			if s.Unschedulable {
				unschedulable = append(unschedulable, string(s.Target))
			}
		}
		if got := strings.Join(unschedulable, ","); got != "west" {
			t.Errorf("unschedulable are %q", got)
		}
	})
}
