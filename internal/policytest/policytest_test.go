package policytest

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/ref"
)

const good = `Two clusters.
-- policy.yaml --
apiVersion: upstreamd.dev/v1alpha1
kind: StatusPolicy
metadata: {name: widgets}
spec:
  resources: [{group: example.com, resource: widgets}]
  fields: {replicas: Sum, list: Union, conditions: Conditions}
  conditions: {mode: BestWins}
-- upstream.yaml --
metadata: {name: w, namespace: shop, generation: 2, labels: {a: b}, annotations: {c: d}}
status: {replicas: 1, note: theirs}
-- given.yaml --
foreign: [note]
targets:
  c: {state: Absent}
-- target/b.yaml --
metadata: {generation: 4, annotations: {upstreamd.dev/upstream-generation: "1"}}
status: {replicas: 2, list: [x]}
-- target/a.yaml --
metadata: {generation: 3}
status:
  replicas: 3
  conditions: [{type: Ready, status: "True", reason: Up, message: ok, lastTransitionTime: "2026-03-01T10:00:00Z"}]
-- want.yaml --
replicas: 5
note: theirs
list: [x]
conditions:
- {type: Ready, status: "True", reason: Up, message: ok, lastTransitionTime: "2026-03-01T10:00:00Z"}
- {type: upstreamd.dev/Aggregated, status: "False", reason: NotAllReporting, message: "2/3 SyncTargets reporting: c has no copy", lastTransitionTime: "2026-03-01T10:00:00Z"}
-- want.reason --
Merged
`

func load(t *testing.T, text string) *Case {
	t.Helper()
	c, err := Load("case.txtar", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGoodCase(t *testing.T) {
	c := load(t, good)
	if c.Comment != "Two clusters." || c.Input.Generation != 2 || c.Input.Labels["a"] != "b" || c.Input.Annotations["c"] != "d" || c.Input.Namespace != "shop" {
		t.Errorf("read %+v", c)
	}
	names := []ref.SyncTarget{}
	for _, s := range c.Input.Sources {
		names = append(names, s.Target)
	}
	if !slices.Equal(names, []ref.SyncTarget{"a", "b", "c"}) {
		t.Errorf("SyncTargets %v, want them in the order of their names", names)
	}
	if c.Input.Sources[1].CaughtUp || !c.Input.Sources[0].CaughtUp {
		t.Error("a copy has caught up unless it says that it stems from an older generation")
	}
	if r := Run(c); !r.Passed || r.Status["replicas"] != int64(5) || r.Decision.Reason != aggregate.ReasonMerged {
		t.Errorf("result %+v", r)
	}
}

// TestGiven: what is said of SyncTargets beside their copies.
func TestGiven(t *testing.T) {
	c := load(t, strings.Replace(good, "  c: {state: Absent}", `  c: {state: Unknown, stale: true, since: "2026-03-01T11:00:00Z"}
  b: {caughtUp: true}
  a: {state: NoStatus}
overdue: true
withdrawn: true
ambiguous: [a]`, 1))
	a, b, cc := c.Input.Sources[0], c.Input.Sources[1], c.Input.Sources[2]
	if a.State != aggregate.NoStatus || a.Contribution != nil || !b.CaughtUp || cc.State != aggregate.Unknown || !cc.Stale || cc.Since.Hour() != 11 ||
		!c.Input.Overdue || !c.Input.Withdrawn || len(c.Input.Ambiguous) != 1 {
		t.Errorf("read %+v", c.Input)
	}
	if !c.Input.Owned.Field("replicas") || c.Input.Owned.Field("note") {
		t.Error("what is published is ours unless it is called foreign")
	}
}

// TestFailures shows what is printed of a case that does not hold.
func TestFailures(t *testing.T) {
	edit := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the case does not hold %q", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	const cel = "replicas: {rule: CEL, expr: 'EXPR'}, list: Union"
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"a value":           {edit("replicas: 5", "replicas: 6"), []string{"status.replicas: want 6, got 5"}},
		"nothing there":     {edit("replicas: 5", "replicas: 5\nmore: {a: 1}"), []string{`status.more: want {"a":1}, got nothing`}},
		"something there":   {edit("replicas: 5\n", ""), []string{"status.replicas: want nothing, got 5"}},
		"a list":            {edit("list: [x]\nconditions", "list: [z, x]\nconditions"), []string{`status.list[0]: want "z", got "x"`, `status.list[1]: want "x", got nothing`}},
		"a condition":       {edit("message: ok, lastTransitionTime: \"2026-03-01T10:00:00Z\"}\n- ", "message: fine, lastTransitionTime: \"2026-03-01T10:00:00Z\"}\n- "), []string{`status.conditions.Ready.message: want "fine", got "ok"`}},
		"the reason":        {edit("-- want.reason --\nMerged", "-- want.reason --\nHeld"), []string{`reason: want "Held", got "Merged"`}},
		"the whole reason":  {edit("-- want.reason --\nMerged", "-- want.reason --\nMerged: all well"), []string{`reason: want "Merged: all well", got "Merged: 2/3 SyncTargets reporting: c has no copy"`}},
		"an error":          {edit("replicas: Sum, list: Union", strings.Replace(cel, "EXPR", "targets[9].name", 1)), []string{`status.conditions.upstreamd.dev/Aggregated.message: want "2/3 SyncTargets reporting: c has no copy", got "2/3 SyncTargets reporting: c has no copy; failed rules: replicas"`, "status.replicas: want 5, got 1", "error: replicas: index out of bounds: 9"}},
		"no error":          {good + "-- want.errors --\nreplicas: broken\n", []string{`errors: want "replicas: broken", got []`}},
		"not stable":        {edit("replicas: Sum, list: Union", strings.Replace(cel, "EXPR", "upstream.status.?replicas.orValue(0) + 4", 1)), []string{`not stable: with the result published, the next decision (Merged) would write {"replicas":9}`}},
		"not stable, typed": {strings.Replace(edit("replicas: Sum, list: Union", strings.Replace(cel, "EXPR", "\"replicas\" in upstream.status ? upstream.status.replicas * 0 : 7", 1)), "foreign: [note]", "foreign: [note]\ntyped: true", 1), []string{"status.replicas: want 5, got 0", `not stable: with the result published, the next decision (Merged) would write {"replicas":7}`}},
	} {
		t.Run(name, func(t *testing.T) {
			r := Run(load(t, tc.text))
			if r.Passed || !reflect.DeepEqual(r.Failures, tc.want) {
				t.Errorf("failures %q, want %q", r.Failures, tc.want)
			}
		})
	}
}

func TestUnreadableCases(t *testing.T) {
	edit := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	for name, tc := range map[string]struct{ text, want string }{
		"no want":            {edit("-- want.yaml --", "-- wanted.yaml --"), "there is no want.yaml"},
		"unknown file":       {edit("-- want.reason --", "-- reason --"), "reason: a case has policy.yaml, schema.yaml, upstream.yaml"},
		"wrong policy":       {edit("replicas: Sum", "replicas: Sun"), `spec.fields[replicas].rule: Unsupported value: "Sun"`},
		"unreadable policy":  {edit("fields: {", "field: {"), `unknown field "spec.field"`},
		"no built-in":        {"-- policy.yaml --\nbuiltin: gadgets\n-- want.yaml --\n", `there is no built-in policy of the name "gadgets"`},
		"no policy":          {"-- want.yaml --\n", `there is no built-in policy of the name ""`},
		"no such file":       {"-- policy.yaml --\nfile: missing.yaml\n-- want.yaml --\n", "policy.yaml: open missing.yaml"},
		"several policies":   {edit("-- upstream.yaml --", "---\napiVersion: upstreamd.dev/v1alpha1\nkind: StatusPolicy\nmetadata: {name: other}\nspec: {resources: [{group: a, resource: b}]}\n-- upstream.yaml --"), "policy.yaml holds 2 policies"},
		"unreadable object":  {edit("metadata: {generation: 4", "metadata: {generation: four"), "target b: json: cannot unmarshal string"},
		"no YAML":            {edit("metadata: {generation: 4", "metadata: {{"), "target b: yaml"},
		"upstream no YAML":   {edit("metadata: {name: w, namespace", "metadata: {{"), "upstream.yaml: yaml"},
		"want no YAML":       {edit("replicas: 5", "replicas: {{"), "want.yaml: yaml"},
		"want no object":     {edit("replicas: 5\nnote: theirs\nlist: [x]\nconditions:\n", ""), "want.yaml: status refused: NotAnObject"},
		"status no object":   {edit("status: {replicas: 2, list: [x]}", "status: down"), "target b: status refused: NotAnObject"},
		"published none":     {edit("status: {replicas: 1, note: theirs}", "status: down"), "upstream.yaml: status refused: NotAnObject"},
		"given unknown":      {edit("foreign:", "foreigners:"), `unknown field "foreigners"`},
		"given state":        {edit("{state: Absent}", "{state: Gone}"), `given.yaml: targets.c.state: "Gone": must be Absent, NoStatus or Unknown`},
		"generation no text": {edit(`upstream-generation: "1"`, `upstream-generation: "one"`), "target b: annotation upstreamd.dev/upstream-generation"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Load("case.txtar", []byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "case.txtar: ") {
				t.Errorf("error %v, want one that begins with the file and says %q", err, tc.want)
			}
		})
	}
}

// TestPolicyFile: a case may be for a policy in a file beside it, so that what is tested is what is used.
func TestPolicyFile(t *testing.T) {
	folder := t.TempDir()
	_, document, _ := strings.Cut(good, "-- policy.yaml --\n")
	document, rest, _ := strings.Cut(document, "-- upstream.yaml --")
	other := strings.Replace(strings.Replace(document, "name: widgets", "name: gadgets", 1), "resource: widgets", "resource: gadgets", 1)
	for name, content := range map[string]string{"one.yaml": document, "two.yaml": document + "---\n" + other} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for from, want := range map[string]string{"{file: one.yaml}": "widgets", "{file: two.yaml, name: gadgets}": "gadgets"} {
		c, err := Load(filepath.Join(folder, "case.txtar"), []byte("-- policy.yaml --\n"+from+"\n-- upstream.yaml --"+rest))
		if err != nil || c.Policy.Name != want || !Run(c).Passed {
			t.Errorf("%s: error %v, case %+v", from, err, c)
		}
	}
	for from, want := range map[string]string{"{file: two.yaml}": "two.yaml holds 2 policies", "{file: two.yaml, name: x}": `no policy in two.yaml of the name "x"`} {
		if _, err := Load(filepath.Join(folder, "case.txtar"), []byte("-- policy.yaml --\n"+from+"\n-- want.yaml --\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", from, err, want)
		}
	}
}

// TestOrders: every order up to five SyncTargets, else every rotation.
func TestOrders(t *testing.T) {
	for n, want := range map[int]int{0: 1, 1: 1, 3: 6, 5: 120, 7: 6} {
		seen := map[string]bool{}
		for _, order := range orders(n) {
			seen[snapshot(order)] = true
			if slices.Sort(order); len(order) != n || n > 0 && order[n-1] != n-1 {
				t.Errorf("%v is no order of %d", order, n)
			}
		}
		if len(seen) != want {
			t.Errorf("%d orders of %d, want %d", len(seen), n, want)
		}
	}
}

// TestTimes: a status is as new as its entry in managedFields, else as its newest condition, else as we know.
func TestTimes(t *testing.T) {
	for name, tc := range map[string]struct{ object, want string }{
		"managedFields": {`metadata: {managedFields: [{subresource: status, time: "2026-03-01T09:00:00Z"}, {subresource: status, time: "2026-03-01T08:00:00Z"}, {time: "2026-03-01T12:00:00Z"}]}
status: {conditions: [{type: A, status: "True", lastTransitionTime: "2026-03-01T11:00:00Z"}]}`, "2026-03-01T09:00:00Z"},
		"conditions": {`status: {conditions: [{type: A, lastTransitionTime: "2026-03-01T11:00:00Z"}, {type: B, lastTransitionTime: soon}, odd]}`, "2026-03-01T11:00:00Z"},
		"neither":    {`status: {phase: A}`, "2026-01-01T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			c := load(t, "-- policy.yaml --\nbuiltin: anything-else\n-- upstream.yaml --\n-- target/a.yaml --\n"+tc.object+"\n-- want.yaml --\n")
			if got := c.Input.Sources[0].Contribution.Time.UTC().Format("2006-01-02T15:04:05Z"); got != tc.want {
				t.Errorf("time %s, want %s", got, tc.want)
			}
		})
	}
}
