package integration

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/copier"
	"github.com/upstreamd/upstreamd/sandbox/sandboxtest"
)

// while is longer than a copy that lags is left unannounced.
const while = 12 * time.Second

// The copies carry no annotation of the upstream generation, like those of kcp's own syncer. The published observedGeneration does
// not run ahead of a delayed spec syncer; it advances when the spec syncer and the controllers are done, also if the copies had the
// edited values before.
func TestGenerationWithoutTheAnnotation(t *testing.T) {
	w := newWorldWith(t, sandbox.Options{Workspaces: []string{teamA}, SyncTargets: []string{"us-east1", "eu-west1"}},
		copier.Options{Resources: []schema.GroupVersionResource{deployments}, OmitGeneration: true}, func(*world) {})
	w.place(teamA, "web")
	w.start()
	report := func(ready int32, targets ...string) {
		t.Helper()
		for _, target := range targets {
			w.report(target, teamA, "web", ready) // as of the copy's own generation
		}
		w.wantReady(teamA, "web", 2*ready)
	}
	edit := func(replicas int) {
		t.Helper()
		_, err := w.upstream(teamA).AppsV1().Deployments(namespace).Patch(t.Context(), "web", types.MergePatchType,
			fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas), metav1.PatchOptions{})
		w.must(err)
	}
	observed := func(want int64) func() error {
		return func() error {
			if got := w.published(teamA, "web").ObservedGeneration; got != want {
				return fmt.Errorf("generation %d is published as observed, want %d", got, want)
			}
			return nil
		}
	}
	report(1, "us-east1", "eu-west1")
	w.eventually(observed(1))

	w.copier.Stop()
	edit(5)
	report(2, "us-east1", "eu-west1")         // of the old generation: the controllers have not observed the edit
	sandboxtest.Always(t, while, observed(1)) // no time proves that the copies follow
	w.startCopier()
	w.must(w.copier.Settle(t.Context()))
	sandboxtest.Always(t, 3*time.Second, observed(1)) // the controllers have not observed it
	w.report("us-east1", teamA, "web", 3)
	w.eventually(func() error {
		if got := w.published(teamA, "web").ReadyReplicas; got != 5 {
			return fmt.Errorf("%d ready replicas are published, want 5", got)
		}
		return nil
	})
	if err := observed(1)(); err != nil {
		t.Fatal("one of two controllers has observed the edit: ", err)
	}
	report(3, "eu-west1")
	w.eventually(observed(2))

	// The copies are scaled downstream first; later the user makes the same edit upstream. The copies' generation stays.
	w.copier.Stop()
	for _, target := range w.targets() {
		_, err := w.downstream(target.Name).AppsV1().Deployments(w.down(target.Name, teamA)).Patch(t.Context(), "web", types.MergePatchType,
			[]byte(`{"spec":{"replicas":7}}`), metav1.PatchOptions{})
		w.must(err)
	}
	report(2, "us-east1", "eu-west1")
	before := w.generations("web")
	edit(7)
	w.eventually(observed(3)) // the copies have it already
	w.startCopier()
	w.must(w.copier.Settle(t.Context()))
	if after := w.generations("web"); after != before {
		t.Fatalf("the copies' generations moved from %s to %s: the test proves nothing", before, after)
	}

	w.stop()
	w.start()
	sandboxtest.Always(t, 3*time.Second, observed(3))
}

// generations returns the generations of a Deployment's copies.
func (w *world) generations(name string) string {
	w.t.Helper()
	var all []int64
	for _, target := range w.targets() {
		d, err := w.downstream(target.Name).AppsV1().Deployments(w.down(target.Name, teamA)).Get(w.t.Context(), name, metav1.GetOptions{})
		w.must(err)
		all = append(all, d.Generation)
	}
	return fmt.Sprint(all)
}
