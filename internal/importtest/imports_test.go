package importtest

import (
	"fmt"
	"go/ast"
	"go/types"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// load reads packages of the product, without their tests.
func load(t *testing.T, mode packages.LoadMode, patterns ...string) []*packages.Package {
	t.Helper()
	loaded, err := packages.Load(&packages.Config{Mode: mode | packages.NeedName, Dir: "../..", Context: t.Context()}, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range loaded {
		for _, err := range p.Errors {
			t.Errorf("%s: %v", p.PkgPath, err)
		}
	}
	if len(loaded) == 0 || t.Failed() {
		t.Fatalf("%d packages could be read", len(loaded))
	}
	return loaded
}

func TestImportDirections(t *testing.T) {
	imports := map[string][]string{}
	for _, p := range load(t, packages.NeedImports|packages.NeedFiles, "./...") {
		if len(p.GoFiles) > 0 {
			imports[p.PkgPath] = slices.Sorted(maps.Keys(p.Imports))
		}
	}
	for _, v := range violations(imports) {
		t.Error(v)
	}
	for name := range layers {
		if _, there := imports[module+"/"+name]; !there {
			t.Errorf("%s has a rule and does not exist", name)
		}
	}
}

func TestPurePackagesHaveNoClockAndNoGoroutine(t *testing.T) {
	patterns := make([]string, 0, len(pure))
	for _, p := range pure {
		patterns = append(patterns, "./"+p)
	}
	for _, p := range load(t, packages.NeedSyntax|packages.NeedTypes|packages.NeedTypesInfo|packages.NeedFiles|packages.NeedImports|packages.NeedDeps, patterns...) {
		for _, v := range impurities(p) {
			t.Error(v)
		}
	}
}

// impurities finds calls of the clock and goroutines.
func impurities(p *packages.Package) []string {
	var found []string
	say := func(n ast.Node, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s: %s", p.Fset.Position(n.Pos()), fmt.Sprintf(format, args...)))
	}
	for _, file := range p.Syntax {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				say(n, "a goroutine in a pure package: its callers decide about concurrency")
			case *ast.Ident:
				if f, ok := p.TypesInfo.Uses[n].(*types.Func); ok && f.Pkg() != nil && f.Pkg().Path() == "time" && f.Signature().Recv() == nil && slices.Contains(clock, f.Name()) {
					say(n, "time.%s in a pure package: time is an argument there", f.Name())
				}
			}
			return true
		})
	}
	return found
}

// The rules themselves: each of these must be found, with its reason.
func TestWhatIsForbiddenIsFound(t *testing.T) {
	for _, tt := range []struct{ from, to, want string }{
		{"internal/ref", module + "/internal/patch", "the shared names stand below everything"},
		{"internal/aggregate", module + "/actors", "a decision follows from policies and inputs"},
		{"internal/policy", module + "/internal/aggregate", "policies are data"},
		{"internal/aggregate", "k8s.io/client-go/rest", "a pure package sends nothing"},
		{"internal/locator", "os", "no input but its arguments"},
		{"internal/status", "net/http", "no input but its arguments"},
		{"internal/transform", "github.com/asynkron/protoactor-go/actor", "is called by actors"},
		{"internal/patch", "log/slog", "returns its reason"},
		{"internal/debounce", "math/rand/v2", "the same inputs give the same bytes"},
		{"internal/config", module + "/internal/ref", "without the packages that it configures"},
		{"internal/kube/upstream", module + "/actors", "not their users"},
		{"internal/kube/lean", "github.com/asynkron/protoactor-go/actor", "clients call back"},
		{"actors", module + "/supervisor", "do not know their supervisors"},
		{"actors", module + "/internal/kube/lean", "through their own ports"},
		{"actors", module + "/internal/config", "through their own ports"},
		{"actors", "k8s.io/client-go/tools/cache", "driven through ports"},
		{"supervisor", module + "/internal/app", "inside other programs"},
		{"internal/app", module + "/cmd/upstreamd", "only commands start it"},
		{"internal/app", module + "/internal/memapi", "stay out of the product"},
		{"internal/kube/upstream", module + "/internal/kube/kubetest", "not their users"},
		{"internal/app", module + "/sandbox/oracle", "does not know its tests and benches"},
		{"cmd/upstreamd", module + "/actors", "commands turn flags into calls"},
		{"internal/metrics", "testing", "tools for tests"},
		{"internal/novelty", "strings", "is new"},
	} {
		found := strings.Join(violations(map[string][]string{module + "/" + tt.from: {tt.to}}), "\n")
		if !strings.Contains(found, tt.want) {
			t.Errorf("%s → %s: found %q, want %q in it", tt.from, tt.to, found, tt.want)
		}
	}
	for _, tt := range []struct{ from, to string }{
		{"internal/ref", "github.com/kcp-dev/logicalcluster/v3"},
		{"internal/policy", "github.com/google/cel-go/cel"},
		{"internal/aggregate", module + "/internal/policy"},
		{"actors", module + "/internal/status"},
		{"internal/app", module + "/internal/kube/upstream"},
		{"internal/app", "os/signal"},
		{"internal/memapi/contract", "testing"},
		{"internal/kube/client", "k8s.io/client-go/rest"},
	} {
		if found := violations(map[string][]string{module + "/" + tt.from: {tt.to}}); len(found) > 0 {
			t.Errorf("%s → %s is allowed, found %v", tt.from, tt.to, found)
		}
	}
}

func TestImpuritiesAreFound(t *testing.T) {
	overlay := map[string][]byte{}
	dir, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedFiles, Dir: "../..", Context: t.Context()}, "./internal/debounce")
	if err != nil || len(dir) != 1 || len(dir[0].GoFiles) == 0 {
		t.Fatalf("%v, %v", dir, err)
	}
	for _, name := range dir[0].GoFiles {
		overlay[name] = []byte("package debounce\n")
	}
	overlay[dir[0].GoFiles[0]] = []byte("package debounce\nimport \"time\"\nvar now = time.Now\nfunc f() time.Time { go f(); t := time.Unix(0, 0); t.After(t); return now() }\n")
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports | packages.NeedDeps,
		Dir:  "../..", Overlay: overlay, Context: t.Context(),
	}, "./internal/debounce")
	if err != nil {
		t.Fatal(err)
	}
	found := impurities(loaded[0])
	if len(found) != 2 || !strings.Contains(found[0], "time.Now in a pure package") || !strings.Contains(found[1], "a goroutine in a pure package") {
		t.Errorf("found %q, want the clock and the goroutine, and not Time.After", found)
	}
}
