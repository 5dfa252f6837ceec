package supervisor_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/supervisor"
)

var (
	deployments = actors.Resource{Group: "apps", Version: "v1", Resource: "deployments"}
	web         = ref.Upstream{Workspace: "team-a", Namespace: "default", Name: "web"}
)

// flow is a system over workspaces in memory, with push targets that are bound to team-a, in a bubble.
type flow struct {
	t        *testing.T
	system   *supervisor.System
	upstream *workspaces
	versions int
}

func run(t *testing.T, targets []actors.SyncTarget, test func(*flow)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &flow{t: t, upstream: newWorkspaces()}
		f.start(targets)
		test(f)
		f.stop()
	})
}

func (f *flow) start(targets []actors.SyncTarget) {
	f.t.Helper()
	system, err := supervisor.New(supervisor.Options{Upstream: f.upstream})
	if err != nil {
		f.t.Fatal(err)
	}
	f.system = system
	f.must(system.AddResource(deployments))
	f.must(system.Start(f.t.Context()))
	for _, name := range targets {
		f.must(system.AddPushTarget(supervisor.Target{Name: name, Workspaces: []actors.Workspace{"team-a"}}))
	}
	synctest.Wait()
}

func (f *flow) stop() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	f.must(f.system.Stop(ctx))
	time.Sleep(2 * time.Second) // dead letters are counted for a second
}

func (f *flow) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// reports has a SyncTarget's copy of web report how many of its replicas are ready.
func (f *flow) reports(target actors.SyncTarget, ready int64) {
	f.t.Helper()
	f.versions++
	f.must(f.system.SyncStatus(f.t.Context(), target, deployments, f.copyOfWeb(target, ready)))
}

func (f *flow) copyOfWeb(target actors.SyncTarget, ready int64) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"status": map[string]any{"observedGeneration": int64(1), "replicas": int64(3), "readyReplicas": ready},
	}}
	u.SetNamespace("kcp-team-a-default")
	u.SetName("web")
	u.SetUID(types.UID("web-in-" + target))
	u.SetGeneration(1)
	u.SetCreationTimestamp(metav1.Now())
	u.SetResourceVersion(fmt.Sprint(f.versions))
	u.SetAnnotations(map[string]string{"upstreamd.dev/upstream-generation": "1"})
	return u
}

func (f *flow) synced(targets ...actors.SyncTarget) {
	f.t.Helper()
	for _, name := range targets {
		f.must(f.system.Synced(f.t.Context(), name, deployments))
	}
	synctest.Wait()
}

// settle lets all windows, retries and pauses that matter here pass.
func (f *flow) settle() {
	time.Sleep(3 * time.Second)
	synctest.Wait()
}

func (f *flow) wantReady(want float64) {
	f.t.Helper()
	got := f.upstream.status(web)["readyReplicas"]
	if want == 0 && got == nil {
		return
	}
	if got != want {
		f.t.Errorf("published readyReplicas = %v, want %v", got, want)
	}
}

func TestStatusOfAllSyncTargetsIsPublishedMerged(t *testing.T) {
	run(t, []actors.SyncTarget{"east", "west"}, func(f *flow) {
		f.upstream.put(web, 1, nil)
		f.reports("east", 2)
		f.reports("west", 3)
		f.synced("east", "west")
		f.settle()
		f.wantReady(5)
		if got := f.upstream.status(web)["observedGeneration"]; got != 1.0 {
			t.Errorf("observedGeneration = %v, want 1", got)
		}
		if n := len(f.upstream.patches()); n != 1 {
			t.Errorf("%d PATCH calls for one object that was complete at start, want 1", n)
		}
	})
}

// A copy that a list names is waited for until it reports: the end of the list takes another way, and may be quicker.
func TestACompleteListDoesNotOvertakeItsReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flow{t: t, upstream: newWorkspaces()}
		system, err := supervisor.New(supervisor.Options{Upstream: f.upstream, Workers: 8})
		f.must(err)
		f.system = system
		f.must(system.RegisterExtractor(deployments, actors.ExtractorFunc(func(o *actors.Object) (map[string]any, error) {
			if o.UID == "web-in-west" {
				time.Sleep(time.Second) // its actor answers late
				return map[string]any{"replicas": int64(1)}, nil
			}
			version, err := strconv.ParseInt(o.ResourceVersion, 10, 64)
			return map[string]any{"replicas": version}, err
		})))
		f.must(system.AddResource(deployments))
		f.must(system.Start(t.Context()))
		f.upstream.put(web, 1, nil)
		for _, name := range []actors.SyncTarget{"east", "west"} {
			f.must(system.AddPushTarget(supervisor.Target{Name: name, Workspaces: []actors.Workspace{"team-a"}}))
		}
		f.reports("east", 1)
		f.reports("west", 1)
		f.must(system.Synced(t.Context(), "east", deployments))
		f.must(system.Synced(t.Context(), "west", deployments))
		time.Sleep(300 * time.Millisecond)
		f.reports("east", 1) // both lists are complete, and there is something to decide while west's copy has not answered
		f.settle()
		if calls := f.upstream.patches(); len(calls) != 1 || f.upstream.status(web)["replicas"] != 4.0 {
			t.Errorf("%d PATCH calls, want 1 that holds both: %v", len(calls), calls)
		}
		f.stop()
	})
}

// The object of an answer counts until the watch has caught up: it has to carry the placement, too.
func TestPlacementOutlivesTheAnswerToAWrite(t *testing.T) {
	run(t, []actors.SyncTarget{"east", "west"}, func(f *flow) {
		f.upstream.lag = time.Minute
		f.upstream.put(web, 1, map[string]string{locator.PlacementLabel(locator.Key("", "east")): "Sync"})
		f.reports("east", 2)
		f.reports("west", 5) // bound to the workspace, and not named by the label
		f.synced("east", "west")
		time.Sleep(time.Minute)
		f.settle()
		f.wantReady(2)
		f.reports("east", 3)
		f.settle()
		f.wantReady(3)
	})
}

func TestAnIsolatedChangeGoesAtOnce(t *testing.T) {
	run(t, []actors.SyncTarget{"east"}, func(f *flow) {
		f.upstream.put(web, 1, nil)
		f.reports("east", 1)
		f.synced("east")
		f.settle()
		before, start := len(f.upstream.patches()), time.Now()
		f.reports("east", 2)
		f.settle()
		calls := f.upstream.patches()[before:]
		if len(calls) != 1 || calls[0].at.Sub(start) > time.Millisecond {
			t.Fatalf("calls %v, want one at once", calls)
		}
	})
}

func TestManyChangesOfOneObjectAreCoalesced(t *testing.T) {
	run(t, []actors.SyncTarget{"east"}, func(f *flow) {
		f.upstream.put(web, 1, nil)
		f.reports("east", 0)
		f.synced("east")
		f.settle()
		before := len(f.upstream.patches())
		for n := range 100 {
			f.reports("east", int64(n%4))
			time.Sleep(10 * time.Millisecond)
		}
		f.reports("east", 3)
		f.settle()
		f.wantReady(3)
		if n := len(f.upstream.patches()) - before; n > 3 {
			t.Errorf("%d PATCH calls for 100 changes within a second", n)
		}
	})
}

func TestNoWriteWithoutAChange(t *testing.T) {
	run(t, []actors.SyncTarget{"east"}, func(f *flow) {
		f.upstream.put(web, 1, nil)
		f.reports("east", 1)
		f.synced("east")
		f.settle()
		before := len(f.upstream.patches())
		for range 10 {
			f.reports("east", 1)
			f.settle()
		}
		if n := len(f.upstream.patches()) - before; n != 0 {
			t.Errorf("%d PATCH calls though nothing changed", n)
		}
	})
}

func TestARestartOverUnchangedObjectsWritesNothing(t *testing.T) {
	targets := []actors.SyncTarget{"east", "west"}
	run(t, targets, func(f *flow) {
		f.upstream.put(web, 1, nil)
		for _, name := range targets {
			f.reports(name, 2)
		}
		f.synced(targets...)
		f.settle()
		f.stop()
		before := len(f.upstream.patches())
		f.start(targets)
		for _, name := range targets {
			f.reports(name, 2)
			f.settle()
		}
		f.synced(targets...)
		f.settle()
		time.Sleep(time.Minute)
		if n := len(f.upstream.patches()) - before; n != 0 {
			t.Errorf("%d PATCH calls after a restart over an unchanged object", n)
		}
	})
}

func TestForgottenObjectIsWithdrawn(t *testing.T) {
	run(t, []actors.SyncTarget{"east", "west"}, func(f *flow) {
		f.upstream.put(web, 1, nil)
		f.reports("east", 2)
		f.reports("west", 3)
		f.synced("east", "west")
		f.settle()
		f.must(f.system.Forget(f.t.Context(), "west", deployments, "kcp-team-a-default", "web"))
		f.settle()
		f.wantReady(2)
	})
}

func TestRemovedSyncTargetIsWithdrawnAndMayComeBack(t *testing.T) {
	run(t, []actors.SyncTarget{"east", "west"}, func(f *flow) {
		f.upstream.put(web, 1, nil)
		f.reports("east", 2)
		f.reports("west", 3)
		f.synced("east", "west")
		f.settle()
		f.must(f.system.RemoveTarget(f.t.Context(), "west"))
		f.settle()
		f.wantReady(2)
		f.must(f.system.AddPushTarget(supervisor.Target{Name: "west", Workspaces: []actors.Workspace{"team-a"}}))
		f.reports("west", 4)
		f.synced("west")
		f.settle()
		f.wantReady(6)
	})
}

func TestALostAnswerIsNotReplayed(t *testing.T) {
	run(t, []actors.SyncTarget{"east"}, func(f *flow) {
		f.upstream.put(web, 1, nil)
		lost := 0
		f.upstream.answer = func(call) error {
			if lost++; lost == 1 {
				return fmt.Errorf("connection reset by peer")
			}
			return nil
		}
		f.reports("east", 1)
		f.synced("east")
		f.settle()
		f.wantReady(1)
		if n := len(f.upstream.patches()); n != 2 {
			t.Errorf("%d PATCH calls, want the lost one and one more", n)
		}
	})
}

// The answer of a proxy in the API server's place proves neither that a write took place, nor that the server keeps a value.
func TestAnAnswerThatIsNoObjectProvesNothing(t *testing.T) {
	for strange := range 4 {
		t.Run(fmt.Sprint(strange), func(t *testing.T) {
			run(t, []actors.SyncTarget{"east"}, func(f *flow) {
				f.upstream.put(web, 1, nil)
				f.settle()
				f.upstream.lag = time.Hour // a read shows the object, not the watch
				f.upstream.strange = strange
				f.reports("east", 1)
				f.synced("east")
				time.Sleep(2 * time.Minute)
				f.wantReady(1)
				f.reports("east", 2)
				time.Sleep(2 * time.Minute)
				f.wantReady(2)
			})
		})
	}
}

// One SyncTarget with many changes does not delay another's, not even in the same workspace.
func TestAFloodingSyncTargetTakesItsTurn(t *testing.T) {
	const flood = 400
	run(t, []actors.SyncTarget{"east", "west"}, func(f *flow) {
		say := func(target actors.SyncTarget, name string, ready int64) {
			f.versions++
			u := f.copyOfWeb(target, ready)
			u.SetName(name)
			u.SetUID(types.UID(name))
			f.must(f.system.SyncStatus(t.Context(), target, deployments, u))
		}
		quiet := ref.Upstream{Workspace: web.Workspace, Namespace: web.Namespace, Name: "quiet"}
		f.upstream.put(quiet, 1, nil)
		say("west", quiet.Name, 1)
		noisy := func(ready int64) {
			for n := range flood {
				say("east", fmt.Sprintf("noisy-%d", n), ready)
			}
		}
		for n := range flood {
			f.upstream.put(ref.Upstream{Workspace: web.Workspace, Namespace: web.Namespace, Name: fmt.Sprintf("noisy-%d", n)}, 1, nil)
		}
		noisy(1)
		f.synced("east", "west")
		f.settle()
		if n := len(f.upstream.patches()); n != flood+1 {
			t.Fatalf("%d PATCH calls at the start", n)
		}
		noisy(2) // each of them a change that comes alone
		synctest.Wait()
		if n := len(f.upstream.patches()) - flood - 1; n < 200 || n > 300 {
			t.Errorf("%d of %d changes of one SyncTarget were written at once", n, flood)
		}
		f.settle()
		if n := len(f.upstream.patches()) - flood - 1; n != flood {
			t.Errorf("%d of %d changes were written", n, flood)
		}
		f.upstream.latency = 100 * time.Millisecond
		noisy(3)
		say("west", quiet.Name, 2)
		time.Sleep(time.Minute)
		calls := f.upstream.patches()[2*flood+1:]
		if at := slices.IndexFunc(calls, func(c call) bool { return c.upstream == quiet }); len(calls) != flood+1 || at > 2*16 { // as many are under way at a time
			t.Errorf("west's change was PATCH call %d of %d", at+1, len(calls))
		}
	})
}

// Only a 404 that names the object means that it is gone.
func TestA404OfAProxyEndsNoObject(t *testing.T) {
	run(t, []actors.SyncTarget{"east"}, func(f *flow) {
		f.upstream.put(web, 1, nil)
		f.upstream.strange, f.upstream.astray = 1, 1
		f.upstream.lag = time.Hour
		f.reports("east", 1)
		f.synced("east")
		time.Sleep(time.Minute)
		f.reports("east", 2)
		f.settle()
		f.wantReady(2)
	})
}

func TestTheServersPauseIsKept(t *testing.T) {
	for _, code := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		t.Run(http.StatusText(code), func(t *testing.T) {
			run(t, []actors.SyncTarget{"east"}, func(f *flow) {
				f.upstream.put(web, 1, nil)
				f.upstream.answer = func(call) error {
					if len(f.upstream.calls) == 1 {
						return refusal(code, 7)
					}
					return nil
				}
				f.reports("east", 1)
				f.synced("east")
				time.Sleep(10 * time.Second)
				synctest.Wait()
				f.wantReady(1)
				calls := f.upstream.patches()
				if len(calls) != 2 || calls[1].at.Sub(calls[0].at) < 7*time.Second {
					t.Errorf("%d calls; the second must come after the pause of 7 s", len(calls))
				}
			})
		})
	}
}

// An unreachable server is not tried for every change, and writes stay queued.
func TestAServerThatCannotBeReachedIsLeftAloneForAWhile(t *testing.T) {
	run(t, []actors.SyncTarget{"east"}, func(f *flow) {
		f.upstream.put(web, 1, nil)
		var away atomic.Bool
		away.Store(true)
		f.upstream.answer = func(call) error {
			if away.Load() {
				return fmt.Errorf("%w: connection refused", ref.ErrUnreachable)
			}
			return nil
		}
		f.reports("east", 1)
		f.synced("east")
		for i := range 300 {
			time.Sleep(time.Second)
			f.reports("east", int64(i))
		}
		if n := len(f.upstream.patches()); n < 8 || n > 30 { // 1, 2, 4, 8, 16, 30, 30, … seconds, less up to a half
			t.Errorf("%d PATCH calls in 5 minutes", n)
		}
		f.reports("east", 7)
		away.Store(false)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		f.wantReady(7)
	})
}

func TestDeletedAndRecreatedUnderLoadEndsTrue(t *testing.T) {
	run(t, []actors.SyncTarget{"east"}, func(f *flow) {
		f.upstream.put(web, 1, nil)
		f.reports("east", 1)
		f.synced("east")
		for n := range 50 {
			f.reports("east", int64(n%3))
			time.Sleep(30 * time.Millisecond)
			f.upstream.remove(web)
			f.must(f.system.Forget(f.t.Context(), "east", deployments, "kcp-team-a-default", "web"))
			f.upstream.put(web, 1, nil)
			f.reports("east", 2)
			time.Sleep(30 * time.Millisecond)
		}
		f.settle()
		f.wantReady(2)
	})
}

func TestStatusThatIsNotAnObjectIsRefusedAndTheLastGoodOneStays(t *testing.T) {
	run(t, []actors.SyncTarget{"east"}, func(f *flow) {
		f.upstream.put(web, 1, nil)
		f.reports("east", 2)
		f.synced("east")
		f.settle()
		bad := f.copyOfWeb("east", 0)
		bad.Object["status"] = "a string"
		f.must(f.system.SyncStatus(f.t.Context(), "east", deployments, bad))
		f.settle()
		f.wantReady(2)
	})
}

func TestUnboundWorkspaceIsNeverWritten(t *testing.T) {
	run(t, []actors.SyncTarget{"east"}, func(f *flow) {
		foreign := ref.Upstream{Workspace: "team-b", Namespace: "default", Name: "web"}
		f.upstream.put(foreign, 1, nil)
		forged := f.copyOfWeb("east", 2)
		forged.SetNamespace("kcp-team-b-default")
		f.must(f.system.SyncStatus(f.t.Context(), "east", deployments, forged))
		f.synced("east")
		f.settle()
		if n := len(f.upstream.patches()); n != 0 {
			t.Errorf("%d PATCH calls into a workspace that the SyncTarget is not bound to", n)
		}
	})
}

func TestARegisteredExtractorMakesTheStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flow{t: t, upstream: newWorkspaces()}
		system, err := supervisor.New(supervisor.Options{Upstream: f.upstream})
		f.must(err)
		f.system = system
		f.must(system.RegisterExtractor(deployments, actors.ExtractorFunc(func(o *actors.Object) (map[string]any, error) {
			if o.Labels["explode"] != "" {
				panic("a bug in the extractor")
			}
			return map[string]any{"readyReplicas": int64(len(o.Name))}, nil
		})))
		f.must(system.AddResource(deployments))
		if err := system.RegisterExtractor(deployments, nil); err == nil {
			t.Error("an extractor for a resource that runs already was taken")
		}
		f.must(system.Start(t.Context()))
		f.must(system.AddPushTarget(supervisor.Target{Name: "east", Workspaces: []actors.Workspace{"team-a"}}))
		f.upstream.put(web, 1, nil)
		f.reports("east", 9)
		f.synced("east")
		f.settle()
		f.wantReady(3) // the length of "web"
		bad := f.copyOfWeb("east", 1)
		bad.SetLabels(map[string]string{"explode": "yes"})
		bad.SetGeneration(2)
		f.must(system.SyncStatus(t.Context(), "east", deployments, bad))
		f.settle()
		f.wantReady(3)
		f.stop()
	})
}

func TestEmbeddingErrorsNameTheFix(t *testing.T) {
	run(t, []actors.SyncTarget{"east"}, func(f *flow) {
		ctx := f.t.Context()
		pods := actors.Resource{Version: "v1", Resource: "pods"}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		f.must(f.system.AddTarget(supervisor.Target{Name: "watched"}, newCluster()))
		for want, err := range map[string]error{
			`there is no SyncTarget "west": add it with AddPushTarget`:    f.system.SyncStatus(ctx, "west", deployments, f.copyOfWeb("east", 1)),
			"resource pods.v1 is not brought up: add it with AddResource": f.system.SyncStatus(ctx, "east", pods, f.copyOfWeb("east", 1)),
			"the object needs a name":                                     f.system.SyncStatus(ctx, "east", deployments, &unstructured.Unstructured{}),
			"context canceled":                                            f.system.Forget(ended, "east", deployments, "a", "b"),
			`SyncTarget "watched" watches its cluster itself: only those of AddPushTarget take objects`: f.system.Synced(ctx, "watched", deployments),
			`SyncTarget "east" is there already: remove it first`:                                       f.system.AddPushTarget(supervisor.Target{Name: "east"}),
			"a SyncTarget needs a name":                     f.system.AddPushTarget(supervisor.Target{}),
			`there is no SyncTarget "west"`:                 f.system.RemoveTarget(ctx, "west"),
			"resource deployments.v1.apps is there already": f.system.AddResource(deployments),
			"supervisor: a System is started once":          f.system.Start(ctx),
		} {
			if err == nil || err.Error() != want {
				t.Errorf("error %v, want %s", err, want)
			}
		}
	})
	if _, err := supervisor.New(supervisor.Options{}); err == nil {
		t.Error("a system without upstream was made")
	}
	if _, err := supervisor.New(supervisor.Options{Upstream: newWorkspaces(), Locators: []string{"Guess"}}); err == nil {
		t.Error("an unknown locator style was taken")
	}
}

// A controller writes a status without news right before the one that matters. The first one does not begin a burst, so the second one is
// published at once; what follows is held until it is quiet.
func TestAChangeWithoutNewsDoesNotDelayTheNextOne(t *testing.T) {
	run(t, []actors.SyncTarget{"east", "west"}, func(f *flow) {
		f.upstream.put(web, 1, nil)
		f.reports("east", 1)
		f.reports("west", 1)
		f.synced("east", "west")
		f.settle()
		before := len(f.upstream.patches())
		for n := range 3 { // each is one that the policy drops
			copied := f.copyOfWeb("east", 1)
			f.must(unstructured.SetNestedField(copied.Object, int64(n), "status", "ignored"))
			f.versions++
			copied.SetResourceVersion(fmt.Sprint(f.versions))
			f.must(f.system.SyncStatus(f.t.Context(), "east", deployments, copied))
			time.Sleep(5 * time.Millisecond)
		}
		began := time.Now()
		for n := range 10 {
			f.reports("east", int64(2+n))
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		if patches := f.upstream.patches()[before:]; len(patches) != 1 || patches[0].at.Sub(began) > 10*time.Millisecond {
			t.Errorf("%d PATCH calls while it changes, want one at once", len(patches))
		}
		f.settle()
		if n := len(f.upstream.patches()) - before; n != 2 {
			t.Errorf("%d PATCH calls for one burst, want 2", n)
		}
		f.wantReady(12)
	})
}
