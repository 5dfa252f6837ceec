package supervisor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/supervisor"
)

// inBuckets runs a test with three SyncTargets, bound to all workspaces; their Deployments are decided in a number of buckets.
func inBuckets(t *testing.T, buckets int, port func(*workspaces) actors.Upstream, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{flow: &flow{t: t, upstream: newWorkspaces()}, targets: three, clusters: map[actors.SyncTarget]*cluster{}}
		var err error
		w.metrics, err = metrics.New(nil)
		w.must(err)
		upstream := actors.Upstream(w.upstream)
		if port != nil {
			upstream = port(w.upstream)
		}
		w.system, err = supervisor.New(supervisor.Options{Upstream: upstream, Metrics: w.metrics, Buckets: buckets})
		w.must(err)
		w.must(w.system.AddResource(deployments))
		for _, name := range three {
			w.clusters[name] = newCluster()
			w.must(w.system.AddTarget(supervisor.Target{Name: name, Cluster: "root:infra", UID: "uid-" + string(name),
				Workspaces: []actors.Workspace{locator.All}}, w.clusters[name]))
		}
		test(w)
		w.stop()
	})
}

// spread puts objects into namespaces of workspaces, so that all buckets have some, with a copy in each SyncTarget.
func (w *world) spread(objects int) (names []ref.Upstream) {
	for n := range objects {
		names = append(names, ref.Upstream{Workspace: ref.Workspace(fmt.Sprint("ws-", n%7)), Namespace: fmt.Sprint("ns-", n%13), Name: fmt.Sprint("web-", n)})
	}
	for _, u := range names {
		w.upstream.put(u, 1, nil)
	}
	for i, target := range three {
		resolver, err := locator.New([]string{locator.NamespaceLocator}, w.target(target))
		w.must(err)
		for n, u := range names {
			down, err := resolver.DownNamespace(u.Workspace, u.Namespace)
			w.must(err)
			if n < 7*13 {
				w.clusters[target].put(namespaces, ref.Object{Name: down.Name, Labels: down.Labels, Annotations: down.Annotations})
			}
			w.clusters[target].put(deployments, deployment(down.Name, u.Name, 1+(i+n)%3))
		}
	}
	return names
}

func (w *world) startNow() {
	w.must(w.system.Start(w.t.Context()))
	synctest.Wait()
}

// statuses are the published statuses, without times.
func (w *world) statuses(names []ref.Upstream) map[string]string {
	out := map[string]string{}
	for _, u := range names {
		status := w.upstream.status(u)
		conditions, _ := status["conditions"].([]any)
		for _, c := range conditions {
			delete(c.(map[string]any), "lastTransitionTime")
		}
		text, err := json.Marshal(status)
		w.must(err)
		out[u.String()] = string(text)
	}
	return out
}

// The published statuses do not depend on the number of buckets: at the start, after changes, with a stale SyncTarget, after a removal.
func TestBucketsDecideTheSame(t *testing.T) {
	story := func(buckets int) (steps []map[string]string, writes int) {
		inBuckets(t, buckets, nil, func(w *world) {
			names := w.spread(91)
			w.startNow()
			take := func() { steps = append(steps, w.statuses(names)) }
			w.settle()
			take()
			w.clusters["west"].goAway(true)
			time.Sleep(time.Minute)
			take()
			w.clusters["west"].goAway(false)
			time.Sleep(time.Minute)
			take()
			w.clusters["north"].relist(deployments, func(all map[ref.Downstream]*ref.Object) {
				for source := range all {
					if source.Name < "web-3" {
						delete(all, source)
					}
				}
			})
			w.settle()
			take()
			w.must(w.system.RemoveTarget(w.t.Context(), "east"))
			w.settle()
			take()
			writes = len(w.upstream.patches())
		})
		return steps, writes
	}
	one, writes := story(1)
	four, writesOfFour := story(4)
	for i := range one {
		if !reflect.DeepEqual(one[i], four[i]) {
			t.Errorf("step %d: one bucket published\n%v\nfour buckets\n%v", i, one[i], four[i])
		}
		if i > 0 && reflect.DeepEqual(one[i], one[i-1]) {
			t.Errorf("step %d changed nothing", i)
		}
	}
	if writes != writesOfFour {
		t.Errorf("%d writes with one bucket, %d with four", writes, writesOfFour)
	}
}

// scoped is an upstream of two workspaces, each with a list of its own; the second one is listed when the test says so.
type scoped struct {
	*workspaces
	second chan struct{}
}

func (s *scoped) Watch(ctx context.Context, _ ref.Resource, _ ref.Want, emit ref.Emit) {
	emit(ref.Event{Type: ref.Scopes, Scopes: []ref.Workspace{"ws-0", "ws-1"}})
	emit(ref.Event{Type: ref.Listed, Scope: "ws-0", Version: "1"})
	select {
	case <-s.second:
		emit(ref.Event{Type: ref.Listed, Scope: "ws-1", Version: "1"})
	case <-ctx.Done():
	}
	<-ctx.Done()
}

// A System is ready when all announced scopes were listed and are decided on, in every bucket.
func TestReadyWaitsForAllScopesInAllBuckets(t *testing.T) {
	for _, buckets := range []int{1, 4} {
		var second chan struct{}
		inBuckets(t, buckets, func(w *workspaces) actors.Upstream { second = make(chan struct{}); return &scoped{w, second} }, func(w *world) {
			w.startNow()
			time.Sleep(time.Minute)
			synctest.Wait()
			if w.system.Ready() {
				t.Errorf("%d buckets: ready with one scope of two", buckets)
			}
			close(second)
			w.settle()
			if !w.system.Ready() {
				t.Errorf("%d buckets: not ready though both scopes were listed", buckets)
			}
		})
	}
}

// A list that lacks most copies needs a second one, also if each bucket alone lacks few.
func TestMassDisappearanceIsJudgedOverAllBuckets(t *testing.T) {
	inBuckets(t, 4, nil, func(w *world) {
		names := w.spread(40)
		w.startNow()
		w.settle()
		before := len(w.upstream.patches())
		published := w.statuses(names)
		west := w.clusters["west"]
		west.report(deployments, ref.Event{Type: ref.Listed}) // empty, though all copies are there
		w.settle()
		if n := len(w.upstream.patches()) - before; n != 0 || !reflect.DeepEqual(w.statuses(names), published) {
			t.Errorf("one empty list led to %d PATCH calls", n)
		}
		west.relist(deployments, func(all map[ref.Downstream]*ref.Object) { clear(all) })
		w.settle()
		for _, u := range names {
			if got := w.upstream.status(u)["replicas"]; got != 6.0 {
				t.Fatalf("%s has %v replicas, want those of two SyncTargets", u, got)
			}
		}
	})
}

// A bucket that fails is restarted alone, receives everything again, and publishes nothing that was published before.
func TestABucketThatFailsIsRestartedAlone(t *testing.T) {
	inBuckets(t, 4, nil, func(w *world) {
		names := w.spread(91)
		w.startNow()
		w.settle()
		w.clusters["west"].goAway(true)
		time.Sleep(time.Minute)
		published, before := w.statuses(names), len(w.upstream.patches())
		for range 3 {
			w.system.SendToBucket(deployments, 2, reconcile.UpstreamObserved{Scope: "*"}) // without an object: a bug
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if n := len(w.upstream.patches()) - before; n > 0 || !reflect.DeepEqual(w.statuses(names), published) {
			t.Errorf("%d PATCH calls after the restarts, and the statuses as before: %v", n, reflect.DeepEqual(w.statuses(names), published))
		}
		for role, want := range map[string]float64{"bucket": 3, "aggregator": 0, "watch": 0, "writer": 0, "target": 0} {
			if got := testutil.ToFloat64(w.metrics.Restarts.WithLabelValues(role)); got != want {
				t.Errorf("%v restarts of actors %q, want %v", got, role, want)
			}
		}
		for _, u := range names {
			e, err := w.system.Explain(w.t.Context(), deployments, u)
			w.must(err)
			if e.Reason != "Held" {
				t.Errorf("%s: %s %s", u, e.Reason, e.Message)
			}
		}
		w.clusters["west"].goAway(false)
		time.Sleep(time.Minute)
		if reflect.DeepEqual(w.statuses(names), published) {
			t.Error("nothing was published after west came back")
		}
	})
}
