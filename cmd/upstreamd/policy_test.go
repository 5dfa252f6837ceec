package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	widgets = `apiVersion: upstreamd.dev/v1alpha1
kind: StatusPolicy
metadata: {name: widgets}
spec:
  resources: [{group: example.com, version: v1, resource: widgets}]
  strategy: Merge
  fields: {ready: Sum, "net.peers": Max}
`
	web = `{metadata: {name: web, namespace: shop, generation: 7}}`
	us  = `{metadata: {generation: 3}, status: {ready: 3, net: {peers: 2}}}`
	eu  = `{metadata: {generation: 4}, status: {ready: 1, net: {peers: 5}, conditions: [{type: Ready, status: "True"}]}}`
)

func caseOf(ready string) string {
	return "Adds up.\n-- policy.yaml --\n" + widgets + "-- upstream.yaml --\n" + web + "\n-- target/us.yaml --\n" + us +
		"\n-- target/eu.yaml --\n{status: {ready: 1}}\n-- want.yaml --\n{ready: " + ready + ", net: {peers: 2}}\n"
}

func TestPolicyList(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "widgets.yaml", widgets)
	got := try(t, "policy", "list", "--directory", dir)
	if got.status != 0 || !strings.HasPrefix(got.stdout, "KIND ") {
		t.Fatalf("%+v", got)
	}
	for _, want := range [][]string{
		{"deployments", "apps", "Merge", "Hold", "builtin", "deployments.apps"}, {"pods", "core", "Primary"}, {"*", "*", "Representative", "Hold", "builtin"},
		{"httproutes", "gateway.networking.k8s.io", "Merge", "Hold", "library", "routes.gateway.networking.k8s.io"},
		{"widgets", "(v1)", "example.com", "Merge", "Hold", "folder", "widgets"},
	} {
		if !slices.ContainsFunc(slices.Collect(strings.Lines(got.stdout)), func(l string) bool {
			fields := strings.Fields(l)
			return len(fields) >= len(want) && slices.Equal(fields[:len(want)], want)
		}) {
			t.Errorf("no line starts with %v in\n%s", want, got.stdout)
		}
	}
	write(t, dir, "routes.yaml", strings.NewReplacer("example.com, version: v1, resource: widgets", "gateway.networking.k8s.io, resource: httproutes",
		"widgets", "mine").Replace(widgets))
	got = try(t, "policy", "list", "--directory", dir)
	if n := strings.Count(got.stdout, "httproutes "); n != 1 || !strings.Contains(got.stdout, "folder    mine") || !strings.Contains(got.stdout, "grpcroutes ") {
		t.Errorf("%d policies of a kind that the folder replaces in\n%s", n, got.stdout)
	}
	var documents []map[string]any
	if err := json.Unmarshal([]byte(try(t, "policy", "list", "-o", "json").stdout), &documents); err != nil || len(documents) < 10 || documents[0]["kind"] != "StatusPolicy" {
		t.Errorf("%d documents, %v", len(documents), err)
	}
	if got := try(t, "policy", "list", "-o", "yaml"); got.status != 1 || !strings.Contains(got.stderr, `output "yaml": must be table or json`) {
		t.Errorf("%+v", got)
	}
	if got := try(t, "policy", "list", "-d", filepath.Join(dir, "none")); got.status != 1 || !strings.Contains(got.stderr, "none") {
		t.Errorf("%+v", got)
	}
}

// What show prints is a document that validates.
func TestPolicyShowAndValidate(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for _, name := range []string{"deployments.apps", "pods", "jobs.batch"} {
		shown := try(t, "policy", "show", name)
		if shown.status != 0 || !strings.Contains(shown.stdout, "name: "+name) {
			t.Fatalf("%s: %+v", name, shown)
		}
		files = append(files, write(t, dir, name+".yaml", shown.stdout))
	}
	if got := try(t, append([]string{"policy", "validate"}, files...)...); got.status != 0 || got.stdout != "3 policies, all valid\n" {
		t.Errorf("%+v", got)
	}
	if got := try(t, "policy", "show", "nothing"); got.status != 1 || !strings.Contains(got.stderr, `there is no policy "nothing"; there are: `) {
		t.Errorf("%+v", got)
	}
	if got := try(t, "__complete", "policy", "show", ""); !strings.Contains(got.stdout, "deployments.apps\n") {
		t.Errorf("%+v", got)
	}
	for name, tt := range map[string]struct{ content, want string }{
		"field":    {strings.Replace(widgets, "strategy", "strategi", 1), "strategi"},
		"strategy": {strings.Replace(widgets, "Merge", "Best", 1), "spec.strategy"},
		"twice":    {widgets + "---\n" + widgets, "widgets"},
	} {
		file := write(t, dir, name+".yaml", tt.content)
		if got := try(t, "policy", "validate", file); got.status != 1 || !strings.Contains(got.stderr, tt.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := try(t, "policy", "validate", filepath.Join(dir, "none.yaml")); got.status != 1 || !strings.Contains(got.stderr, "none.yaml") {
		t.Errorf("%+v", got)
	}
}

func TestPolicyTest(t *testing.T) {
	dir := t.TempDir()
	pass := write(t, dir, "pass.txtar", caseOf("4"))
	fail := write(t, dir, "below/fail.txtar", caseOf("5"))
	write(t, dir, "below/unreadable.txtar", "no files")
	write(t, dir, "below/notes.txt", "not a case")

	if got := try(t, "policy", "test", dir); got.status != 0 || got.stdout != "1 case, 0 failed\n" {
		t.Errorf("a folder: %+v", got)
	}
	if got := try(t, "policy", "test", "-v", pass, pass, dir); got.status != 0 || got.stdout != "ok   "+pass+"\n1 case, 0 failed\n" {
		t.Errorf("one file, named three times: %+v", got)
	}
	got := try(t, "policy", "test", dir+"/...")
	for _, want := range []string{"FAIL " + fail, "ready: want 5, got 4", "unreadable.txtar", "3 cases, 2 failed\n"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("%q is missing in\n%s", want, got.stdout)
		}
	}
	if got.status != 1 || got.stderr != "" {
		t.Errorf("exit status %d, errors %q", got.status, got.stderr)
	}

	got = try(t, "policy", "test", "-o", "json", pass, fail)
	var results []struct {
		Name     string
		Passed   bool
		Failures []string
	}
	if err := json.Unmarshal([]byte(got.stdout), &results); err != nil || got.status != 1 {
		t.Fatalf("%v: %+v", err, got)
	}
	if len(results) != 2 || results[0].Passed || len(results[0].Failures) == 0 || !results[1].Passed {
		t.Errorf("got %+v", results)
	}

	for args, want := range map[string]string{
		filepath.Join(dir, "none"): "none", filepath.Join(dir, "none") + "/...": "none", t.TempDir(): "holds no case files",
	} {
		if got := try(t, "policy", "test", args); got.status != 1 || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: %+v", args, got)
		}
	}
	if got := try(t, "policy", "test", "-o", "xml", pass); got.status != 1 || !strings.Contains(got.stderr, "must be text or json") {
		t.Errorf("%+v", got)
	}
}

func TestPolicyTestFindsCasesBelowTheCurrentFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a/pass.txtar", caseOf("4"))
	t.Chdir(dir)
	if got := try(t, "policy", "test", "..."); got.status != 0 || got.stdout != "1 case, 0 failed\n" {
		t.Errorf("%+v", got)
	}
}

func TestPolicyRender(t *testing.T) {
	dir := t.TempDir()
	base := []string{"policy", "render", "--policy", write(t, dir, "widgets.yaml", widgets), "--upstream", write(t, dir, "web.yaml", web)}
	with := func(args ...string) []string { return append(slices.Clone(base), args...) }
	usFile, euFile := write(t, dir, "us.yaml", us), write(t, dir, "eu.yaml", eu)
	both := with("--target", "us="+usFile, "--target", "eu="+euFile)

	got := try(t, both...)
	for _, want := range []string{"# Merged", "\nstatus:\n", "  ready: 4\n", "    peers: 5\n"} {
		if got.status != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("%q is missing in %+v", want, got)
		}
	}
	if strings.Contains(got.stdout, "#     us:") {
		t.Errorf("explained unasked\n%s", got.stdout)
	}

	got = try(t, append(both, "--explain", "--target", "ap")...)
	for _, want := range []string{
		"# ready = 4    Sum\n#     ap: (no copy)\n#     eu: 1\n#     us: 3\n", "# net.peers = 5    Max\n#     ap: (no copy)\n#     eu: 5\n#     us: 2\n",
		"# conditions[Ready] = ", "#     eu: True\n#     us: -\n",
	} {
		if got.status != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("%q is missing in %+v", want, got)
		}
	}

	var e explanation
	got = try(t, append(both, "--explain", "-o", "json")...)
	if err := json.Unmarshal([]byte(got.stdout), &e); err != nil || e.Reason != "Merged" || !e.Publish || e.Status["ready"] != 4.0 {
		t.Errorf("%v: %+v", err, got)
	}
	i := slices.IndexFunc(e.Fields, func(f fieldReport) bool { return f.Path == "ready" })
	if i < 0 || e.Fields[i].Rule != "Sum" || e.Fields[i].Result != 4.0 || e.Fields[i].Inputs["us"] != 3.0 {
		t.Errorf("fields %+v", e.Fields)
	}

	stale := try(t, append(both, "--stale", "eu")...)
	if stale.status != 0 || !strings.Contains(stale.stdout, "eu stale") {
		t.Errorf("%+v", stale)
	}

	builtin := try(t, "policy", "render", "--policy", "pods", "--upstream", base[5], "--target", "us="+usFile, "--target", "eu="+euFile, "--explain")
	if builtin.status != 0 || !strings.Contains(builtin.stdout, "Primary (strategy)") {
		t.Errorf("%+v", builtin)
	}
}

func TestPolicyRenderSaysAllThatIsWrong(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "web.yaml", web)
	got := try(t, "policy", "render", "-p", "nothing", "-u", filepath.Join(dir, "none"), "-t", "a="+file, "-t", "a="+file, "-t", "=x", "--stale", "b")
	for _, want := range []string{`there is no policy "nothing"`, "and no file of that name", "none: no such file", "--target a=", "--target =x", "--stale b: there is no such --target"} {
		if got.status != 1 || !strings.Contains(got.stderr, want) {
			t.Errorf("%q is missing in %+v", want, got)
		}
	}
	bad := write(t, dir, "bad.yaml", "{status: 5}")
	if got := try(t, "policy", "render", "-p", "pods", "-u", file, "-t", "a="+bad); got.status != 1 || !strings.Contains(got.stderr, "target a: ") {
		t.Errorf("%+v", got)
	}
	if got := try(t, "policy", "render", "-p", "pods", "-u", file, "-t", "a="+file, "-o", "xml"); got.status != 1 || !strings.Contains(got.stderr, "must be yaml or json") {
		t.Errorf("%+v", got)
	}
	if got := try(t, "policy", "render"); got.status != 1 || !strings.Contains(got.stderr, `required flag(s) "policy", "target", "upstream"`) {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("a dry run made a file")
	}
}
