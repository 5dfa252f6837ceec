package supervisor_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/supervisor"
)

// report emits an event on the watches of a resource.
func (c *cluster) report(r ref.Resource, e ref.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send(r, e)
}

func forbidden(r ref.Resource) error {
	return apierrors.NewForbidden(r.GroupResource(), "", nil)
}

// A watch that is refused makes its resource stale after the grace period, with any answers of probes, and fresh as soon as it is live.
func TestARefusedWatchIsStaleThoughProbesSucceed(t *testing.T) {
	for name, c := range map[string]struct {
		broken  ref.Resource
		recover func(*cluster, ref.Resource)
	}{
		"its own, relisted":        {deployments, func(c *cluster, r ref.Resource) { c.relist(r, nil) }},
		"its own, resumed":         {deployments, func(c *cluster, r ref.Resource) { c.report(r, ref.Event{Type: ref.Resumed}) }},
		"that of Namespaces":       {namespaces, func(c *cluster, r ref.Resource) { c.relist(r, nil) }},
		"of Namespaces, resumed":   {namespaces, func(c *cluster, r ref.Resource) { c.report(r, ref.Event{Type: ref.Resumed}) }},
		"its own, with an event":   {deployments, func(c *cluster, _ ref.Resource) { c.put(deployments, deployment("elsewhere", "web", 1)) }},
		"Namespaces, with one too": {namespaces, func(c *cluster, r ref.Resource) { c.put(r, ref.Object{Name: "another"}) }},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, three, everywhere(2), func(w *world) {
				w.settle()
				west := w.clusters["west"]
				live := w.metrics.WatchLive.WithLabelValues("west", ref.ResourceString(c.broken))
				if got := testutil.ToFloat64(live); got != 1 {
					t.Errorf("watch_live is %v, want 1", got)
				}
				for second := 0; second < 39; second += 3 { // each attempt is refused
					west.report(c.broken, ref.Event{Type: ref.Failed, Err: forbidden(c.broken)})
					time.Sleep(3 * time.Second)
				}
				w.wantState(6, "True", "3/3 SyncTargets reporting")
				time.Sleep(2 * time.Second)
				w.wantState(6, "Unknown", "2/3 SyncTargets reporting: west stale")
				if got := testutil.ToFloat64(live); got != 0 {
					t.Errorf("watch_live is %v, want 0", got)
				}
				if got := testutil.ToFloat64(w.metrics.Stale.WithLabelValues("west")); got != 1 {
					t.Errorf("sync_target_stale is %v, want 1", got)
				}
				time.Sleep(time.Minute)
				w.wantState(6, "Unknown", "2/3 SyncTargets reporting: west stale")

				c.recover(west, c.broken)
				time.Sleep(10 * time.Second)
				w.wantState(6, "True", "3/3 SyncTargets reporting")
				if got := testutil.ToFloat64(w.metrics.Stale.WithLabelValues("west")); got != 0 {
					t.Errorf("sync_target_stale is %v, want 0", got)
				}
			})
		})
	}
}

// A refused watch of one resource leaves the others fresh.
func TestOneRefusedWatchLeavesOtherResourcesFresh(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		w.must(w.system.AddResource(statefulSets))
		w.settle()
		var stale atomic.Int64
		w.t.Cleanup(w.system.Subscribe(func(e supervisor.Event) {
			if h, ok := e.(supervisor.Health); ok {
				if h.Resource != statefulSets || h.Target != "west" {
					t.Errorf("health event %+v", h)
				}
				stale.Add(1)
			}
		}))
		w.clusters["west"].report(statefulSets, ref.Event{Type: ref.Failed, Err: forbidden(statefulSets)})
		time.Sleep(2 * time.Minute)
		w.wantState(6, "True", "3/3 SyncTargets reporting")
		w.must(w.system.RemoveResource(statefulSets))
		w.settle()
		if got := testutil.CollectAndCount(w.metrics.WatchLive); got != 6 { // Namespaces and Deployments of three
			t.Errorf("%d series of watch_live, want 6", got)
		}
		if stale.Load() != 1 {
			t.Errorf("%d health events, want 1", stale.Load())
		}
	})
}

var statefulSets = actors.Resource{Group: "apps", Version: "v1", Resource: "statefulsets"}

// waking is a cluster with watches that back off until they are woken.
type waking struct {
	*cluster
	wakes atomic.Int64
}

func (c *waking) Wake() {
	c.wakes.Add(1)
	c.relist(deployments, nil)
	c.relist(namespaces, nil)
}

// A probe that succeeds after failures wakes the watches, which may be backing off.
func TestASuccessfulProbeWakesBrokenWatches(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		south := &waking{cluster: newCluster()}
		folder := w.add("south", south.cluster, south, 1)
		time.Sleep(time.Minute)
		w.wantState(7, "True", "4/4 SyncTargets reporting")
		if n := south.wakes.Load(); n != 0 {
			t.Errorf("woken %d times, though no probe failed", n)
		}
		south.goAway(true)
		time.Sleep(2 * time.Minute)
		w.wantState(7, "Unknown", "3/4 SyncTargets reporting: south stale")
		south.mu.Lock()
		south.away = false // reachable; its watches wait
		south.mu.Unlock()
		south.put(deployments, deployment(folder, "web", 3))
		time.Sleep(11 * time.Second)
		w.wantState(9, "True", "4/4 SyncTargets reporting")
		if n := south.wakes.Load(); n != 1 {
			t.Errorf("woken %d times, want once", n)
		}
	})
}

// hanging is a cluster with probes that stop to answer and ignore their context.
type hanging struct {
	*cluster
	hang chan struct{}
}

func (c *hanging) Probe(context.Context) error {
	<-c.hang
	return nil
}

// A probe that never returns is a probe that fails.
func TestAProbeThatNeverReturnsIsNoContact(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		south := &hanging{cluster: newCluster(), hang: make(chan struct{})}
		w.add("south", south.cluster, south, 1)
		w.wantState(7, "True", "4/4 SyncTargets reporting")
		time.Sleep(time.Minute)
		w.wantState(7, "Unknown", "3/4 SyncTargets reporting: south stale")
		close(south.hang)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		w.wantState(7, "True", "4/4 SyncTargets reporting")
	})
}

// faltering is a cluster with a bug in its connection: the actor that asks for the last contact fails.
type faltering struct {
	*cluster
	fails atomic.Int64 // how many of the next calls panic
}

func (c *faltering) LastHeard() time.Time {
	if c.fails.Load() > 0 {
		c.fails.Add(-1)
		panic("a bug in the edge")
	}
	return time.Time{}
}

// add starts a further SyncTarget with one copy of web.
func (w *world) add(name actors.SyncTarget, c *cluster, port actors.Downstream, ready int) (folder string) {
	folder = c.located(w.target(name), "default")
	c.put(deployments, deployment(folder, "web", ready))
	w.must(w.system.AddTarget(supervisor.Target{Name: name, Cluster: "root:infra", UID: "uid-" + string(name), Workspaces: []actors.Workspace{"team-a"}}, port))
	w.settle()
	return folder
}

// A target's actor that fails while its SyncTarget is stale does not make it fresh.
func TestAStaleSyncTargetStaysStaleWhenItsActorFails(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		south := &faltering{cluster: newCluster()}
		w.add("south", south.cluster, south, 1)
		south.goAway(true)
		time.Sleep(time.Minute)
		w.wantState(7, "Unknown", "3/4 SyncTargets reporting: south stale")
		before := len(w.upstream.patches())
		south.fails.Store(1)
		time.Sleep(5 * time.Minute)
		w.wantState(7, "Unknown", "3/4 SyncTargets reporting: south stale")
		if n := len(w.upstream.patches()) - before; n != 0 {
			t.Errorf("%d PATCH calls, want none", n)
		}
		if got := testutil.ToFloat64(w.metrics.Restarts.WithLabelValues("target")); got != 1 {
			t.Errorf("%v restarts of targets, want 1", got)
		}
		south.goAway(false)
		time.Sleep(2 * time.Minute)
		w.wantState(7, "True", "4/4 SyncTargets reporting")
	})
}
