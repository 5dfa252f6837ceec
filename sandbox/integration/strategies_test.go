package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/copier"
)

// strategy is a kind with a policy that sets only a strategy, and its published statuses, step by step.
type strategy struct {
	name, policy string
	want         []string // one for each of the steps below, as phase, size and zones; empty: as before
	primary      []string // likewise, for the one that has a primary
}

// Three SyncTargets agree; the first one disagrees; it becomes stale, and the others change; it reconnects, and agrees.
var strategies = []strategy{
	{name: "union", policy: "strategy: Union", want: []string{"Ready 3 [a]", "Broken 9 [c a]", "Ready 3 [c a]", "Ready 4 [c a]", "Broken 9 [c a]", "Ready 4 [a]"}},
	{name: "latest", policy: "strategy: Latest", want: []string{"Ready 3 [a]", "Broken 9 [c]", "", "Ready 4 [a]", "", "Ready 4 [a]"}},
	{name: "quorum", policy: "strategy: Quorum", want: []string{"Ready 3 [a]", "", "", "Ready 4 [a]", "", ""}},
	// A SyncTarget that is excluded while stale still counts in the denominator.
	{name: "all", policy: "strategy: All, stale: Exclude", want: []string{"Ready 3 [a]", "", "", "", "", "Ready 4 [a]"}},
	{name: "primary", policy: "strategy: Primary, primary: [ap-south1]", want: []string{"Ready 3 [a]", "Broken 9 [c]", "Ready 3 [a]", "Ready 4 [a]", "", ""},
		primary: []string{"ap-south1", "", "eu-west1", "", "", ""}}, // it does not switch back by itself
}

func TestStrategies(t *testing.T) {
	var kinds []*kind
	var resources []schema.GroupVersionResource
	policies := ""
	for _, s := range strategies {
		k := s.kind()
		kinds, resources = append(kinds, k), append(resources, k.resource)
		policies += fmt.Sprintf("---\napiVersion: upstreamd.dev/v1alpha1\nkind: StatusPolicy\nmetadata: {name: %s}\n"+
			"spec: {resources: [{group: example.com, resource: %s}], summary: Always, %s}\n", s.name, k.resource.Resource, s.policy)
	}
	w := newWorldWith(t, sandbox.Options{Workspaces: []string{teamA}, SyncTargets: []string{"ap-south1", "eu-west1", "us-east1"}},
		copier.Options{Resources: resources}, func(w *world) { w.define(kinds) })
	w.config.Staleness.Grace.Duration, w.config.Staleness.Probe.Duration = 4*time.Second, time.Second
	w.config.Policies.Directory = filepath.Join(w.Dir(), "policies")
	w.must(os.Mkdir(w.config.Policies.Directory, 0o700))
	w.must(os.WriteFile(filepath.Join(w.config.Policies.Directory, "strategies.yaml"), []byte(policies), 0o600))
	refused := w.watchRefusals()
	for _, k := range kinds {
		w.prepare(t, k)
	}
	w.start()

	report := func(target, phase string, size int64, zone string) {
		t.Helper()
		for _, k := range kinds {
			w.must(w.reportStatus(t, k, target, map[string]any{"phase": phase, "size": size, "zones": []any{zone}}))
		}
	}
	want, primary := make([]string, len(kinds)), make([]string, len(kinds))
	published := func(step int, summary string) {
		t.Helper()
		for i, s := range strategies {
			if s.want[step] != "" {
				want[i] = s.want[step]
			}
			message := summary
			if s.primary != nil {
				if s.primary[step] != "" {
					primary[i] = s.primary[step]
				}
				message += "; primary: " + primary[i]
			}
			w.eventually(func() error { return w.isPublished(t, kinds[i], want[i], message) })
		}
	}
	const all, two = "3/3 SyncTargets reporting", "2/3 SyncTargets reporting: ap-south1 stale"

	report("ap-south1", "Ready", 3, "a")
	for i, k := range kinds { // it reports first, so it is the primary, as the policy prefers it
		if strategies[i].primary != nil {
			w.eventually(func() error {
				return w.isPublished(t, k, "Ready 3 [a]", "1/3 SyncTargets reporting: eu-west1 has no status, us-east1 has no status; primary: ap-south1")
			})
		}
	}
	report("us-east1", "Ready", 3, "a")
	report("eu-west1", "Ready", 3, "a")
	published(0, all)

	nextSecond()
	report("ap-south1", "Broken", 9, "c")
	published(1, all)

	w.SyncTarget("ap-south1").Kill()
	published(2, two)
	nextSecond()
	report("us-east1", "Ready", 4, "a")
	report("eu-west1", "Ready", 4, "a")
	published(3, two)

	w.must(w.SyncTarget("ap-south1").Restart(t.Context()))
	published(4, all) // its status is unchanged, and those of the others are later
	nextSecond()
	report("ap-south1", "Ready", 4, "a")
	published(5, all)

	w.quiet()
	refused.report(t)
}

// kind returns a CRD kind for the strategy, without a schema for its status.
func (s strategy) kind() *kind {
	plural, name := s.name+"things", strings.ToUpper(s.name[:1])+s.name[1:]+"Thing"
	return &kind{
		name:     s.name,
		resource: schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: plural},
		crd: &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": plural + ".example.com"},
			"spec": map[string]any{
				"group": "example.com", "scope": "Namespaced",
				"names": map[string]any{"kind": name, "listKind": name + "List", "plural": plural, "singular": strings.ToLower(name)},
				"versions": []any{map[string]any{
					"name": "v1", "served": true, "storage": true, "subresources": map[string]any{"status": map[string]any{}},
					"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
				}},
			},
		}},
		object: &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "example.com/v1", "kind": name, "metadata": map[string]any{"name": "thing", "namespace": namespace},
		}},
	}
}

// isPublished compares the published phase, size and zones, and the message of the summary condition.
func (w *world) isPublished(t *testing.T, k *kind, want, summary string) error {
	t.Helper()
	object, err := w.upstreamOf(t, k).Get(t.Context(), k.object.GetName(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	status, _, _ := unstructured.NestedMap(object.Object, "status")
	if got := fmt.Sprintf("%v %v %v", status["phase"], status["size"], status["zones"]); got != want {
		return fmt.Errorf("%s: published %s, want %s", k.name, got, want)
	}
	if got := summaryOf(status)["message"]; got != summary {
		return fmt.Errorf("%s: the summary is %q, want %q", k.name, got, summary)
	}
	return nil
}
