package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upstreamd/upstreamd/internal/config"
)

// served is a configuration with the given upstream, beside its kubeconfig, and workspaces of its one SyncTarget.
func served(upstream, workspaces string) string {
	return fmt.Sprintf(`apiVersion: config.upstreamd.dev/v1alpha1
kind: UpstreamdConfiguration
upstream: {kubeconfig: u, %s}
syncTargets: [{name: a, cluster: "root:infra", kubeconfig: k, workspaces: %s}]
resources: [{group: apps, version: v1, resource: deployments}]
locators: [NamespaceLocator]
`, upstream, workspaces)
}

func TestWhichWorkspacesAreServed(t *testing.T) {
	many := func(n int) string {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprint("w", i)
		}
		return "workspaces: [" + strings.Join(names, ", ") + "]"
	}
	for name, tt := range map[string]struct {
		upstream, bound string
		want            []string // errors, each by its beginning
	}{
		"an APIExport":                {`apiExport: {workspace: "root:provider", name: compute}`, `["*"]`, nil},
		"an APIExport, bound by name": {`apiExport: {workspace: "root:provider", name: compute}`, `["root:a", b]`, nil},
		"an APIExport, direct":        {`apiExport: {workspace: p, name: compute}, writeVia: direct`, `["*"]`, nil},
		"an APIExport, said in full":  {`apiExport: {workspace: p, name: compute}, writeVia: virtualWorkspace`, `["*"]`, nil},
		"wildcard":                    {"wildcard: true", `["*"]`, nil},
		"as many as may be listed":    {many(50), "[w0, w49]", nil},
		"no wildcard":                 {"wildcard: false", "[]", nil},
		"one more":                    {many(51), "[w0]", []string{"upstream.workspaces: Invalid value: 51: at most 50 can be listed, since each costs a stream for each kind: use apiExport or wildcard"}},
		"an APIExport and workspaces": {`apiExport: {workspace: p, name: compute}, workspaces: [a]`, `["*"]`, []string{"upstream.workspaces: Forbidden: each of apiExport and workspaces selects the served workspaces: keep one"}},
		"wildcard and workspaces":     {"wildcard: true, workspaces: [a]", "[a]", []string{"upstream.workspaces: Forbidden: each of wildcard and workspaces"}},
		"all three": {`apiExport: {workspace: p, name: compute}, wildcard: true, workspaces: [a]`, `["*"]`,
			[]string{"upstream.wildcard: Forbidden: each of apiExport and wildcard and workspaces"}},
		"half an APIExport":            {"apiExport: {workspace: p}", `["*"]`, []string{"upstream.apiExport.name: Required value"}},
		"the other half":               {"apiExport: {name: nn}", `["*"]`, []string{"upstream.apiExport.workspace: Required value: name the workspace that holds the APIExport"}},
		"an APIExport nowhere":         {`apiExport: {workspace: "a/b", name: N_}`, `["*"]`, []string{`upstream.apiExport.workspace: Invalid value: "a/b"`, `upstream.apiExport.name: Invalid value: "N_"`}},
		"an APIExport as text":         {"apiExport: compute", "[]", []string{"upstream.apiExport: Invalid value: \"compute\": must be a mapping of fields"}},
		"a field that is not":          {"apiExport: {workspace: p, name: nn, cluster: c}", `["*"]`, []string{"upstream.apiExport.cluster: Forbidden: there is no such field"}},
		"a third way":                  {"apiExport: {workspace: p, name: nn}, writeVia: front", `["*"]`, []string{`upstream.writeVia: Unsupported value: "front"`}},
		"no choice":                    {"wildcard: true, writeVia: direct", `["*"]`, []string{"upstream.writeVia: Forbidden: only with apiExport"}},
		"bound to none":                {"wildcard: true", "[]", []string{`syncTargets[0].workspaces: Required value: list the workspaces that it may report for, or write ["*"] for all`}},
		"bound to all and some":        {"wildcard: true", `[a, "*"]`, []string{`syncTargets[0].workspaces[1]: Invalid value: "*": workspaces are listed one by one here`}},
		"bound to nonsense":            {"wildcard: true", `["a/b", a, a]`, []string{`syncTargets[0].workspaces[0]: Invalid value: "a/b"`, `syncTargets[0].workspaces[2]: Duplicate value: "a"`}},
		"bound to all of those listed": {"workspaces: [a]", `["*"]`, []string{`syncTargets[0].workspaces[0]: Invalid value: "*": workspaces are listed one by one here`}},
	} {
		t.Run(name, func(t *testing.T) {
			expectErrors(t, served(tt.upstream, tt.bound), tt.want)
		})
	}
}

func expectErrors(t *testing.T, file string, want []string) {
	t.Helper()
	_, err := config.Parse("c.yaml", []byte(file), "/")
	var invalid *config.InvalidError
	if !errors.As(err, &invalid) {
		if err != nil || len(want) > 0 {
			t.Errorf("got %v, want %q", err, want)
		}
		return
	}
	var got []string
	for i, e := range invalid.Errors {
		text := e.Error()
		if i < len(want) && strings.HasPrefix(text, want[i]) {
			text = want[i]
		}
		got = append(got, text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestThePrefixLocatorNeedsNames(t *testing.T) {
	for _, locators := range []string{"locators: [NamespaceLocator, Prefix]", "locators: [Prefix]", "writer: {}"} {
		file := strings.Replace(served("wildcard: true", `["*"]`), "locators: [NamespaceLocator]", locators, 1)
		expectErrors(t, file, []string{`syncTargets[0].workspaces[0]: Invalid value: "*": the locator Prefix tells workspaces apart by names that are listed: list them, or set locators: [NamespaceLocator]`})
		expectErrors(t, strings.Replace(file, `["*"]`, `["root:a"]`, 1), nil)
	}
}
