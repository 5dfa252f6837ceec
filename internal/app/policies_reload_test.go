package app

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

var widgets = ref.Resource{Group: "example.com", Version: "v1", Resource: "widgets"}

// forWidgets is a policy with a strategy.
func forWidgets(strategy policy.Strategy) string {
	return "apiVersion: upstreamd.dev/v1alpha1\nkind: StatusPolicy\nmetadata: {name: widgets}\nspec: {resources: [{group: example.com, resource: widgets}], strategy: " +
		string(strategy) + "}\n"
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Each step changes the folder and checks it as often as needed: a change counts when it was read twice.
func TestPolicyFolder(t *testing.T) {
	dir := t.TempDir()
	file, other := filepath.Join(dir, "widgets.yaml"), filepath.Join(dir, "other.yaml")
	away := dir + "-away"
	write(t, file, forWidgets(policy.Latest))
	m, err := metrics.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	log := &syncBuffer{}
	f, err := openPolicyFolder(dir, m.PolicyReloads, zerolog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name       string
		change     func()
		looks      int
		strategy   policy.Strategy // in force afterwards
		ok, failed float64         // reloads so far
		said       string          // in the one new log line; empty: there is none
	}{
		{"nothing has changed", func() {}, 3, policy.Latest, 0, 0, ""},
		{"written this very moment", func() { write(t, file, forWidgets(policy.Quorum)) }, 1, policy.Latest, 0, 0, ""},
		{"written on", func() { write(t, file, forWidgets(policy.All)) }, 1, policy.Latest, 0, 0, ""},
		{"written", func() {}, 1, policy.All, 1, 0, "widgets.yaml"},
		{"looked at again", func() {}, 3, policy.All, 1, 0, ""},
		{"wrong", func() { write(t, file, forWidgets("Most")) }, 5, policy.All, 1, 1, "spec.strategy"},
		{"wrong otherwise", func() { write(t, file, "{") }, 5, policy.All, 1, 2, "widgets.yaml"},
		{"as it was", func() { write(t, file, forWidgets(policy.All)) }, 5, policy.All, 1, 2, "again the ones in force"},
		{"one more file that clashes", func() { write(t, other, forWidgets(policy.Primary)) }, 5, policy.All, 1, 3, "names two policies"},
		{"that file in place of the other", func() { must(os.Remove(file)) }, 5, policy.Primary, 2, 3, `"files":["` + other + `","` + file + `"]`},
		{"the folder is away", func() { must(os.Rename(dir, away)) }, 5, policy.Primary, 2, 4, "no such file"},
		{"it is back", func() { must(os.Rename(away, dir)) }, 5, policy.Primary, 2, 4, "again the ones in force"},
		{"none is left", func() { must(os.Remove(other)) }, 5, policy.Representative, 3, 4, "other.yaml"},
	} {
		before := log.String()
		step.change()
		for range step.looks {
			f.check()
		}
		if got := f.current.Load().For(widgets).Strategy; got != step.strategy {
			t.Errorf("%s: the strategy is %s, want %s", step.name, got, step.strategy)
		}
		ok, failed := testutil.ToFloat64(m.PolicyReloads.WithLabelValues("ok")), testutil.ToFloat64(m.PolicyReloads.WithLabelValues("error"))
		if ok != step.ok || failed != step.failed {
			t.Errorf("%s: %v reloads, %v failed; want %v and %v", step.name, ok, failed, step.ok, step.failed)
		}
		lines := slices.DeleteFunc(strings.Split(strings.TrimPrefix(log.String(), before), "\n"), func(line string) bool { return line == "" })
		if step.said == "" && len(lines) > 0 || step.said != "" && (len(lines) != 1 || !strings.Contains(lines[0], step.said)) {
			t.Errorf("%s: said %q, want one line with %q", step.name, lines, step.said)
		}
	}
	if len(f.changed) != 1 {
		t.Error("nobody is told of the changes")
	}
}

func TestUnreadablePolicies(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "widgets.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := Policies(dir); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "policies.directory: ") {
		t.Errorf("got %v", err)
	}
}

func TestChangedPoliciesReachTheActors(t *testing.T) {
	_, address := serveOn(t, "127.0.0.1:0", map[string]string{"root:team-a": "abc"})
	server, target := serveOn(t, "127.0.0.1:0", nil)
	c := configure(t, address, target)
	c.Policies.Directory = t.TempDir()
	r := run(t, c)
	eventually(t, "ready", r.isReady(t))
	watches := func() int { return server.watches("/apis/apps/v1/deployments") }
	eventually(t, "watched", func() bool { return watches() == 1 })
	write(t, filepath.Join(c.Policies.Directory, "widgets.yaml"), forWidgets(policy.Latest))
	eventually(t, "taken up", func() bool {
		_, body := r.get(t, "/metrics")
		return strings.Contains(body, `upstreamd_policy_reloads_total{result="ok"} 1`)
	})
	eventually(t, "the objects are read again", func() bool { return watches() == 2 })
	if err := r.stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}
