package supervisor_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/supervisor"
)

// exceed goes over a limit with a kind.
func (c *cluster) exceed(r ref.Resource, limit ref.Limit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send(r, ref.Event{Type: ref.Failed, Err: &ref.OverLimit{Limit: limit, Most: 3}})
}

// quarantines records the events about quarantines.
func (w *world) quarantines() func() []supervisor.Quarantine {
	var mu sync.Mutex
	var events []supervisor.Quarantine
	w.t.Cleanup(w.system.Subscribe(func(e supervisor.Event) {
		if q, ok := e.(supervisor.Quarantine); ok {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, q)
		}
	}))
	return func() []supervisor.Quarantine {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(events)
	}
}

// wantState checks the conditions that depend on west's freshness.
func (w *world) wantState(ready int, available, summary string) {
	w.t.Helper()
	synctest.Wait()
	w.wantReady(float64(ready))
	if got := w.condition("Available")["status"]; got != available {
		w.t.Errorf("Available is %v, want %s", got, available)
	}
	if got := w.condition("upstreamd.dev/Aggregated")["message"]; got != summary {
		w.t.Errorf("the summary is %q, want %q", got, summary)
	}
}

// One SyncTarget goes over a limit: its last report counts and is stale, and the summary names the limit; the others go on. When it
// keeps to its limits again, it is fresh after the grace period, and not before.
func TestASyncTargetOverALimitIsHeldAndNamed(t *testing.T) {
	for name, kind := range map[string]ref.Resource{"its objects": deployments, "its Namespaces": namespaces} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, three, everywhere(2), func(w *world) {
				events := w.quarantines()
				w.settle()
				w.wantState(6, "True", "3/3 SyncTargets reporting")

				w.clusters["west"].exceed(kind, ref.LimitObjects)
				w.settle()
				over := "2/3 SyncTargets reporting: west stale (over limit Objects)"
				w.wantState(6, "Unknown", over)
				gauge := w.metrics.Quarantined.WithLabelValues("west", ref.ResourceString(kind), "Objects")
				if got := testutil.ToFloat64(gauge); got != 1 || testutil.CollectAndCount(w.metrics.Quarantined) != 1 {
					t.Errorf("the metric is %v", got)
				}

				w.ready("east", 3)
				w.settle()
				w.wantState(7, "Unknown", over)

				time.Sleep(time.Minute) // of silence changes nothing
				w.wantState(7, "Unknown", over)

				w.clusters["west"].relist(kind, nil)
				w.settle()
				if got := testutil.CollectAndCount(w.metrics.Quarantined); got != 0 {
					t.Errorf("%d series of quarantines, want none", got)
				}
				time.Sleep(25 * time.Second)
				w.wantState(7, "Unknown", over)
				time.Sleep(30 * time.Second)
				w.wantState(7, "True", "3/3 SyncTargets reporting")

				concerns := kind
				if kind == namespaces {
					concerns = ref.Resource{}
				}
				if want := []supervisor.Quarantine{{Target: "west", Resource: concerns, Over: ref.LimitObjects}, {Target: "west", Resource: concerns}}; !slices.Equal(events(), want) {
					t.Errorf("events %v, want %v", events(), want)
				}
			})
		})
	}
}

// A SyncTarget that goes over its limits every 20 s is stale all the time, and costs no more than two writes.
func TestQuarantineHasHysteresis(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		w.settle()
		before := len(w.upstream.patches())
		for range 30 {
			w.clusters["west"].exceed(deployments, ref.LimitKept)
			time.Sleep(10 * time.Second)
			w.clusters["west"].relist(deployments, nil)
			time.Sleep(10 * time.Second)
		}
		w.wantState(6, "Unknown", "2/3 SyncTargets reporting: west stale (over limit Kept)")
		time.Sleep(time.Minute)
		w.wantState(6, "True", "3/3 SyncTargets reporting")
		if writes := len(w.upstream.patches()) - before; writes > 2 {
			t.Errorf("%d writes for thirty times over the limit, want two", writes)
		}
	})
}

// A watch that fails while it is in quarantine, and lists after that, ends it.
func TestQuarantineEndsThoughItsWatchFailed(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		w.settle()
		west := w.clusters["west"]
		west.exceed(deployments, ref.LimitObjects)
		w.settle()
		west.mu.Lock()
		west.panics = 1
		west.mu.Unlock()
		policies, err := policy.Builtin()
		w.must(err)
		w.system.SetPolicies(policies) // the watch begins anew, and fails
		time.Sleep(2 * time.Minute)
		w.wantState(6, "True", "3/3 SyncTargets reporting")
		if got := testutil.CollectAndCount(w.metrics.Quarantined); got != 0 {
			t.Errorf("%d series of quarantines, want none", got)
		}
	})
}

// A SyncTarget that is removed in quarantine leaves nothing of it.
func TestARemovedSyncTargetLeavesItsQuarantine(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		w.settle()
		w.clusters["west"].exceed(deployments, ref.LimitObjects)
		w.settle()
		w.must(w.system.RemoveTarget(w.t.Context(), "west"))
		time.Sleep(time.Minute)
		w.wantState(4, "True", "2/2 SyncTargets reporting")
		if got := testutil.CollectAndCount(w.metrics.Quarantined); got != 0 {
			t.Errorf("%d series of quarantines, want none", got)
		}
	})
}
