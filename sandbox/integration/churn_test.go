package integration

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/front"
)

// A Deployment is deleted and re-created, upstream and downstream, while its copies' statuses change constantly. In the end
// the published status is true, and every existing copy has one actor.
func TestDeletedAndRecreatedUnderLoad(t *testing.T) {
	w := newWorld(t, sandbox.Options{Workspaces: []string{teamA}, SyncTargets: []string{"us-east1", "eu-west1"}}, deployments)
	w.place(teamA, "web", "calm")
	w.start()
	stop := make(chan struct{})
	var load sync.WaitGroup
	var changes atomic.Int64
	for _, target := range []string{"us-east1", "eu-west1"} {
		load.Go(func() {
			for n := int32(0); ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
				err := w.tryReport(target, teamA, "web", n%4)
				if err == nil {
					changes.Add(1)
				} else if !apierrors.IsNotFound(err) {
					t.Error(err)
				}
			}
		})
	}
	upstream := w.upstream(teamA).AppsV1().Deployments(namespace)
	for round := range 10 {
		time.Sleep(200 * time.Millisecond)
		if round%2 == 0 {
			w.must(upstream.Delete(t.Context(), "web", metav1.DeleteOptions{}))
			w.place(teamA, "web")
			continue
		}
		// Downstream only: a copy is deleted, and the copier re-creates it.
		down := w.downstream("us-east1").AppsV1().Deployments(w.down("us-east1", teamA))
		w.must(down.Delete(t.Context(), "web", metav1.DeleteOptions{}))
		w.must(w.copier.Resync())
		w.must(w.copier.Settle(t.Context()))
	}
	close(stop)
	load.Wait()
	w.report("us-east1", teamA, "web", 2)
	w.report("eu-west1", teamA, "web", 3)
	w.wantReady(teamA, "web", 5)
	w.eventually(func() error {
		if got := w.metrics().Sum("upstreamd_object_actors"); got != 4 {
			return fmt.Errorf("%v object actors for 2 objects in 2 SyncTargets", got)
		}
		return nil
	})
	m := w.metrics()
	t.Logf("%d status changes: %v PATCH calls, %v conflicts", changes.Load(), m.Sum("upstreamd_patches_total"), m.Sum("upstreamd_conflicts_total"))
	if got := m.Sum("upstreamd_actor_failures_total"); got != 0 {
		t.Errorf("%v actors failed", got)
	}
}

// Objects that belong to no workspace cost no actor and negligible memory.
func TestUnrelatedPodsCostNothing(t *testing.T) {
	const unrelated, writers = 50_000, 24
	w := newWorld(t, sandbox.Options{Workspaces: []string{teamA}, SyncTargets: []string{"us-east1"}}, deployments, pods)
	w.place(teamA, "web")
	w.start()
	w.report("us-east1", teamA, "web", 1)
	w.wantReady(teamA, "web", 1)
	w.quiet()
	before := w.metrics().Sum("go_memstats_heap_inuse_bytes")

	down := w.downstream("us-east1")
	_, err := down.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "others"}}, metav1.CreateOptions{})
	w.must(err)
	var next atomic.Int64
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for n := next.Add(1); n <= unrelated; n = next.Add(1) {
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("pod-", n)}, Spec: podSpec}
				if _, err := down.CoreV1().Pods("others").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	w.stop()
	w.start() // lists all of them
	w.report("us-east1", teamA, "web", 2)
	w.wantReady(teamA, "web", 2)
	m := w.metrics()
	if got := m.Sum("upstreamd_object_actors"); got != 1 {
		t.Errorf("%v object actors, want 1", got)
	}
	t.Logf("%d unrelated Pods: heap in use %.1f MiB before, %.1f MiB after a start over them; resident %.1f MiB (race detector on)",
		unrelated, before/(1<<20), m.Sum("go_memstats_heap_inuse_bytes")/(1<<20), m.Sum("process_resident_memory_bytes")/(1<<20))
}

// A dead SyncTarget, a missing workspace, an unknown kind and a forged copy are each logged and counted, and block no other object.
func TestBadInputIsIsolated(t *testing.T) {
	w := newWorld(t, sandbox.Options{Workspaces: []string{teamA}, SyncTargets: []string{"us-east1", "dead"}}, deployments)
	w.place(teamA, "web")
	w.SyncTarget("dead").Kill()
	w.config.Upstream.Workspaces = append(w.config.Upstream.Workspaces, "root:missing")
	w.config.Resources = append(w.config.Resources, config.Resource{Group: "example.com", Version: "v1", Resource: "unicorns"})
	w.config.Staleness.Grace.Duration, w.config.Staleness.Probe.Duration = 3e9, 1e9

	// A Namespace with the locator of another one is a forgery.
	down := w.downstream("us-east1")
	honest, err := down.CoreV1().Namespaces().Get(t.Context(), w.down("us-east1", teamA), metav1.GetOptions{})
	w.must(err)
	_, err = down.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: "kcp-abcdefghijkl", Annotations: honest.Annotations, Labels: honest.Labels}}, metav1.CreateOptions{})
	w.must(err)
	forged, err := down.AppsV1().Deployments(honest.Name).Get(t.Context(), "web", metav1.GetOptions{})
	w.must(err)
	forged.ResourceVersion, forged.UID, forged.Namespace = "", "", "kcp-abcdefghijkl"
	_, err = down.AppsV1().Deployments("kcp-abcdefghijkl").Create(t.Context(), forged, metav1.CreateOptions{})
	w.must(err)

	w.startUnready()
	w.report("us-east1", teamA, "web", 2)
	w.eventually(func() error {
		m := w.metrics()
		switch {
		case m.Sum("upstreamd_sync_target_stale", "sync_target=dead") != 1:
			return fmt.Errorf("the dead SyncTarget is not reported as stale")
		case m.Sum("upstreamd_input_rejected_total", "reason=identity") == 0:
			return fmt.Errorf("the forgery is not counted")
		case m.Sum("upstreamd_watch_errors_total", "sync_target=dead") == 0:
			return fmt.Errorf("watch errors of the dead SyncTarget are not counted")
		}
		return summaryNames(w, "web", "dead")
	})
	lines, err := w.daemon.Lines()
	w.must(err)
	loud := map[string]int{}
	for _, line := range lines {
		if line["level"] == "warn" || line["level"] == "error" {
			loud[fmt.Sprint(line["message"], line["resource"], line["sync_target"])]++
		}
	}
	for message, n := range loud {
		if n > 3 {
			t.Errorf("logged %d times: %s", n, message)
		}
	}
	if len(loud) == 0 {
		t.Error("the log has no warning or error")
	}
	w.must(w.SyncTarget("dead").Restart(t.Context()))
	w.report("dead", teamA, "web", 1)
	w.wantReady(teamA, "web", 3)
	if n := w.Calls().Count(front.Call{Verb: "patch", Workspace: "root:missing"}); n != 0 {
		t.Errorf("%d PATCH calls into a workspace that does not exist", n)
	}
}
