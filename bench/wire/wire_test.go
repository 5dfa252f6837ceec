package wire_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/bench/fleet"
	"github.com/upstreamd/upstreamd/bench/wire"
)

var (
	shape       = fleet.Shape{Objects: 6, Copies: 2, SyncTargets: 3, Workspaces: 2, Namespaces: 2}
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
)

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// inBoth runs a test with clients through memory, and over HTTP.
func inBoth(t *testing.T, test func(t *testing.T, w *wire.World, upstream, target *rest.Config)) {
	t.Run("memory", func(t *testing.T) {
		w := wire.New(shape)
		test(t, w, w.Upstream(), w.SyncTarget(1))
	})
	t.Run("http", func(t *testing.T) {
		w := wire.New(shape)
		if err := w.Listen(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Close)
		upstream, targets := w.URLs()
		test(t, w, &rest.Config{Host: upstream}, &rest.Config{Host: targets[1]})
	})
}

func in(config *rest.Config, workspace string) *rest.Config {
	config = rest.CopyConfig(config)
	config.Host += "/clusters/" + workspace
	return config
}

func TestClientsListAndWatchASyncTarget(t *testing.T) {
	inBoth(t, func(t *testing.T, w *wire.World, _, target *rest.Config) {
		client := must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(target))
		list := must[*appsv1.DeploymentList](t)(client.AppsV1().Deployments("").List(t.Context(), metav1.ListOptions{}))
		if len(list.Items) != 4 { // 12 copies on 3 SyncTargets
			t.Errorf("listed %d Deployments", len(list.Items))
		}
		streaming := true
		events, err := client.AppsV1().Deployments("").Watch(t.Context(), metav1.ListOptions{
			SendInitialEvents: &streaming, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer events.Stop()
		for range list.Items {
			if e := <-events.ResultChan(); e.Type != "ADDED" {
				t.Fatalf("began with %v", e)
			}
		}
		if e := <-events.ResultChan(); e.Type != "BOOKMARK" || e.Object.(*appsv1.Deployment).Annotations[metav1.InitialEventsAnnotationKey] != "true" {
			t.Fatalf("the initial events end with %v", e)
		}
		number := shape.On(1)[0]
		w.Change(number)
		e := <-events.ResultChan()
		d := e.Object.(*appsv1.Deployment)
		if e.Type != "MODIFIED" || d.Status.Replicas != fleet.First+1 || d.Name != shape.Downstream(shape.Object(number)).Name {
			t.Errorf("a change is told as %v %s with %d replicas", e.Type, d.Name, d.Status.Replicas)
		}
		if w.Waiting() != 0 {
			t.Errorf("%d events wait though all were read", w.Waiting())
		}
	})
}

func TestStatusPatchesMergeAndCheckVersions(t *testing.T) {
	inBoth(t, func(t *testing.T, w *wire.World, upstream, _ *rest.Config) {
		var seen []wire.Patch
		w.OnPatch(func(p wire.Patch) { seen = append(seen, p) })
		name := shape.Upstream(3)
		client := must[*dynamic.DynamicClient](t)(dynamic.NewForConfig(in(upstream, name.Workspace))).Resource(deployments).Namespace(name.Namespace)
		patch := func(body string) (*unstructured.Unstructured, error) {
			return client.Patch(t.Context(), name.Name, types.MergePatchType, []byte(body), metav1.PatchOptions{FieldManager: "tester"}, "status")
		}
		first := must[*unstructured.Unstructured](t)(patch(`{"status":{"replicas":3,"readyReplicas":1}}`))
		again := must[*unstructured.Unstructured](t)(patch(`{"status":{"replicas":3}}`))
		if first.GetResourceVersion() != again.GetResourceVersion() {
			t.Error("a patch that changes nothing made a new version")
		}
		second := must[*unstructured.Unstructured](t)(patch(`{"metadata":{"resourceVersion":"` + first.GetResourceVersion() + `"},"status":{"readyReplicas":null}}`))
		if _, err := patch(`{"metadata":{"resourceVersion":"` + first.GetResourceVersion() + `"},"status":{"replicas":9}}`); !apierrors.IsConflict(err) {
			t.Errorf("a patch decided on an older version is answered with %v", err)
		}
		status, _, _ := unstructured.NestedMap(second.Object, "status")
		if len(status) != 1 || status["replicas"] != int64(3) || string(w.Published(3)) != `{"replicas":3}` {
			t.Errorf("the status is %v, kept as %s", status, w.Published(3))
		}
		if f := second.GetManagedFields(); f[len(f)-1].Manager != "tester" || f[len(f)-1].Subresource != "status" {
			t.Errorf("managed by %v", f)
		}
		if c := w.Calls(); c != (wire.Calls{Patches: 3, NoOps: 1, Conflicts: 1}) {
			t.Errorf("counted %+v", c)
		}
		if len(seen) != 4 || seen[2].Replicas != 3 || seen[3].Code != http.StatusConflict {
			t.Errorf("reported %+v", seen)
		}
	})
}

func TestAnObjectIsOnlyWhereItBelongs(t *testing.T) {
	w := wire.New(shape)
	name := shape.Upstream(3)
	other := shape.WorkspaceNames()[0]
	if other == name.Workspace {
		t.Fatal("choose another object")
	}
	client := must[*dynamic.DynamicClient](t)(dynamic.NewForConfig(in(w.Upstream(), other)))
	if _, err := client.Resource(deployments).Namespace(name.Namespace).Get(t.Context(), name.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("an object of another workspace is answered with %v", err)
	}
}

func TestCheckFindsWhatIsNotTrue(t *testing.T) {
	w := wire.New(shape)
	if wrong, _ := w.Check(); wrong != shape.Objects {
		t.Errorf("of nothing published, %d objects are wrong", wrong)
	}
	w.Change(0)
	for object := range shape.Objects {
		replicas := 2
		if object == 0 {
			replicas = 3
		}
		name := shape.Upstream(object)
		client := must[*dynamic.DynamicClient](t)(dynamic.NewForConfig(in(w.Upstream(), name.Workspace)))
		body := must[[]byte](t)(json.Marshal(map[string]any{"status": map[string]any{
			"replicas": replicas, "readyReplicas": replicas, "observedGeneration": 1,
			"conditions": []any{map[string]any{"type": "Available", "status": "True"}},
		}}))
		must[*unstructured.Unstructured](t)(client.Resource(deployments).Namespace(name.Namespace).
			Patch(t.Context(), name.Name, types.MergePatchType, body, metav1.PatchOptions{}, "status"))
	}
	if wrong, err := w.Check(); wrong != 0 {
		t.Errorf("%d objects are wrong: %v", wrong, err)
	}
	w.Change(0)
	if wrong, err := w.Check(); wrong != 1 || err == nil || !strings.Contains(err.Error(), shape.Upstream(0).Name) {
		t.Errorf("%d objects are wrong: %v", wrong, err)
	}
}

func TestASilentSyncTargetSaysNothingUntilItIsLifted(t *testing.T) {
	inBoth(t, func(t *testing.T, w *wire.World, _, target *rest.Config) {
		client := must[*http.Client](t)(rest.HTTPClientFor(target))
		get := func(ctx context.Context) error {
			r, _ := http.NewRequestWithContext(ctx, http.MethodGet, target.Host+"/readyz", nil)
			resp, err := client.Do(r)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.Copy(io.Discard, resp.Body)
			return err
		}
		w.Silence(1, true)
		limited, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := get(limited); err == nil {
			t.Error("a silent SyncTarget answered")
		}
		w.Silence(1, false)
		if err := get(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestTheServersSayWhatTheyCost(t *testing.T) {
	w := wire.New(fleet.Shape{Objects: 500, Copies: 1, SyncTargets: 1})
	before := w.CPU()
	for range 20 {
		if _, err := listed(w); err != nil {
			t.Fatal(err)
		}
	}
	per := (w.CPU() - before) / (20 * 500)
	if per <= 0 || per > time.Millisecond {
		t.Errorf("an object of a list costs %v", per)
	}
}

// listed lists a SyncTarget once.
func listed(w *wire.World) (int64, error) {
	c := w.SyncTarget(0)
	r, err := http.NewRequest(http.MethodGet, c.Host+"/apis/apps/v1/deployments", nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.Transport.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return io.Copy(io.Discard, resp.Body)
}
