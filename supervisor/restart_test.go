package supervisor_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/supervisor"
)

// faulty is an upstream with a bug: its next calls panic, a number of each kind.
type faulty struct {
	*workspaces
	mu                        sync.Mutex
	watches, hosts, questions int
	broken                    chan struct{} // closed to end the watches that are open
}

// breakWatches has the open watches return, which they may not before their context ends.
func (f *faulty) breakWatches() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.broken)
	f.broken = make(chan struct{})
}

func (f *faulty) panics(n *int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *n > 0 {
		*n--
		panic("a bug in the edge")
	}
}

func (f *faulty) Watch(ctx context.Context, r ref.Resource, want ref.Want, emit ref.Emit) {
	f.panics(&f.watches)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.mu.Lock()
	broken := f.broken
	f.mu.Unlock()
	go func() {
		select {
		case <-broken:
			cancel()
		case <-ctx.Done():
		}
	}()
	f.workspaces.Watch(ctx, r, want, emit)
}

func (f *faulty) Host(u ref.Upstream) string {
	f.panics(&f.hosts)
	return f.workspaces.Host(u)
}

func (f *faulty) Describe(ctx context.Context, r ref.Resource, scope, w ref.Workspace) (ref.Description, error) {
	f.panics(&f.questions)
	return f.workspaces.Describe(ctx, r, scope, w)
}

// inFaultyWorld is inWorld with an upstream edge that panics.
func inFaultyWorld(t *testing.T, f *faulty, test func(*world, *faulty)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f.workspaces, f.broken = newWorkspaces(), make(chan struct{})
		w := &world{flow: &flow{t: t, upstream: f.workspaces}, targets: three,
			clusters: map[actors.SyncTarget]*cluster{}, folder: map[actors.SyncTarget]string{}, port: f}
		for _, name := range three {
			w.clusters[name] = newCluster()
			w.folder[name] = w.clusters[name].located(w.target(name), "default")
		}
		everywhere(1)(w)
		w.start()
		test(w, f)
		w.stop()
	})
}

// An aggregator that fails knows nothing afterwards: everything is sent to it again, and nothing is published meanwhile.
func TestAFailedAggregatorIsBroughtUpToDate(t *testing.T) {
	inFaultyWorld(t, &faulty{watches: 3}, func(w *world, _ *faulty) {
		time.Sleep(10 * time.Second)
		w.settle()
		w.wantReady(3)
		// Two of the three failures may hit one incarnation, if it had opened its watch again before it was told of the first.
		if got := testutil.ToFloat64(w.metrics.Restarts.WithLabelValues("aggregator")); got != 2 && got != 3 {
			t.Errorf("%v aggregator restarts, want 2 or 3", got)
		}
		w.ready("east", 3)
		w.settle()
		w.wantReady(5)
	})
}

func TestAPanicInACallHurtsTheCallOnly(t *testing.T) {
	inFaultyWorld(t, &faulty{hosts: 2, questions: 2}, func(w *world, _ *faulty) {
		time.Sleep(10 * time.Second)
		w.settle()
		w.wantReady(3)
	})
}

// withPolicy are the built-in policies, and those with another one.
func withPolicy(t *testing.T, document string) (builtin, with *policy.Set) {
	t.Helper()
	documents, err := policy.Parse("policy.yaml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	if builtin, err = policy.Builtin(); err != nil {
		t.Fatal(err)
	}
	if with, err = builtin.With(documents...); err != nil {
		t.Fatal(err)
	}
	return builtin, with
}

func TestPoliciesMayChangeWhileItRuns(t *testing.T) {
	inWorld(t, three, func(w *world) {
		w.upstream.put(web, 1, nil)
		for n, name := range w.targets {
			w.ready(name, n+1)
		}
	}, func(w *world) {
		w.settle()
		w.wantReady(6)
		builtin, set := withPolicy(t, `
apiVersion: upstreamd.dev/v1alpha1
kind: StatusPolicy
metadata: {name: most}
spec:
  resources: [{group: apps, resource: deployments}]
  strategy: Merge
  fields: {replicas: Max, readyReplicas: Max, observedGeneration: Generation, conditions: Conditions}
`)
		w.system.SetPolicies(set)
		w.settle()
		w.wantReady(3)
		w.system.SetPolicies(builtin)
		w.settle()
		w.wantReady(6)
	})
}

// CEL rules may look at any label of the upstream object: when such a policy comes, the metadata that was kept before is not enough.
func TestAPolicyMayAskForMoreOfUpstreamObjects(t *testing.T) {
	inWorld(t, three, func(w *world) {
		w.upstream.put(web, 1, map[string]string{"factor": "7"})
		for _, name := range w.targets {
			w.ready(name, 1)
		}
	}, func(w *world) {
		w.settle()
		w.wantReady(3)
		_, set := withPolicy(t, `
apiVersion: upstreamd.dev/v1alpha1
kind: StatusPolicy
metadata: {name: factor}
spec:
  resources: [{group: apps, resource: deployments}]
  strategy: Merge
  fields:
    readyReplicas: {rule: CEL, expr: 'size(targets) * int(upstream.metadata.labels["factor"])'}
`)
		w.system.SetPolicies(set)
		w.settle()
		w.wantReady(21)
		w.ready("east", 2) // another decision, after an answer to a write
		w.upstream.put(web, 1, map[string]string{"factor": "5"})
		w.settle()
		w.wantReady(15)
	})
}

func TestTheTokenBucketIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flow{t: t, upstream: newWorkspaces()}
		system, err := supervisor.New(supervisor.Options{Upstream: f.upstream, Writer: actors.WriterOptions{QPS: 10, Burst: 5, Concurrency: 4}})
		f.must(err)
		f.system = system
		f.must(system.AddResource(deployments))
		f.must(system.Start(t.Context()))
		f.must(system.AddPushTarget(supervisor.Target{Name: "east", Workspaces: []actors.Workspace{"team-a"}}))
		const many = 100
		for n := range many {
			u := f.copyOfWeb("east", 1)
			u.SetName(fmt.Sprint("web-", n))
			u.SetUID("")
			f.upstream.put(ref.Upstream{Workspace: "team-a", Namespace: "default", Name: u.GetName()}, 1, nil)
			f.must(system.SyncStatus(t.Context(), "east", deployments, u))
		}
		start := time.Now()
		f.synced("east")
		time.Sleep(time.Minute)
		calls := f.upstream.patches()
		if len(calls) != many {
			t.Fatalf("%d PATCH calls for %d objects", len(calls), many)
		}
		for i, c := range calls {
			if allowed := 5 + 10*(c.at.Sub(start).Seconds()+0.01); float64(i+1) > allowed+1 {
				t.Fatalf("call %d came after %v, which the bucket does not allow", i+1, c.at.Sub(start))
			}
		}
		if took := calls[many-1].at.Sub(start); took > 11*time.Second {
			t.Errorf("it took %v, the bucket allows it in 9.5 s", took)
		}
		f.stop()
	})
}

func TestReadyWaitsForTheFirstUpstreamList(t *testing.T) {
	run(t, nil, func(f *flow) {
		if !f.system.Ready() {
			t.Error("not ready though upstream was listed")
		}
	})
	system, err := supervisor.New(supervisor.Options{Upstream: newWorkspaces()})
	if err != nil {
		t.Fatal(err)
	}
	if system.Ready() {
		t.Error("ready before the start")
	}
}

func TestStopWritesWhatWaitsForItsQuietWindow(t *testing.T) {
	run(t, []actors.SyncTarget{"east", "west"}, func(f *flow) {
		f.upstream.put(web, 1, nil)
		f.reports("east", 1)
		f.reports("west", 1)
		f.synced("east", "west")
		f.settle()
		f.reports("east", 2) // goes at once
		synctest.Wait()
		f.reports("west", 2) // waits, as the object was written just now
		synctest.Wait()
		f.wantReady(3)
		start := time.Now()
		f.must(f.system.Stop(f.t.Context()))
		f.wantReady(4)
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("the stop took %v and did not cut the quiet window short", took)
		}
		f.start(nil) // for run to stop
	})
}

func TestStopGivesUpAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flow{t: t, upstream: newWorkspaces()}
		f.start([]actors.SyncTarget{"east"})
		f.upstream.answer = func(call) error { return refusal(http.StatusTooManyRequests, 3600) }
		f.upstream.put(web, 1, nil)
		f.reports("east", 1)
		f.synced("east")
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		start := time.Now()
		if err := f.system.Stop(ctx); err == nil {
			t.Error("no error though something was not written")
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("it took %v to give up", took)
		}
		time.Sleep(2 * time.Second)
	})
}
