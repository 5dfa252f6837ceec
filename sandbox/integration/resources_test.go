package integration

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/copier"
)

var (
	gadgets = schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "gadgets"}
	notes   = schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "notes"} // have no status
)

// gadget creates a gadget, or its copy, with a size in its status.
func (w *world) gadget(api dynamic.ResourceInterface, kind, name string, labels map[string]string, size int64) {
	w.t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.com/v1", "kind": kind, "spec": map[string]any{}}}
	o.SetName(name)
	o.SetLabels(labels)
	made, err := api.Create(w.t.Context(), o, metav1.CreateOptions{})
	w.must(err)
	if size > 0 {
		made.Object["status"] = map[string]any{"size": size}
		_, err = api.UpdateStatus(w.t.Context(), made, metav1.UpdateOptions{})
		w.must(err)
	}
}

func (w *world) wantSize(name string, want int64) {
	w.t.Helper()
	api := dynamicClient(w.t, w.Workspace(teamA).Topology().Config).Resource(gadgets).Namespace(namespace)
	w.eventually(func() error {
		o, err := api.Get(w.t.Context(), name, metav1.GetOptions{})
		w.must(err)
		if got, _, _ := unstructured.NestedInt64(o.Object, "status", "size"); got != want {
			return fmt.Errorf("%s has the size %d published, want %d", name, got, want)
		}
		return nil
	})
}

func (w *world) gadgetsOf(target string) dynamic.ResourceInterface {
	return dynamicClient(w.t, w.SyncTarget(target).Config()).Resource(gadgets).Namespace(w.down(target, teamA))
}

// "*" matches the kinds that both sides serve with a status, later ones too; kinds without a status subresource and excluded kinds are
// ignored.
func TestWildcardResource(t *testing.T) {
	w := newWorld(t, sandbox.Options{Workspaces: []string{teamA}, SyncTargets: []string{"us-east1"}}, deployments)
	w.config.Resources = []config.Resource{{Group: "*", Version: "*", Resource: "*", Exclude: []config.Exclusion{{Group: "batch", Resource: "*"}}}}
	w.place(teamA, "web")
	w.start()
	w.report("us-east1", teamA, "web", 2)
	w.wantReady(teamA, "web", 2)
	brought := func() map[string]bool {
		t.Helper()
		lines, err := w.daemon.Lines()
		w.must(err)
		out := map[string]bool{}
		for _, line := range lines {
			if resource, ok := line["resource"].(string); ok && line["message"] == "resource watched" {
				out[resource] = true
			}
		}
		return out
	}
	if got := brought(); !got["pods.v1"] || !got["services.v1"] || !got["deployments.v1.apps"] || got["jobs.v1.batch"] || got["configmaps.v1"] || got["namespaces.v1"] || got["customresourcedefinitions.v1.apiextensions.k8s.io"] {
		t.Errorf("aggregated kinds: %v", got)
	}

	// The kinds are added while the daemon runs, first on one side.
	up, down := w.Workspace(teamA).APIServer.Config(), w.SyncTarget("us-east1").Config()
	w.defineIn(up, gadgets, "Gadget", "Namespaced", true)
	w.defineIn(up, notes, "Note", "Namespaced", false)
	w.defineIn(down, gadgets, "Gadget", "Namespaced", true)
	w.defineIn(down, notes, "Note", "Namespaced", true)
	w.gadget(dynamicClient(t, up).Resource(gadgets).Namespace(namespace), "Gadget", "one", copier.Placement(w.targets()...), 0)
	w.gadget(w.gadgetsOf("us-east1"), "Gadget", "one", nil, 7)
	w.wantSize("one", 7)
	if brought()["notes.v1.example.com"] {
		t.Error("a kind without a status subresource is aggregated")
	}
	w.eventually(func() error {
		lines, err := w.daemon.Lines()
		w.must(err)
		for _, line := range lines {
			kinds, _ := line["kinds"].([]any)
			for _, kind := range kinds {
				if kind == "notes.example.com" {
					return nil
				}
			}
		}
		return errors.New("the log does not report that notes are ignored")
	})

	// Then they are removed: the published statuses stay.
	w.must(dynamicClient(t, down).Resource(definitions).Delete(t.Context(), "gadgets.example.com", metav1.DeleteOptions{}))
	w.eventually(func() error {
		if w.logged("resource not watched any more", "") == 0 {
			return errors.New("gadgets are still aggregated")
		}
		return nil
	})
	w.report("us-east1", teamA, "web", 3)
	w.wantReady(teamA, "web", 3)
}

// A kind that one SyncTarget does not serve blocks no decision, and is picked up when it is added there. A configured kind without a status
// subresource upstream is ignored and logged once.
func TestKindNotServedByOneSyncTarget(t *testing.T) {
	w := newWorldWith(t, sandbox.Options{Workspaces: []string{teamA}, SyncTargets: []string{"eu-west1", "us-east1"}},
		copier.Options{Resources: []schema.GroupVersionResource{deployments}}, func(w *world) {
			for _, server := range []string{"us-east1"} {
				w.defineIn(w.SyncTarget(server).Config(), gadgets, "Gadget", "Namespaced", true)
			}
			w.defineIn(w.Workspace(teamA).APIServer.Config(), gadgets, "Gadget", "Namespaced", true)
		})
	w.config.Resources = append(w.config.Resources, config.Resource{Group: "example.com", Version: "v1", Resource: "gadgets"}, config.Resource{Version: "v1", Resource: "configmaps"})
	w.place(teamA, "web") // creates the namespaces
	w.start()
	up := dynamicClient(t, w.Workspace(teamA).APIServer.Config()).Resource(gadgets).Namespace(namespace)
	w.gadget(up, "Gadget", "one", nil, 0) // every bound SyncTarget may hold a copy
	w.gadget(w.gadgetsOf("us-east1"), "Gadget", "one", nil, 7)
	w.wantSize("one", 7)

	w.defineIn(w.SyncTarget("eu-west1").Config(), gadgets, "Gadget", "Namespaced", true)
	w.gadget(up, "Gadget", "two", nil, 0)
	w.gadget(w.gadgetsOf("eu-west1"), "Gadget", "two", nil, 8)
	w.wantSize("two", 8)

	before := w.writes(nil)
	_, err := w.upstream(teamA).CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c"}}, metav1.CreateOptions{})
	w.must(err)
	w.quiet()
	if n := w.writes(nil) - before; n != 0 {
		t.Errorf("%d writes for a kind without a status", n)
	}
	lines, err := w.daemon.Lines()
	w.must(err)
	logged := 0
	for _, line := range lines {
		if line["resource"] == "configmaps.v1" && line["reason"] == "the resource is not served with a status subresource" {
			logged++
		}
	}
	if logged != 1 {
		t.Errorf("the missing status subresource of configmaps was logged %d times", logged)
	}
}
