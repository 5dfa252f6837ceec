package integration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/controlplane"
	"github.com/upstreamd/upstreamd/sandbox/copier"
)

const (
	infra = sandbox.DefaultCluster
	keys  = "kubeconfigs" // the namespace of Secrets
)

var (
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	syncTargets = schema.GroupVersionResource{Group: "workload.kcp.io", Version: "v1alpha1", Resource: "synctargets"}
)

// rotated is another administrator of the SyncTargets.
var rotated = controlplane.User{Name: "rotated", Token: "0123456789-rotated", Groups: []string{"system:masters"}}

// defineIn creates a CRD on an API server, and returns when it is served.
func (w *world) defineIn(server *rest.Config, r schema.GroupVersionResource, kind, scope string, status bool) {
	w.t.Helper()
	version := map[string]any{"name": r.Version, "served": true, "storage": true, "schema": map[string]any{
		"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true},
	}}
	if status {
		version["subresources"] = map[string]any{"status": map[string]any{}}
	}
	c := dynamicClient(w.t, server)
	_, err := c.Resource(definitions).Create(w.t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": r.Resource + "." + r.Group, "annotations": map[string]any{
			"api-approved.kubernetes.io": "unapproved, for a test", // required for protected groups
		}},
		"spec": map[string]any{
			"group": r.Group, "scope": scope, "versions": []any{version},
			"names": map[string]any{"plural": r.Resource, "singular": strings.ToLower(kind), "kind": kind},
		},
	}}, metav1.CreateOptions{})
	w.must(err)
	w.eventually(func() error {
		_, err := c.Resource(r).List(w.t.Context(), metav1.ListOptions{})
		return err
	})
}

// newDiscovered returns a world with SyncTarget objects in a workspace; their Secrets do not exist yet.
func newDiscovered(t *testing.T, o sandbox.Options) *world {
	t.Helper()
	o.Workspaces, o.Users = []string{teamA, infra}, []controlplane.User{rotated}
	w := newWorldWith(t, o, copier.Options{Resources: []schema.GroupVersionResource{deployments}}, func(w *world) {
		server := w.Workspace(infra).Config()
		w.defineIn(server, syncTargets, "SyncTarget", "Cluster", true)
		_, err := client(t, server).CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: keys}}, metav1.CreateOptions{})
		w.must(err)
		for _, target := range w.SyncTargets() {
			w.register(target)
		}
	})
	w.config.SyncTargets, w.config.Upstream.Workspaces = nil, []string{teamA}
	w.config.Discovery = &config.Discovery{Workspace: infra, SecretNamespace: keys, Workspaces: []string{teamA}, AllowedServers: []string{"127.0.0.0/8"}}
	w.config.Staleness.Grace.Duration, w.config.Staleness.Probe.Duration = 4*time.Second, time.Second
	return w
}

// register creates the SyncTarget object, bound to teamA, and sets the sandbox SyncTarget's uid to the object's.
func (w *world) register(target *sandbox.SyncTarget) {
	w.t.Helper()
	made, err := dynamicClient(w.t, w.Workspace(infra).Config()).Resource(syncTargets).Create(w.t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "workload.kcp.io/v1alpha1", "kind": "SyncTarget",
		"metadata": map[string]any{"name": target.Name, "annotations": map[string]any{
			"upstreamd.dev/kubeconfig-secret": keys + "/" + target.Name, "upstreamd.dev/workspaces": teamA,
		}},
		"spec": map[string]any{},
	}}, metav1.CreateOptions{})
	w.must(err)
	target.UID = made.GetUID()
}

// grant writes the Secret of a SyncTarget, with the kubeconfig modified by change.
func (w *world) grant(target string, change func(string) string) {
	w.t.Helper()
	content, err := os.ReadFile(w.SyncTarget(target).Kubeconfig)
	w.must(err)
	api := client(w.t, w.Workspace(infra).Config()).CoreV1().Secrets(keys)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: target}, Data: map[string][]byte{"kubeconfig": []byte(change(string(content)))}}
	_, err = api.Create(w.t.Context(), secret, metav1.CreateOptions{})
	if err != nil {
		_, err = api.Update(w.t.Context(), secret, metav1.UpdateOptions{})
	}
	w.must(err)
}

func asItIs(kubeconfig string) string { return kubeconfig }

// lists returns the number of lists and watches of Deployments and Namespaces, by all clients, from the metrics of the SyncTarget's API server.
func (w *world) lists(target string) float64 {
	w.t.Helper()
	raw, err := w.downstream(target).Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(w.t.Context())
	w.must(err)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(raw)))
	w.must(err)
	sum := 0.0
	for _, series := range families["apiserver_request_total"].GetMetric() {
		labels := map[string]string{}
		for _, l := range series.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if slices.Contains([]string{"LIST", "WATCH", "WATCHLIST"}, labels["verb"]) && slices.Contains([]string{"deployments", "namespaces"}, labels["resource"]) {
			sum += series.GetCounter().GetValue()
		}
	}
	return sum
}

// lowest watches the published ready replicas until stop is called, which returns the lowest number.
func (w *world) lowest(workspace, name string) (stop func() int32) {
	ctx, cancel := context.WithCancel(w.t.Context())
	low := w.published(workspace, name).ReadyReplicas
	var watching sync.WaitGroup
	api := w.upstream(workspace).AppsV1().Deployments(namespace)
	watching.Go(func() {
		for ctx.Err() == nil {
			if d, err := api.Get(ctx, name, metav1.GetOptions{}); err == nil {
				low = min(low, d.Status.ReadyReplicas)
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	return func() int32 {
		cancel()
		watching.Wait()
		return low
	}
}

// logged counts the daemon's log lines with a message about a SyncTarget.
func (w *world) logged(message, target string) int {
	w.t.Helper()
	lines, err := w.daemon.Lines()
	w.must(err)
	n := 0
	for _, line := range lines {
		text, _ := line["message"].(string)
		if strings.Contains(text, message) && (target == "" || line["sync_target"] == target) {
			n++
		}
	}
	return n
}

func (w *world) wantStale(target string, want float64) {
	w.t.Helper()
	w.eventually(func() error {
		if got := w.metrics().Sum("upstreamd_sync_target_stale", "sync_target="+target); got != want {
			return fmt.Errorf("%s: stale is %v, want %v", target, got, want)
		}
		return nil
	})
}

// A SyncTarget connects once its object and Secret exist. Its credentials are rotated without a relist; its Secret becomes invalid
// and is fixed; neither affects the others.
func TestSyncTargetObjects(t *testing.T) {
	w := newDiscovered(t, sandbox.Options{SyncTargets: []string{"eu-west1", "us-east1"}})
	w.grant("eu-west1", asItIs)
	w.place(teamA, "web")
	w.start()
	w.report("eu-west1", teamA, "web", 2)
	w.report("us-east1", teamA, "web", 3)
	w.eventually(func() error {
		if w.logged("cannot be reached until this is fixed", "us-east1") == 0 {
			return errors.New("the log does not report the missing Secret")
		}
		return nil
	})
	w.grant("us-east1", asItIs)
	w.wantReady(teamA, "web", 5)

	// Rotated: the daemon continues without a relist.
	time.Sleep(2 * time.Second) // until all watches are open
	low, before, events := w.lowest(teamA, "web"), w.lists("us-east1"), w.metrics().Sum("upstreamd_events_total", "sync_target=us-east1", "type=listed")
	w.grant("us-east1", func(kubeconfig string) string { return replaceToken(t, kubeconfig, rotated.Token) })
	w.eventually(func() error {
		if w.logged("has other credentials or another address", "us-east1") == 0 {
			return errors.New("the new credentials were not accepted")
		}
		return nil
	})
	for _, ready := range []int32{2, 3} {
		w.report("us-east1", teamA, "web", ready)
		w.wantReady(teamA, "web", 2+ready)
	}
	time.Sleep(3 * time.Second)
	if after := w.lists("us-east1"); after != before {
		t.Errorf("%v lists and watches came with the new credentials", after-before)
	}
	if after := w.metrics().Sum("upstreamd_events_total", "sync_target=us-east1", "type=listed"); after != events {
		t.Errorf("%v objects were relisted with the new credentials", after-events)
	}
	if got := low(); got < 4 {
		t.Errorf("meanwhile %d ready replicas were published", got)
	}

	// The old ones are revoked: only the new ones work.
	low = w.lowest(teamA, "web")
	server := w.SyncTarget("us-east1")
	w.must(server.SetUsers([]controlplane.User{rotated}))
	w.must(server.Restart(t.Context()))
	w.report("us-east1", teamA, "web", 1)
	w.wantReady(teamA, "web", 3)
	w.report("us-east1", teamA, "web", 3)
	w.wantReady(teamA, "web", 5)
	w.wantStale("us-east1", 0)
	if got := low(); got < 3 {
		t.Errorf("while the server restarted %d ready replicas were published", got)
	}

	// Invalid: stale after the grace, and held; the other one is not affected.
	w.grant("eu-west1", func(string) string { return "nonsense: [" })
	w.wantStale("eu-west1", 1)
	w.report("eu-west1", teamA, "web", 1) // not delivered
	low = w.lowest(teamA, "web")
	w.report("us-east1", teamA, "web", 2)
	w.wantReady(teamA, "web", 4)
	if got := low(); got < 4 {
		t.Errorf("%d ready replicas were published while one SyncTarget was held", got)
	}
	w.wantStale("us-east1", 0)
	if n := w.logged("cannot be reached until this is fixed; its contributions stay", "eu-west1"); n != 1 {
		t.Errorf("the invalid Secret was logged %d times", n)
	}
	w.grant("eu-west1", asItIs)
	w.wantReady(teamA, "web", 3)
	w.wantStale("eu-west1", 0)
}

// replaceToken returns a kubeconfig with another token.
func replaceToken(t *testing.T, kubeconfig, token string) string {
	t.Helper()
	var tree map[string]any
	if err := yaml.Unmarshal([]byte(kubeconfig), &tree); err != nil {
		t.Fatal(err)
	}
	users, _ := tree["users"].([]any)
	user, _ := users[0].(map[string]any)
	user["user"] = map[string]any{"token": token}
	out, err := yaml.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A SyncTarget that is added at run time connects; when its object is deleted, its contributions are withdrawn and no goroutine or series
// remains. A new one of the same name is another SyncTarget.
func TestSyncTargetsAddedAndRemoved(t *testing.T) {
	w := newDiscovered(t, sandbox.Options{SyncTargets: []string{"us-east1"}})
	w.grant("us-east1", asItIs)
	w.start()
	w.place(teamA, "web")
	w.report("us-east1", teamA, "web", 3)
	w.wantReady(teamA, "web", 3)
	goroutines := w.steadyGoroutines()

	added, err := w.AddSyncTarget(t.Context(), "eu-west1")
	w.must(err)
	w.register(added)
	w.grant("eu-west1", asItIs)
	w.must(w.copier.AddSyncTarget(added.Topology()))
	names := []string{"late-0", "late-1", "late-2"}
	w.place(teamA, names...)
	for _, name := range names {
		w.report("us-east1", teamA, name, 1)
		w.report("eu-west1", teamA, name, 2)
		w.wantReady(teamA, name, 3)
	}
	if got := w.metrics().Sum("upstreamd_object_actors", "sync_target=eu-west1"); got != 3 {
		t.Errorf("%v object actors of eu-west1, want 3", got)
	}

	// Remove the placement labels, as kcp's scheduler does before the copies are deleted: from here on bindings count.
	w.copier.Stop()
	for _, name := range names {
		w.must(copier.Place(t.Context(), w.Workspace(teamA).Topology(), deployments, namespace, name))
	}
	w.quiet()
	for _, name := range names {
		w.wantReady(teamA, name, 3)
	}
	objects := dynamicClient(t, w.Workspace(infra).Config()).Resource(syncTargets)
	w.must(objects.Delete(t.Context(), "eu-west1", metav1.DeleteOptions{}))
	for _, name := range names {
		w.wantReady(teamA, name, 1)
	}
	w.eventually(func() error {
		m := w.metrics()
		for name, family := range m {
			for _, series := range family.GetMetric() {
				for _, l := range series.GetLabel() {
					if l.GetValue() == "eu-west1" {
						return fmt.Errorf("%s still has a series of eu-west1", name)
					}
				}
			}
		}
		if now := m.Sum("go_goroutines"); now > goroutines {
			return fmt.Errorf("%v goroutines, %v before the SyncTarget was added", now, goroutines)
		}
		return nil
	})
	t.Logf("%v goroutines before the SyncTarget was added, %v after it was removed", goroutines, w.metrics().Sum("go_goroutines"))

	// Another one of the same name: no copy names its uid, so it contributes nothing, and copies with the old uid are refused.
	w.register(added)
	w.eventually(func() error {
		if got := w.metrics().Sum("upstreamd_input_rejected_total", "reason=identity"); got == 0 {
			return errors.New("copies of the removed SyncTarget count for the new one of its name")
		}
		return nil
	})
	for _, name := range names {
		w.wantReady(teamA, name, 1)
	}
}

// steadyGoroutines returns the number of the daemon's goroutines at rest.
func (w *world) steadyGoroutines() float64 {
	w.t.Helper()
	w.quiet()
	samples := map[float64]int{}
	for range 10 {
		samples[w.metrics().Sum("go_goroutines")]++
		time.Sleep(200 * time.Millisecond)
	}
	return slices.Max(slices.Collect(maps.Keys(samples)))
}

// The configuration file changes at run time: SyncTargets are added and removed. An invalid file changes nothing and is logged with all its
// errors; fields that need a restart are logged.
func TestConfigurationIsReloaded(t *testing.T) {
	w := newWorld(t, sandbox.Options{Workspaces: []string{teamA}, SyncTargets: []string{"us-east1", "eu-west1"}}, deployments)
	w.place(teamA, "web")
	w.report("us-east1", teamA, "web", 1)
	w.report("eu-west1", teamA, "web", 2)
	w.start()
	w.wantReady(teamA, "web", 3)
	file := func() string { return w.Dir() + fmt.Sprintf("/upstreamd-%d.yaml", w.starts) }
	write := func(c *config.Configuration) {
		t.Helper()
		content, err := yaml.Marshal(c)
		w.must(err)
		w.must(os.WriteFile(file(), content, 0o600))
	}
	wantLogged := func(text string, want int) {
		t.Helper()
		w.eventually(func() error {
			if got := w.logged(text, ""); got != want {
				return fmt.Errorf("%q was logged %d times, want %d", text, got, want)
			}
			return nil
		})
	}
	before := w.metrics().Sum("upstreamd_events_total", "sync_target=us-east1", "type=listed")

	wrong := *w.config
	wrong.SyncTargets = append(slices.Clone(wrong.SyncTargets), config.SyncTarget{Name: "A", Cluster: infra, Kubeconfig: "/is/not/there", Workspaces: []string{"root:nowhere"}})
	write(&wrong)
	wantLogged("the configuration is wrong now", 1)
	tail := w.daemon.Tail(6000)
	for _, want := range []string{"syncTargets[2].name", "syncTargets[2].kubeconfig", "syncTargets[2].workspaces[0]"} {
		if !strings.Contains(tail, want) {
			t.Errorf("the log does not name %s", want)
		}
	}
	fewer := *w.config
	fewer.SyncTargets = slices.DeleteFunc(slices.Clone(fewer.SyncTargets), func(s config.SyncTarget) bool { return s.Name == "eu-west1" })
	fewer.Debounce.Quiet.Duration *= 2
	write(&fewer)
	wantLogged("the configuration was read again", 1)
	wantLogged("take effect at the next start", 1)
	w.eventually(func() error {
		if _, there := w.metrics()["upstreamd_sync_target_stale"]; !there || w.hasTarget("eu-west1") {
			return errors.New("eu-west1 is still there")
		}
		return nil
	})
	write(w.config)
	wantLogged("the configuration was read again", 2)
	w.report("eu-west1", teamA, "web", 3)
	w.wantReady(teamA, "web", 4)
	if after := w.metrics().Sum("upstreamd_events_total", "sync_target=us-east1", "type=listed"); after != before {
		t.Errorf("%v objects of the unchanged SyncTarget were relisted", after-before)
	}
}

func (w *world) hasTarget(name string) bool {
	w.t.Helper()
	for _, series := range w.metrics()["upstreamd_sync_target_stale"].GetMetric() {
		for _, l := range series.GetLabel() {
			if l.GetValue() == name {
				return true
			}
		}
	}
	return false
}
