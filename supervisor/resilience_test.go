package supervisor_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/supervisor"
)

// counting is a faltering cluster with probes that take almost their whole interval. Each outcome of a probe asks for the last contact.
type counting struct {
	faltering
	outcomes atomic.Int64
}

func (c *counting) Probe(ctx context.Context) error {
	select {
	case <-time.After(9980 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *counting) LastHeard() time.Time {
	c.outcomes.Add(1)
	return c.faltering.LastHeard()
}

// A target's actor that is restarted probes no more often than before, also if its timer fires between the failure and the restart, which
// comes after a pause from the second failure on.
func TestARestartedTargetProbesAtItsPace(t *testing.T) {
	inWorld(t, three[:1], everywhere(2), func(w *world) {
		south := &counting{faltering: faltering{cluster: newCluster()}}
		w.add("south", south.cluster, south, 1)
		for range 5 {
			south.fails.Store(3)
			time.Sleep(5 * time.Minute)
		}
		if got := testutil.ToFloat64(w.metrics.Restarts.WithLabelValues("target")); got != 15 {
			t.Errorf("%v restarts, want 15", got)
		}
		before := south.outcomes.Load()
		time.Sleep(10 * time.Minute)
		if n := south.outcomes.Load() - before; n < 59 || n > 61 {
			t.Errorf("%d outcomes of probes in 10 minutes, want one every 10 s", n)
		}
	})
}

// SetTarget may be called at any time, also while the actors that use the facts are being restarted. Run with -race.
func TestSetTargetDuringRestarts(t *testing.T) {
	inWorld(t, three[:1], everywhere(2), func(w *world) {
		south := &faltering{cluster: newCluster()}
		w.add("south", south.cluster, south, 1)
		facts := supervisor.Target{Name: "south", Cluster: "root:infra", UID: "uid-south", Workspaces: []actors.Workspace{"team-a"}}
		for n := range 50 {
			south.fails.Store(1)
			south.mu.Lock()
			south.panics = 1
			south.mu.Unlock()
			for range 20 {
				facts.Workspaces = []actors.Workspace{"team-a", actors.Workspace([]string{"team-b", "team-c"}[n%2])}
				w.must(w.system.SetTarget(facts))
				time.Sleep(time.Second)
			}
		}
		time.Sleep(5 * time.Minute)
		w.wantReady(3)
		for _, role := range []string{"target", "watch"} {
			if got := testutil.ToFloat64(w.metrics.Restarts.WithLabelValues(role)); got < 2 {
				t.Errorf("%v restarts of actors %q, want several", got, role)
			}
		}
		go func() { // while the System stops
			for range 100 {
				_ = w.system.SetTarget(facts)
			}
		}()
	})
}

// Subscribers may come before Start, and one that panics hurts neither the actors nor other subscribers.
func TestSubscribersBeforeStartAndWithABug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{flow: &flow{t: t, upstream: newWorkspaces()}, targets: three, clusters: map[actors.SyncTarget]*cluster{}, folder: map[actors.SyncTarget]string{}}
		for _, name := range three {
			w.clusters[name] = newCluster()
			w.folder[name] = w.clusters[name].located(w.target(name), "default")
		}
		everywhere(2)(w)
		var published, ended atomic.Int64
		var err error
		w.metrics, err = metrics.New(nil)
		w.must(err)
		w.system, err = supervisor.New(supervisor.Options{Upstream: w.upstream, Metrics: w.metrics})
		w.must(err)
		w.system.Subscribe(func(supervisor.Event) { panic("a bug in the program") })
		w.system.Subscribe(func(e supervisor.Event) {
			if _, ok := e.(supervisor.Published); ok {
				published.Add(1)
			}
		})
		w.system.Subscribe(func(supervisor.Event) { ended.Add(1) })()
		w.must(w.system.AddResource(deployments))
		for _, name := range three {
			w.must(w.system.AddTarget(supervisor.Target{Name: name, Cluster: "root:infra", UID: "uid-" + string(name),
				Workspaces: []actors.Workspace{"team-a"}}, w.clusters[name]))
		}
		w.startNow()
		w.settle()
		w.wantReady(6)
		if published.Load() == 0 || ended.Load() != 0 {
			t.Errorf("%d events for a subscriber, %d for one that had ended", published.Load(), ended.Load())
		}
		for _, role := range []string{"bucket", "aggregator", "target", "watch", "writer"} {
			if got := testutil.ToFloat64(w.metrics.Failures.WithLabelValues(role)); got != 0 {
				t.Errorf("%v failures of actors %q", got, role)
			}
		}
		w.stop()
	})
}

// closing is a cluster that panics in Close.
type closing struct{ *cluster }

func (c *closing) Close() { panic("a bug in the edge") }

// A connection that panics when it is closed does not keep its SyncTarget from being removed, nor restart the others.
func TestAConnectionThatPanicsOnCloseIsRemoved(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		for range 3 {
			south := &closing{newCluster()}
			w.add("south", south.cluster, south, 1)
			w.wantReady(7)
			w.must(w.system.RemoveTarget(w.t.Context(), "south"))
			w.settle()
			w.wantReady(6)
		}
		if got := testutil.ToFloat64(w.metrics.Failures.WithLabelValues("upstreamd")); got != 0 {
			t.Errorf("%v failures of the root", got)
		}
	})
}

// A removal that was not waited for to its end is done nevertheless, and the name is free again.
func TestARemovalThatIsNotWaitedFor(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		south := &faltering{cluster: newCluster()}
		w.add("south", south.cluster, south, 1)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := w.system.RemoveTarget(ctx, "south"); err == nil {
			t.Error("the removal ended before its actors did")
		}
		w.settle()
		w.wantReady(6)
		again := &faltering{cluster: newCluster()}
		w.add("south", again.cluster, again, 3)
		w.wantReady(9)
	})
}

// Objects of a removed resource that were pushed are forgotten; added again, the program hands them over again.
func TestARemovedResourceIsForgottenByPushTargets(t *testing.T) {
	run(t, []actors.SyncTarget{"east"}, func(f *flow) {
		f.upstream.put(web, 1, nil)
		f.reports("east", 2)
		f.synced("east")
		f.settle()
		f.wantReady(2)
		if n := f.system.Pushed("east", deployments); n != 1 {
			t.Errorf("%d objects are kept, want 1", n)
		}
		f.must(f.system.RemoveResource(deployments))
		f.settle()
		if n := f.system.Pushed("east", deployments); n != 0 {
			t.Errorf("%d objects of a removed resource are kept", n)
		}
		f.must(f.system.AddResource(deployments))
		f.reports("east", 3)
		f.synced("east")
		f.settle()
		f.wantReady(3)
	})
}

// Pushed objects, in Namespaces that are known by their names alone, come and go and leave nothing behind.
func TestChurnOfPushedObjectsLeavesNothing(t *testing.T) {
	run(t, []actors.SyncTarget{"east"}, func(f *flow) {
		f.synced("east")
		idle, most := f.system.Actors(), 0
		for n := range 20_000 {
			f.versions++
			u := f.copyOfWeb("east", 1)
			u.SetNamespace(fmt.Sprint("kcp-team-a-ns", n))
			f.must(f.system.SyncStatus(f.t.Context(), "east", deployments, u))
			if n%100 == 0 {
				f.settle()
				most = max(most, f.system.Actors())
			}
			f.must(f.system.Forget(f.t.Context(), "east", deployments, u.GetNamespace(), u.GetName()))
		}
		f.settle()
		if n := f.system.Pushed("east", deployments); n != 0 {
			t.Errorf("%d objects are kept", n)
		}
		if n := f.system.Actors(); n != idle || most <= idle {
			t.Errorf("%d actors before, %d at most, %d at the end", idle, most, n)
		}
	})
}
