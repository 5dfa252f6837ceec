package integration

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/copier"
	"github.com/upstreamd/upstreamd/sandbox/front"
	"github.com/upstreamd/upstreamd/sandbox/sandboxtest"
)

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// summaryType is the type of the summary condition.
const summaryType = "upstreamd.dev/Aggregated"

// Every built-in kind, and one without a policy: the statuses of three SyncTargets are merged as its case file expects, step by step.
// The upstream API server accepts every patch; it receives none without a change, nor from a restarted daemon; and the published
// status is cleared, as far as the kind permits, when the copies are deleted.
func TestKinds(t *testing.T) {
	kinds := readKinds(t)
	w := newWorldWith(t, sandbox.Options{Workspaces: []string{teamA}, SyncTargets: []string{"ap-south1", "eu-west1", "us-east1"}},
		copier.Options{Resources: copied(kinds)}, func(w *world) { w.define(kinds) })
	w.config.Resources = append(w.config.Resources, config.Resource{Version: "v1", Resource: "namespaces"})
	refused := w.watchRefusals()
	w.start()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			w.prepare(t, k)
			for _, s := range k.steps {
				w.take(t, k, s)
				w.wantStatus(t, k, s.name, s.want)
			}
		})
	}
	if refused.report(t); t.Failed() {
		return
	}
	w.quiet()
	before := w.Calls()
	time.Sleep(30 * time.Second)
	if n := w.writes(before); n != 0 {
		t.Errorf("%d writes within 30 s without a change", n)
	}
	w.wantFreeRestart(kinds)

	for _, k := range kinds {
		if k.withdrawn != nil {
			w.must(copier.Place(t.Context(), w.Workspace(teamA).Topology(), k.resource, k.object.GetNamespace(), k.object.GetName()))
		}
	}
	for _, k := range kinds {
		if k.withdrawn != nil {
			w.wantStatus(t, k, "withdrawn", k.withdrawn)
		}
	}
	w.quiet()
	refused.report(t)
}

// copied returns the resources for the copier. Namespaces are excluded: the copier creates them for the copies.
func copied(kinds []*kind) []schema.GroupVersionResource {
	var resources []schema.GroupVersionResource
	added := map[schema.GroupVersionResource]bool{namespaces: true}
	for _, k := range kinds {
		if !added[k.resource] {
			resources = append(resources, k.resource)
		}
		added[k.resource] = true
	}
	return resources
}

func dynamicClient(t testing.TB, c *rest.Config) dynamic.Interface {
	t.Helper()
	made, err := dynamic.NewForConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// define creates the CRDs of the kinds on every API server, before any client uses them.
func (w *world) define(kinds []*kind) {
	w.t.Helper()
	definitions := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	servers := []*rest.Config{w.Workspace(teamA).Config()}
	for _, t := range w.SyncTargets() {
		servers = append(servers, t.Config())
	}
	for _, k := range kinds {
		if k.crd == nil {
			continue
		}
		for _, server := range servers {
			c := dynamicClient(w.t, server)
			_, err := c.Resource(definitions).Create(w.t.Context(), k.crd, metav1.CreateOptions{})
			w.must(err)
			w.eventually(func() error {
				_, err := c.Resource(k.resource).List(w.t.Context(), metav1.ListOptions{})
				return err
			})
		}
	}
}

func (w *world) upstreamOf(t *testing.T, k *kind) dynamic.ResourceInterface {
	return dynamicClient(t, w.Workspace(teamA).Config()).Resource(k.resource).Namespace(k.object.GetNamespace())
}

// copyOf returns the client and name of a SyncTarget's copy of the object.
func (w *world) copyOf(t *testing.T, k *kind, target string) (dynamic.ResourceInterface, string) {
	t.Helper()
	c := dynamicClient(t, w.SyncTarget(target).Config()).Resource(k.resource)
	if k.resource == namespaces {
		return c, w.downNamespace(target, teamA, k.object.GetName()).Name
	}
	ns, name, err := w.copier.CopyName(target, teamA, k.resource, k.object.GetNamespace(), k.object.GetName())
	if err != nil {
		t.Fatal(err)
	}
	return c.Namespace(ns), name
}

// prepare creates the object, applies the user's edit, and then places it, so that the copies have another generation.
func (w *world) prepare(t *testing.T, k *kind) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for target, own := range k.owns {
		home, err := w.ensureNamespace(t, target, k.object.GetNamespace())
		check(err)
		gvr := schema.GroupVersionResource{Version: own.GetAPIVersion(), Resource: strings.ToLower(own.GetKind()) + "s"}
		_, err = dynamicClient(t, w.SyncTarget(target).Config()).Resource(gvr).Namespace(home).Create(t.Context(), own, metav1.CreateOptions{})
		check(err)
	}
	up := w.upstreamOf(t, k)
	_, err := up.Create(t.Context(), k.object, metav1.CreateOptions{})
	check(err)
	if k.edit != nil {
		_, err := up.Patch(t.Context(), k.object.GetName(), types.MergePatchType, k.edit, metav1.PatchOptions{})
		check(err)
	}
	check(copier.Place(t.Context(), w.Workspace(teamA).Topology(), k.resource, k.object.GetNamespace(), k.object.GetName(), w.targets()...))
	settling, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	check(w.copier.Settle(settling))
	if k.resource == namespaces {
		for _, target := range w.SyncTargets() {
			_, err := w.ensureNamespace(t, target.Name, k.object.GetName())
			check(err)
		}
	}
}

// ensureNamespace creates a SyncTarget's Namespace for an upstream one, and returns its name.
func (w *world) ensureNamespace(t *testing.T, target, upstream string) (string, error) {
	ns := w.downNamespace(target, teamA, upstream)
	home := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns.Name, Labels: ns.Labels, Annotations: ns.Annotations}}
	_, err := w.downstream(target).CoreV1().Namespaces().Create(t.Context(), home, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		err = nil
	}
	return ns.Name, err
}

// take writes the statuses of a step to the copies, as controllers do: the whole status each time.
func (w *world) take(t *testing.T, k *kind, s *step) {
	t.Helper()
	for _, target := range s.delete {
		c, name := w.copyOf(t, k, target)
		if err := c.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatalf("%s: %s: %v", s.name, target, err)
		}
	}
	nextSecond()
	for _, report := range s.reports {
		if err := w.reportStatus(t, k, report.target, report.status); err != nil {
			t.Fatalf("%s: the API server of %s refuses the copy's status: %v", s.name, report.target, err)
		}
	}
}

// nextSecond waits for the next second, so that the following writes get another time: API servers store seconds.
func nextSecond() { time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) }

func (w *world) reportStatus(t *testing.T, k *kind, target string, status map[string]any) error {
	t.Helper()
	c, name := w.copyOf(t, k, target)
	for {
		object, err := c.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		object.Object["status"] = status
		if _, err = c.UpdateStatus(t.Context(), object, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
			return err
		}
	}
}

// wantStatus waits until the published status equals want.
func (w *world) wantStatus(t *testing.T, k *kind, when string, want map[string]any) {
	t.Helper()
	sandboxtest.Eventually(t, 20*time.Second, func() error {
		object, err := w.upstreamOf(t, k).Get(t.Context(), k.object.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		got, _, _ := unstructured.NestedMap(object.Object, "status")
		if got = comparableStatus(got, want); reflect.DeepEqual(got, comparableStatus(want, want)) {
			return nil
		}
		published, _ := yaml.Marshal(got)
		wanted, _ := yaml.Marshal(want)
		return fmt.Errorf("%s: published\n%s\nwant\n%s", when, published, wanted)
	})
}

// comparableStatus returns a status without null values, and without the time of the summary condition if want has none.
func comparableStatus(status, want map[string]any) map[string]any {
	timed := summaryOf(want)["lastTransitionTime"] != nil
	status = (&unstructured.Unstructured{Object: status}).DeepCopy().Object
	if summary := summaryOf(status); !timed {
		at, _ := summary["lastTransitionTime"].(string)
		if _, err := time.Parse(time.RFC3339, at); err == nil {
			delete(summary, "lastTransitionTime")
		}
	}
	withoutNulls(status)
	if status == nil {
		return map[string]any{}
	}
	return status
}

func summaryOf(status map[string]any) map[string]any {
	conditions, _ := status["conditions"].([]any)
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == summaryType {
			return c
		}
	}
	return nil
}

func withoutNulls(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if withoutNulls(value); value == nil {
				delete(v, name)
			}
		}
	case []any:
		for _, value := range v {
			withoutNulls(value)
		}
	}
}

// wantFreeRestart restarts the daemon over a world at rest: every object is decided on once, and nothing is written. Decisions with
// the reasons Finished and Waiting do not count: they occur once for each SyncTarget that reports.
func (w *world) wantFreeRestart(kinds []*kind) {
	w.t.Helper()
	objects := 0
	up := dynamicClient(w.t, w.Workspace(teamA).Config())
	for _, resource := range append(copied(kinds), namespaces) {
		list, err := up.Resource(resource).List(w.t.Context(), metav1.ListOptions{})
		w.must(err)
		objects += len(list.Items)
		if resource.Resource == "jobs" {
			objects -= len(list.Items)
		}
	}
	w.stop()
	before := w.Calls()
	w.start()
	decided := func() int {
		m := w.metrics()
		const decisions = "upstreamd_decisions_total"
		return int(m.Sum(decisions) - m.Sum(decisions, "reason=Waiting") - m.Sum(decisions, "reason=Finished"))
	}
	w.eventually(func() error {
		if got := decided(); got < objects {
			return fmt.Errorf("%d decisions after the restart, want %d", got, objects)
		}
		return nil
	})
	time.Sleep(5 * time.Second)
	if got := decided(); got != objects {
		w.t.Errorf("%d decisions after a restart over %d unchanged objects: %v", got, objects, w.metrics()["upstreamd_decisions_total"].GetMetric())
	}
	if n := w.writes(before); n != 0 {
		w.t.Errorf("%d writes after a restart over unchanged objects: %v", n, w.Calls().Since(before).Writes())
	}
	w.t.Logf("restart over %d objects: %d decisions, %d writes", objects, decided(), w.writes(before))
}

// refusals counts the status patches that an API server refused. Conflicts do not count: they cause another patch.
type refusals struct {
	w  *world
	mu sync.Mutex
	by map[string]int
}

func (w *world) watchRefusals() *refusals {
	r := &refusals{w: w, by: map[string]int{}}
	w.Front.Observe(func(request front.Request) {
		if request.Verb == "patch" && request.Subresource == "status" && request.Code >= http.StatusBadRequest && request.Code != http.StatusConflict {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.by[fmt.Sprintf("%d for %s %s", request.Code, request.Resource, request.Name)]++
		}
	})
	return r
}

// report fails the test for any refusal, counted by the front or by the daemon.
func (r *refusals) report(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for refusal, n := range r.by {
		t.Errorf("the API server answered %s, %d times", refusal, n)
	}
	if n := r.w.metrics().Sum("upstreamd_patches_total", "result=Invalid"); n != 0 {
		t.Errorf("the daemon counts %v invalid patches", n)
	}
}
