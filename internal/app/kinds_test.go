package app

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/kube/discovery"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// kindsOf reads kinds such as "deployments.v1.apps", "configmaps.v1-" (no status) and "reviews.v1!" (can't be watched).
func kindsOf(names ...string) []discovery.Kind {
	var kinds []discovery.Kind
	for _, name := range names {
		bare := strings.Trim(name, "-!")
		parts := append(strings.SplitN(bare, ".", 3), "")
		kinds = append(kinds, discovery.Kind{
			Resource: ref.Resource{Resource: parts[0], Version: parts[1], Group: parts[2]},
			Watched:  !strings.HasSuffix(name, "!"), Status: !strings.HasSuffix(name, "-"),
		})
	}
	return kinds
}

func at(places ...string) map[string][]discovery.Kind {
	out := map[string][]discovery.Kind{}
	for _, place := range places {
		name, kinds, _ := strings.Cut(place, ": ")
		out[name] = kindsOf(strings.Fields(kinds)...)
	}
	return out
}

func chosen(k *kindReconciler, resources ...config.Resource) string {
	var names []string
	for r := range maps.Keys(k.choose(resources)) {
		names = append(names, ref.ResourceString(r))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

var every = config.Resource{Group: "*", Version: "*", Resource: "*"}

func TestWhatWildcardsStandFor(t *testing.T) {
	upstream := at("a: pods.v1 configmaps.v1- namespaces.v1 deployments.v1.apps jobs.v1.batch widgets.v2.example.com widgets.v1.example.com reviews.v1.auth!",
		"b: pods.v1 gadgets.v1.example.com only.v1.example.com crontabs.v1.apiextensions.k8s.io")
	targets := at("east: pods.v1 configmaps.v1 namespaces.v1 deployments.v1.apps widgets.v1.example.com reviews.v1.auth crontabs.v1.apiextensions.k8s.io",
		"west: pods.v1 jobs.v1.batch gadgets.v1.example.com! other.v1.example.com")
	for name, c := range map[string]struct {
		resources []config.Resource
		want      string
	}{
		"every kind":           {[]config.Resource{every}, "deployments.v1.apps jobs.v1.batch pods.v1 widgets.v1.example.com"},
		"of a group":           {[]config.Resource{{Group: "apps", Version: "*", Resource: "*"}}, "deployments.v1.apps"},
		"of the core group":    {[]config.Resource{{Group: "", Version: "*", Resource: "*"}}, "pods.v1"},
		"but a group":          {[]config.Resource{{Group: "*", Version: "*", Resource: "*", Exclude: []config.Exclusion{{Group: "batch", Resource: "*"}}}}, "deployments.v1.apps pods.v1 widgets.v1.example.com"},
		"but a kind":           {[]config.Resource{{Group: "*", Version: "*", Resource: "*", Exclude: []config.Exclusion{{Resource: "pods"}, {Group: "*", Resource: "jobs"}}}}, "deployments.v1.apps widgets.v1.example.com"},
		"what is named counts": {[]config.Resource{every, {Group: "example.com", Version: "v2", Resource: "widgets"}, {Version: "v1", Resource: "namespaces"}}, "deployments.v1.apps jobs.v1.batch namespaces.v1 pods.v1 widgets.v2.example.com"},
		"only what is named":   {[]config.Resource{{Group: "example.com", Version: "v9", Resource: "nobody"}}, "nobody.v9.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKindReconciler(zerolog.Nop())
			k.take(survey{upstream: upstream, targets: targets}, []string{"east", "west"})
			if got := chosen(k, c.resources...); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// A server that does not answer keeps its kinds; a kind goes when two surveys in a row lack it, or its SyncTarget goes; its version stays
// while it can.
func TestKindsThatComeAndGo(t *testing.T) {
	k := newKindReconciler(zerolog.Nop())
	both := []string{"east", "west"}
	step := func(what, want string, s survey, present []string) {
		t.Helper()
		k.take(s, present)
		for range 3 { // however often it is asked
			if got := chosen(k, every); got != want {
				t.Errorf("%s: got %q, want %q", what, got, want)
			}
		}
	}
	step("nothing yet", "", survey{}, both)
	step("first", "pods.v1 widgets.v1.x", survey{upstream: at("a: pods.v1 widgets.v1.x"), targets: at("east: pods.v1", "west: widgets.v1.x")}, both)
	step("west is silent", "pods.v1 widgets.v1.x", survey{upstream: at("a: pods.v1 widgets.v1.x"), targets: at("east: pods.v1")}, both)
	step("upstream is silent", "pods.v1 widgets.v1.x", survey{targets: at("east: pods.v1", "west: widgets.v1.x")}, both)
	step("a better version, the old one stays", "pods.v1 widgets.v1.x", survey{upstream: at("a: pods.v1 widgets.v2.x widgets.v1.x"), targets: at("west: widgets.v2.x widgets.v1.x")}, both)
	step("the old version went", "pods.v1 widgets.v2.x", survey{upstream: at("a: pods.v1 widgets.v2.x"), targets: at("west: widgets.v2.x")}, both)
	step("missing once", "pods.v1 widgets.v2.x", survey{targets: at("west: other.v1")}, both)
	step("back", "pods.v1 widgets.v2.x", survey{targets: at("west: widgets.v2.x")}, both)
	step("missing again", "pods.v1 widgets.v2.x", survey{targets: at("west: other.v1")}, both)
	step("missing twice", "pods.v1", survey{targets: at("west: other.v1")}, both)
	step("a SyncTarget went", "pods.v1", survey{}, []string{"west"})
	step("and stayed away", "", survey{}, []string{"west"})
	if got := chosen(k); got != "" {
		t.Errorf("without wildcards: %q", got)
	}
}

func TestKindsWithoutAStatusAreSaidOnce(t *testing.T) {
	var log bytes.Buffer
	k := newKindReconciler(zerolog.New(&log))
	s := survey{upstream: at("a: pods.v1 configmaps.v1- roles.v1.rbac-", "b: widgets.v1.x-", "c: widgets.v1.x"), targets: at("east: pods.v1 configmaps.v1 widgets.v1.x")}
	for range 3 {
		k.take(s, []string{"east"})
		chosen(k, every)
	}
	if got := strings.Count(log.String(), "left alone"); got != 1 {
		t.Errorf("said %d times:\n%s", got, log.String())
	}
	if !strings.Contains(log.String(), `"kinds":["configmaps"]`) {
		t.Errorf("left alone are %s", log.String())
	}
}
