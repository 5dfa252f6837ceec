package supervisor_test

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// more are as many further objects as make a list take several turns.
const more = 300

func numbered(n int) ref.Upstream {
	return ref.Upstream{Workspace: web.Workspace, Namespace: web.Namespace, Name: fmt.Sprintf("web-%03d", n)}
}

// An aggregator that fails while a SyncTarget's list is being worked off gets the whole list, and not only the rest.
func TestAnAggregatorThatFailsDuringAListGetsAllOfIt(t *testing.T) {
	f := &faulty{}
	inFaultyWorld(t, f, func(w *world, _ *faulty) {
		for n := range more {
			w.upstream.put(numbered(n), 1, nil)
			for _, name := range w.targets {
				w.clusters[name].put(deployments, deployment(w.folder[name], numbered(n).Name, 1))
			}
		}
		w.settle()
		for range 30 {
			f.breakWatches()
			for _, name := range w.targets {
				w.clusters[name].relist(deployments, nil)
			}
			time.Sleep(time.Minute) // it is started again after a pause
			w.settle()
			for n := range more {
				e, err := w.system.Explain(t.Context(), deployments, numbered(n))
				w.must(err)
				if e.Reason != "Merged" {
					t.Fatalf("%s: %s %s", numbered(n), e.Reason, e.Message)
				}
			}
		}
		if got := testutil.ToFloat64(w.metrics.Restarts.WithLabelValues("aggregator")); got != 30 {
			t.Errorf("%v aggregator restarts, want 30", got)
		}
	})
}

// An aggregator fails while its write is in flight. The answer arrives when the write of its successor waits: that one stays, although the
// watch shows nothing that would have it decided again.
func TestAnAnswerToADeadAggregatorDropsNothing(t *testing.T) {
	f := &faulty{}
	inFaultyWorld(t, f, func(w *world, _ *faulty) {
		w.settle()
		w.wantReady(3)
		w.upstream.mu.Lock()
		w.upstream.latency = 3 * time.Minute
		w.upstream.mu.Unlock()
		w.ready("east", 2)
		time.Sleep(time.Second) // its write is in flight
		f.breakWatches()
		time.Sleep(time.Minute) // the successor has begun
		w.upstream.mu.Lock()
		w.upstream.latency, w.upstream.lag = time.Millisecond, time.Hour
		w.upstream.mu.Unlock()
		w.ready("west", 3)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		w.wantReady(6)
		if got := testutil.ToFloat64(w.metrics.Restarts.WithLabelValues("aggregator")); got != 1 {
			t.Errorf("%v aggregator restarts, want 1", got)
		}
		time.Sleep(time.Hour)
	})
}

// A policy may need other metadata of upstream objects while they are being listed, and while writes are under way.
func TestAPolicyMayAskForMoreAtAnyTime(t *testing.T) {
	builtin, factor := withPolicy(t, `
apiVersion: upstreamd.dev/v1alpha1
kind: StatusPolicy
metadata: {name: factor}
spec:
  resources: [{group: apps, resource: deployments}]
  strategy: Merge
  fields:
    replicas: Sum
    readyReplicas: {rule: CEL, expr: 'has(upstream.metadata.labels.factor) ? int(upstream.metadata.labels["factor"]) : 1'}
`)
	inWorld(t, three[:1], func(w *world) {
		w.upstream.put(web, 1, map[string]string{"factor": "7"})
		w.ready("east", 1)
		for n := range more {
			w.upstream.put(numbered(n), 1, map[string]string{"factor": strconv.Itoa(n)})
			w.clusters["east"].put(deployments, deployment(w.folder["east"], numbered(n).Name, 1))
		}
	}, func(w *world) {
		w.settle()
		for range 300 { // while the list for the one before is worked off
			w.system.SetPolicies(factor)
			runtime.Gosched()
			w.system.SetPolicies(builtin)
			runtime.Gosched()
		}
		w.settle()
		w.wantReady(1)
		w.upstream.latency, w.upstream.lag = 200*time.Millisecond, time.Second
		w.ready("east", 2)
		time.Sleep(100 * time.Millisecond) // its write is under way, and its answer lacks the labels that the policy needs
		w.system.SetPolicies(factor)
		time.Sleep(time.Minute)
		w.wantReady(7)
		for n := range more {
			if got := w.upstream.status(numbered(n))["readyReplicas"]; got != float64(n) {
				t.Fatalf("%s: readyReplicas is %v", numbered(n), got)
			}
		}
		if got := testutil.ToFloat64(w.metrics.Failures.WithLabelValues("aggregator")); got != 0 {
			t.Errorf("%v aggregators failed", got)
		}
	})
}

// A write that the server asked to send later is not sent when it is no longer due.
func TestAWriteThatIsTakenBackIsNotSentLater(t *testing.T) {
	inWorld(t, three[:1], everywhere(1), func(w *world) {
		w.settle()
		before := len(w.upstream.patches())
		w.upstream.latency = 300 * time.Millisecond
		w.upstream.answer = func(call) error {
			w.upstream.answer = nil
			return refusal(http.StatusTooManyRequests, 2)
		}
		w.ready("east", 2)
		time.Sleep(200 * time.Millisecond)
		w.ready("east", 1) // as it is published; the write is still under way
		time.Sleep(time.Minute)
		w.wantReady(1)
		if n := len(w.upstream.patches()) - before; n != 1 {
			t.Errorf("%d PATCH calls, want only the one that was refused", n)
		}
	})
}

// A server that answers each write with an error is not asked without end.
func TestWritesThatFailAgainAndAgainBackOff(t *testing.T) {
	for _, code := range []int{http.StatusInternalServerError, http.StatusConflict} {
		t.Run(http.StatusText(code), func(t *testing.T) {
			inWorld(t, three, everywhere(1), func(w *world) {
				w.settle()
				before := len(w.upstream.patches())
				w.upstream.answer = func(call) error { return refusal(code, 0) }
				w.ready("east", 2)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if n := len(w.upstream.patches()) - before; n < 30 || n > 150 {
					t.Errorf("%d PATCH calls in ten minutes", n)
				}
				w.upstream.mu.Lock()
				w.upstream.answer = nil
				w.upstream.mu.Unlock()
				time.Sleep(15 * time.Second)
				synctest.Wait()
				w.wantReady(4)
			})
		})
	}
}

// The gauge of parks goes down when a park ends.
func TestParksThatEndAreNotCounted(t *testing.T) {
	parked := func(w *world) float64 {
		sum := 0.0
		for _, reason := range []string{"kind", "Invalid", "TooLarge"} {
			sum += testutil.ToFloat64(w.metrics.Parked.WithLabelValues(reason))
		}
		return sum
	}
	for name, unpark := range map[string]func(*world){
		"the object was replaced unseen": func(w *world) {
			w.upstream.mu.Lock()
			s := w.upstream.objects[web]
			w.upstream.version++
			s.uid, s.version = "another", w.upstream.version
			w.upstream.send(ref.Event{Type: ref.Listed, Scope: "*", Objects: []*ref.Object{w.upstream.object(web, s)}})
			w.upstream.answer = nil
			w.upstream.mu.Unlock()
		},
		"the object has gone":         func(w *world) { w.upstream.remove(web) },
		"the resource was taken away": func(w *world) { w.must(w.system.RemoveResource(deployments)) },
	} {
		for _, code := range []int{http.StatusUnprocessableEntity, http.StatusForbidden} {
			t.Run(fmt.Sprint(name, " ", code), func(t *testing.T) {
				inWorld(t, three, everywhere(1), func(w *world) {
					w.settle()
					w.upstream.answer = func(call) error { return refusal(code, 0) }
					w.ready("east", 2)
					w.settle()
					if got := parked(w); got != 1 {
						t.Fatalf("%v parked, want 1", got)
					}
					unpark(w)
					time.Sleep(time.Hour) // a workspace in which nothing is left is forgotten when its pause ends
					synctest.Wait()
					if got := parked(w); got != 0 {
						t.Errorf("%v parked, want none", got)
					}
				})
			})
		}
	}
	t.Run("for another reason", func(t *testing.T) {
		inWorld(t, three, everywhere(1), func(w *world) {
			w.settle()
			codes := []int{http.StatusUnprocessableEntity, http.StatusOK, http.StatusRequestEntityTooLarge} // the second write tells of the first
			w.upstream.answer = func(call) error {
				if len(codes) == 0 {
					return nil
				}
				code := codes[0]
				if codes = slices.Delete(codes, 0, 1); code == http.StatusOK {
					return nil
				}
				return refusal(code, 0)
			}
			w.ready("east", 2)
			w.settle()
			w.ready("east", 3)
			w.settle()
			for reason, want := range map[string]float64{"Invalid": 0, "TooLarge": 1} {
				if got := testutil.ToFloat64(w.metrics.Parked.WithLabelValues(reason)); got != want {
					t.Errorf("%v parked as %s, want %v", got, reason, want)
				}
			}
		})
	})
}
