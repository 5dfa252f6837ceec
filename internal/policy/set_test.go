package policy

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/upstreamd/upstreamd/internal/ref"
)

func gvr(group, version, name string) ref.Resource {
	return ref.Resource{Group: group, Version: version, Resource: name}
}

func mustBuiltin(t *testing.T) *Set {
	t.Helper()
	set, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func mustParse(t *testing.T, text string) []*Document {
	t.Helper()
	docs, err := Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func TestBuiltin(t *testing.T) {
	set := mustBuiltin(t)
	for name, want := range map[ref.Resource]string{
		gvr("apps", "v1", "deployments"):                     "deployments.apps",
		gvr("apps", "v1", "replicasets"):                     "replicasets.apps",
		gvr("apps", "v1", "statefulsets"):                    "statefulsets.apps",
		gvr("apps", "v1", "daemonsets"):                      "daemonsets.apps",
		gvr("batch", "v1", "jobs"):                           "jobs.batch",
		gvr("batch", "v1", "cronjobs"):                       "cronjobs.batch",
		gvr("", "v1", "pods"):                                "pods",
		gvr("", "v1", "services"):                            "services",
		gvr("networking.k8s.io", "v1", "ingresses"):          "ingresses.networking.k8s.io",
		gvr("", "v1", "persistentvolumeclaims"):              "persistentvolumeclaims",
		gvr("", "v1", "persistentvolumes"):                   "persistentvolumes",
		gvr("policy", "v1", "poddisruptionbudgets"):          "poddisruptionbudgets.policy",
		gvr("autoscaling", "v2", "horizontalpodautoscalers"): "horizontalpodautoscalers.autoscaling",
		gvr("", "v1", "namespaces"):                          "namespaces",
		gvr("", "v1", "resourcequotas"):                      "resourcequotas",
		gvr("gateway.networking.k8s.io", "v1", "httproutes"): "routes.gateway.networking.k8s.io",
		gvr("kubeflow.org", "v2beta1", "mpijobs"):            "jobs.kubeflow.org",
		gvr("apps", "v1", "controllers"):                     "anything-else",
		gvr("example.com", "v1", "databases"):                "anything-else",
	} {
		if got := set.For(name).Name; got != want {
			t.Errorf("policy of %v = %s, want %s", name, got, want)
		}
	}
	kinds := map[string]int{}
	for _, p := range set.All() {
		kinds[p.Document.Source] += len(p.Document.Spec.Resources)
	}
	if kinds[SourceBuiltin] != 16 || kinds[SourceLibrary] < 45 || len(kinds) != 2 {
		t.Errorf("kinds %v, want 16 built-in and at least 45 of the library", kinds)
	}
}

// TestReplaced: a user's policy takes the place of a built-in, for all versions or for one; the rest stays.
func TestReplaced(t *testing.T) {
	own := func(name, version string) string {
		return "---\n" + strings.NewReplacer("widgets}", "deployments"+version+"}", "example.com", "apps", "name: widgets", "name: "+name).Replace(head)
	}
	set, err := mustBuiltin(t).With(mustParse(t, own("mine", ""))...)
	if err != nil {
		t.Fatal(err)
	}
	if got := set.For(gvr("apps", "v1", "deployments")).Name; got != "mine" {
		t.Errorf("policy = %s, want mine", got)
	}
	set, err = set.With(mustParse(t, own("beta", ", version: v1beta1"))...)
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{"v1": "mine", "v1beta1": "beta"} {
		if got := set.For(gvr("apps", version, "deployments")).Name; got != want {
			t.Errorf("policy of %s = %s, want %s", version, got, want)
		}
	}
	set, err = set.With(mustParse(t, own("last", ""))...)
	if err != nil {
		t.Fatal(err)
	}
	if got := set.For(gvr("apps", "v1beta1", "deployments")).Name; got != "last" {
		t.Errorf("policy = %s: one for all versions replaces those for one", got)
	}
	if got := set.For(gvr("", "v1", "pods")).Name; got != "pods" {
		t.Errorf("policy of pods = %s, want the built-in", got)
	}
}

func TestSameTwice(t *testing.T) {
	_, err := mustBuiltin(t).With(mustParse(t, head+"---\n"+head+"---\n"+strings.Replace(head, "name: widgets", "name: other", 1))...)
	told(t, err, "test.yaml: ", []string{
		`metadata.name: "widgets" names two policies: rename one`,
		`spec.resources[0]: policy "widgets" is for the same resource: remove it from one`,
		`spec.resources[0]: policy "widgets" is for the same resource`,
	})
	if _, err := Compile(&Document{Metadata: Metadata{Name: "made-by-hand"}}); err == nil || !strings.HasPrefix(err.Error(), "made-by-hand: ") {
		t.Errorf("error %v, want one that names the policy", err)
	}
}

// TestCompiled shows what the other stages read of a policy.
func TestCompiled(t *testing.T) {
	set, err := Compile(mustParse(t, head+`
  strategy: Merge
  default: Union
  fields: {a: Sum, b.c: {rule: Union, keys: [host, ip]}, "with\\.dot": Max}
  keys: {list: [name]}
  specSyncGrace: 1m
  withhold: [containers.*.image]
  ignore: [lastPing]
  extract: {fields: [a, b.c], add: {size: spec.size}}
`)...)
	if err != nil {
		t.Fatal(err)
	}
	p := set.All()[0]
	for what, pair := range map[string][2]any{
		"grace":             {p.SpecSyncGrace, time.Minute},
		"status times":      {p.StatusTimes, false},
		"whole object":      {p.Whole, true},
		"extracted fields":  {p.Extract.Fields, [][]string{{"a"}, {"b", "c"}}},
		"extracted paths":   {p.Extract.Paths, map[string][]string{"size": {"spec", "size"}}},
		"withheld":          {p.Withhold, [][]string{{"containers", "*", "image"}}},
		"ignored":           {p.Ignore, [][]string{{"lastPing"}}},
		"keys of a list":    {p.Keys([]string{"list"}), []string{"name"}},
		"keys of a union":   {p.Keys([]string{"b", "c"}), []string{"host", "ip"}},
		"keys of none":      {p.Keys([]string{"other"}), []string(nil)},
		"conditions' key":   {p.Keys([]string{"conditions"}), []string{"type"}},
		"stale":             {p.Stale, Hold},
		"summary":           {p.SummaryAuto, true},
		"path":              {p.Fields[len(p.Fields)-1].Path, Path{"with.dot"}},
		"path as text":      {p.Fields[len(p.Fields)-1].Path.String(), `with\.dot`},
		"default times off": {mustBuiltin(t).For(gvr("apps", "v1", "deployments")).StatusTimes, false},
		"default grace":     {mustBuiltin(t).For(gvr("apps", "v1", "deployments")).SpecSyncGrace, time.Duration(-1)},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s = %#v, want %#v", what, pair[0], pair[1])
		}
	}
}

// TestShown: what is printed of a policy can be read again, and is the same.
func TestShown(t *testing.T) {
	for _, p := range mustBuiltin(t).All() {
		text, err := yaml.Marshal(p.Document)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Compile(mustParse(t, string(text))...)
		if err != nil {
			t.Fatalf("%s: %v\n%s", p.Name, err, text)
		}
		first, _ := json.Marshal(p.Document)
		second, _ := json.Marshal(again.All()[0].Document)
		if string(first) != string(second) {
			t.Errorf("%s: printed and read it is %s, was %s", p.Name, second, first)
		}
	}
}
