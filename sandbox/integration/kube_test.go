package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/kube/downstream"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/kube/upstream"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/controlplane"
	"github.com/upstreamd/upstreamd/sandbox/sandboxtest"
)

var deployments = ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"}

// TestKubeEdges tests the downstream and upstream clients on real kube-apiservers.
func TestKubeEdges(t *testing.T) {
	world := sandboxtest.Start(t, sandbox.Options{
		Workspaces: []string{"root:team-a", "team-b"}, SyncTargets: []string{"us-east1"}, RBAC: true,
		Users: []controlplane.User{{Name: "no-rights", Token: "no-rights-token"}},
	})
	t.Run("downstream", func(t *testing.T) { testDownstream(t, world) })
	t.Run("downstream outage", func(t *testing.T) { testDownstreamOutage(t, world) })
	t.Run("upstream watch", func(t *testing.T) { testUpstreamWatch(t, world) })
	t.Run("upstream patch", func(t *testing.T) { testUpstreamPatch(t, world) })
	t.Run("upstream discovery", func(t *testing.T) { testUpstreamDiscovery(t, world) })
	t.Run("denied", func(t *testing.T) { testDenied(t, world) })
}

// everything requests all optional fields of the decoder.
var everything = ref.Want{Labels: []string{"app"}, Annotations: []string{"upstreamd.dev/"}, StatusTimes: true, Managers: true}

func testDownstream(t *testing.T, world *sandbox.Sandbox) {
	target := world.SyncTarget("us-east1")
	admin := kubernetes.NewForConfigOrDie(target.Config())
	for i := range 5 {
		newDeployment(t, admin, fmt.Sprintf("web-%d", i))
	}
	cfg, err := client.FromKubeconfig(target.Kubeconfig, "")
	if err != nil {
		t.Fatal(err)
	}
	c := newDownstream(t, cfg)
	v := follow(t, c.Watch, deployments, everything)
	v.eventually(t, "five are listed", func(v view) bool { return v.lists == 1 && len(v.objects) == 5 })

	setStatus(t, admin, "web-0", 3)
	v.eventually(t, "the status arrives", func(v view) bool { return readyIn(v.objects["/default/web-0"]) == 3 })
	v.sameAs(t, target.Config())

	if err := admin.AppsV1().Deployments("default").Delete(t.Context(), "web-4", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	newDeployment(t, admin, "late")
	v.eventually(t, "one is deleted, one added", func(v view) bool {
		return len(v.objects) == 5 && v.objects["/default/web-4"] == nil && v.objects["/default/late"] != nil && v.lists == 1 && v.deleted == 1
	})

	pages, err := downstream.New(cfg, downstream.Options{PageSize: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()
	objects, err := pages.List(t.Context(), deployments, "default", ref.Want{})
	if err != nil || len(objects) != 5 {
		t.Errorf("%d objects in pages of two, %v", len(objects), err)
	}
	objects, err = pages.List(t.Context(), deployments, "", ref.Want{Selector: "app=late"})
	if err != nil || len(objects) != 1 || objects[0].Name != "late" {
		t.Errorf("%d objects by label, %v", len(objects), err)
	}
	if err := c.Probe(t.Context()); err != nil {
		t.Errorf("probe: %v", err)
	}
}

// testDownstreamOutage kills the API server under a watch. That deletes no objects; later changes arrive.
func testDownstreamOutage(t *testing.T, world *sandbox.Sandbox) {
	target := world.SyncTarget("us-east1")
	admin := kubernetes.NewForConfigOrDie(target.Config())
	c := newDownstream(t, target.Config())
	v := follow(t, c.Watch, deployments, everything)
	v.eventually(t, "listed", func(v view) bool { return v.lists == 1 && len(v.objects) == 5 })

	target.Kill()
	v.eventually(t, "the failure is reported", func(v view) bool { return v.failed > 0 })
	contact := c.LastHeard()
	if err := c.Probe(t.Context()); err == nil || c.LastHeard() != contact {
		t.Errorf("probe of a dead server: %v; last contact %v, then %v", err, contact, c.LastHeard())
	}
	if err := target.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	setStatus(t, admin, "web-1", 2)
	v.eventually(t, "the change arrives", func(v view) bool { return readyIn(v.objects["/default/web-1"]) == 2 })
	v.eventually(t, "nothing was deleted", func(v view) bool { return len(v.objects) == 5 && v.deleted == 0 })
	if !c.LastHeard().After(contact) {
		t.Error("no contact since the outage")
	}
	v.sameAs(t, target.Config())

	if err := target.Pause(); err != nil {
		t.Fatal(err)
	}
	failed := v.snapshot().failed
	v.eventually(t, "the silence of a paused server is detected", func(v view) bool { return v.failed > failed })
	if err := target.Resume(); err != nil {
		t.Fatal(err)
	}
	setStatus(t, admin, "web-2", 1)
	v.eventually(t, "the change arrives", func(v view) bool { return readyIn(v.objects["/default/web-2"]) == 1 })
}

func testUpstreamWatch(t *testing.T, world *sandbox.Sandbox) {
	c := newUpstream(t, world.Upstream(), "root:team-a", "team-b", "root:missing")
	if err := c.Resolve(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"root:team-a", "team-b"} {
		newDeployment(t, kubernetes.NewForConfigOrDie(world.Workspace(w).Config()), "same")
	}
	v := follow(t, c.Watch, deployments, everything)
	v.eventually(t, "both are listed, the missing one fails", func(v view) bool {
		return v.lists == 2 && v.objects["root:team-a/default/same"] != nil && v.objects["team-b/default/same"] != nil && v.failedIn["root:missing"] > 0
	})
	admin := kubernetes.NewForConfigOrDie(world.Workspace("team-b").Config())
	setStatus(t, admin, "same", 1)
	v.eventually(t, "only one changed", func(v view) bool {
		return readyIn(v.objects["team-b/default/same"]) == 1 && readyIn(v.objects["root:team-a/default/same"]) == 0
	})
	if err := admin.AppsV1().Deployments("default").Delete(t.Context(), "same", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	v.eventually(t, "only one is deleted", func(v view) bool {
		return v.objects["team-b/default/same"] == nil && v.objects["root:team-a/default/same"] != nil
	})
}

func testUpstreamPatch(t *testing.T, world *sandbox.Sandbox) {
	c := newUpstream(t, world.Upstream(), "root:team-a")
	admin := kubernetes.NewForConfigOrDie(world.Workspace("root:team-a").Config())
	newDeployment(t, admin, "patched")
	u := ref.Upstream{Workspace: "root:team-a", Namespace: "default", Name: "patched"}
	o, err := c.Get(t.Context(), deployments, u, everything)
	if err != nil {
		t.Fatal(err)
	}
	patch := func(version, status string) (*ref.Object, error) {
		body := fmt.Sprintf(`{"metadata":{"resourceVersion":%q},"status":%s}`, version, status)
		return c.Patch(t.Context(), ref.Patch{Resource: deployments, Upstream: u, Body: []byte(body)}, everything)
	}
	first, err := patch(o.ResourceVersion, `{"replicas":3,"readyReplicas":2,"availableReplicas":0}`)
	if err != nil {
		t.Fatal(err)
	}
	if first.ResourceVersion == o.ResourceVersion || first.UID != o.UID || first.Workspace != "root:team-a" || readyIn(first) != 2 {
		t.Errorf("got %+v", first)
	}
	if len(first.Managers) != 1 || first.Managers[0].Name != "upstreamd" || !strings.Contains(string(first.Managers[0].Fields), "f:readyReplicas") ||
		first.StatusTime.IsZero() {
		t.Errorf("no managedFields entry of ours: %+v", first.Managers)
	}
	second, err := patch(first.ResourceVersion, `{"replicas":3,"readyReplicas":2}`)
	if err != nil || second.ResourceVersion != first.ResourceVersion {
		t.Errorf("the same again: %+v, %v", second, err)
	}
	if _, err := patch(o.ResourceVersion, `{"replicas":9}`); !apierrors.IsConflict(err) {
		t.Errorf("a stale resourceVersion: %v", err)
	}
	if _, err := patch(first.ResourceVersion, `{"readyReplicas":1,"availableReplicas":2}`); !apierrors.IsInvalid(err) {
		t.Errorf("an invalid status: %v", err)
	}
	u.Name = "does-not-exist"
	if _, err := patch("1", `{}`); !apierrors.IsNotFound(err) {
		t.Errorf("an object that is not there: %v", err)
	}
	if _, err := c.Get(t.Context(), deployments, u, ref.Want{}); !apierrors.IsNotFound(err) {
		t.Errorf("an object that is not there: %v", err)
	}
}

func testUpstreamDiscovery(t *testing.T, world *sandbox.Sandbox) {
	w := world.Workspace("team-b")
	things := schema.GroupVersionResource{Group: "example.dev", Version: "v1", Resource: "things"}
	crd := map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "things.example.dev"},
		"spec": map[string]any{
			"group": "example.dev", "scope": "Namespaced", "names": map[string]any{"plural": "things", "singular": "thing", "kind": "Thing"},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true, "subresources": map[string]any{"status": map[string]any{}},
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
			}},
		},
	}
	crds := dynamic.NewForConfigOrDie(w.Config()).Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	if _, err := crds.Create(t.Context(), &unstructured.Unstructured{Object: crd}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c := newUpstream(t, world.Upstream(), "team-b")
	sandboxtest.Eventually(t, 30*time.Second, func() error {
		_, err := c.Describe(t.Context(), things, "team-b", "")
		return err
	})
	for _, tc := range []struct {
		r             ref.Resource
		typed, status bool
		unknown       bool
	}{
		{r: deployments, typed: true, status: true},
		{r: ref.Resource{Version: "v1", Resource: "pods"}, typed: true, status: true},
		{r: ref.Resource{Version: "v1", Resource: "configmaps"}, typed: true},
		{r: things, status: true},
		{r: ref.Resource{Group: "example.dev", Version: "v1", Resource: "others"}, unknown: true},
		{r: ref.Resource{Group: "nowhere.dev", Version: "v1", Resource: "things"}, unknown: true},
	} {
		got, err := c.Describe(t.Context(), tc.r, "team-b", "")
		if got.Typed != tc.typed || got.HasStatus != tc.status || errors.Is(err, upstream.ErrUnknownResource) != tc.unknown || !tc.unknown && err != nil {
			t.Errorf("%s: described as %+v, %v", ref.ResourceString(tc.r), got, err)
		}
		if tc.r == deployments && !slices.Equal(got.Schema.List([]string{"conditions"}).Keys, []string{"type"}) {
			t.Error("the schema of a Deployment's status has no keyed list of conditions")
		}
	}
}

// testDenied uses a client without rights: every failure is reported, no object is observed.
func testDenied(t *testing.T, world *sandbox.Sandbox) {
	target := world.SyncTarget("us-east1")
	c := newDownstream(t, target.ConfigFor(controlplane.User{Name: "no-rights", Token: "no-rights-token"}))
	v := follow(t, c.Watch, deployments, everything)
	v.eventually(t, "reported repeatedly", func(v view) bool { return v.failed >= 2 && v.lists == 0 && apierrors.IsForbidden(v.err) })
	if _, err := c.List(t.Context(), deployments, "", ref.Want{}); !apierrors.IsForbidden(err) {
		t.Errorf("list: %v", err)
	}
	if err := c.Probe(t.Context()); err != nil && !apierrors.IsForbidden(err) {
		t.Errorf("probe: %v", err)
	}
	wrong := newDownstream(t, target.ConfigFor(controlplane.User{Name: "x", Token: "wrong"}))
	if err := wrong.Probe(t.Context()); !apierrors.IsUnauthorized(err) || !wrong.LastHeard().IsZero() {
		t.Errorf("probe with a wrong token: %v, last contact %v", err, wrong.LastHeard())
	}
}

var quick = lean.Backoff{Initial: 50 * time.Millisecond, Max: time.Second}

func newDownstream(t *testing.T, cfg *rest.Config) *downstream.Client {
	t.Helper()
	c, err := downstream.New(cfg, downstream.Options{Backoff: quick})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func newUpstream(t *testing.T, cfg *rest.Config, workspaces ...string) *upstream.Client {
	t.Helper()
	c, err := upstream.New(cfg, upstream.Options{Backoff: quick, Workspaces: workspaces})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// view holds the reported objects of a watch, by workspace/namespace/name, and counts.
type view struct {
	objects                map[string]*ref.Object
	lists, deleted, failed int
	failedIn               map[ref.Workspace]int
	err                    error
}

type follower struct {
	mu sync.Mutex
	view
}

func follow(t *testing.T, watch func(context.Context, ref.Resource, ref.Want, ref.Emit), r ref.Resource, want ref.Want) *follower {
	f := &follower{view: view{objects: map[string]*ref.Object{}, failedIn: map[ref.Workspace]int{}}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		watch(ctx, r, want, f.take)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return f
}

func (f *follower) take(e ref.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := func(o *ref.Object) string { return fmt.Sprintf("%s/%s/%s", o.Workspace, o.Namespace, o.Name) }
	switch e.Type {
	case ref.Listed:
		f.lists++
		for k, o := range f.objects {
			if o.Workspace == e.Scope {
				delete(f.objects, k)
			}
		}
		for _, o := range e.Objects {
			f.objects[key(o)] = o
		}
	case ref.Changed:
		f.objects[key(e.Objects[0])] = e.Objects[0]
	case ref.Deleted:
		f.deleted++
		delete(f.objects, key(e.Objects[0]))
	case ref.Failed:
		f.failed++
		f.failedIn[e.Scope]++
		f.err = e.Err
	}
}

func (f *follower) snapshot() view {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.view
}

func (f *follower) eventually(t *testing.T, condition string, is func(view) bool) {
	t.Helper()
	sandboxtest.Eventually(t, time.Minute, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !is(f.view) {
			return fmt.Errorf("%s: not yet: %d objects, %d lists, %d deleted, %d failed (%v)", condition, len(f.objects), f.lists, f.deleted, f.failed, f.err)
		}
		return nil
	})
}

// sameAs compares each lean Deployment with the results of the typed and dynamic clients.
func (f *follower) sameAs(t *testing.T, cfg *rest.Config) {
	t.Helper()
	list, err := dynamic.NewForConfigOrDie(cfg).Resource(deployments).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f.eventually(t, "everything is observed", func(v view) bool {
		for _, u := range list.Items {
			o := v.objects["/"+u.GetNamespace()+"/"+u.GetName()]
			if o == nil || o.ResourceVersion != u.GetResourceVersion() {
				return false
			}
		}
		return true
	})
	for _, u := range list.Items {
		o := f.snapshot().objects["/"+u.GetNamespace()+"/"+u.GetName()]
		var status any
		if o.Status != nil {
			if err := json.Unmarshal(o.Status, &status); err != nil {
				t.Fatal(err)
			}
		}
		raw, _ := json.Marshal(u.Object["status"])
		var want any
		_ = json.Unmarshal(raw, &want)
		if !reflect.DeepEqual(status, want) || o.UID != u.GetUID() || o.Generation != u.GetGeneration() || o.Labels["app"] != u.GetLabels()["app"] {
			t.Errorf("%s: got %+v with status %s, want %v", u.GetName(), o, o.Status, u.Object)
		}
		var newest time.Time
		for _, m := range u.GetManagedFields() {
			if m.Subresource == "status" && m.Time.After(newest) {
				newest = m.Time.Time
			}
		}
		if !o.StatusTime.Equal(newest) {
			t.Errorf("%s: status time %v, want %v", u.GetName(), o.StatusTime, newest)
		}
	}
}

func readyIn(o *ref.Object) int {
	var status appsv1.DeploymentStatus
	if o == nil || o.Status == nil || json.Unmarshal(o.Status, &status) != nil {
		return 0
	}
	return int(status.ReadyReplicas)
}

func newDeployment(t *testing.T, c kubernetes.Interface, name string) {
	t.Helper()
	labels := map[string]string{"app": name}
	_, err := c.AppsV1().Deployments("default").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, Annotations: map[string]string{"upstreamd.dev/upstream-generation": "1"}},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func setStatus(t *testing.T, c kubernetes.Interface, name string, ready int) {
	t.Helper()
	body := fmt.Sprintf(`{"status":{"replicas":3,"readyReplicas":%d}}`, ready)
	sandboxtest.Eventually(t, time.Minute, func() error {
		_, err := c.AppsV1().Deployments("default").Patch(t.Context(), name, types.MergePatchType, []byte(body), metav1.PatchOptions{}, "status")
		return err
	})
}
