package importtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// TestPackagesWithGoroutinesLookForLeaks: the tests of packages that start goroutines check that these end.
func TestPackagesWithGoroutinesLookForLeaks(t *testing.T) {
	looked := 0
	for _, p := range load(t, packages.NeedFiles, "./...") {
		if len(p.GoFiles) == 0 || !startsGoroutines(t, p.GoFiles) || matchesAny(leakFree, local(p.PkgPath)) {
			continue
		}
		looked++
		if !looksForLeaks(t, filepath.Dir(p.GoFiles[0])) {
			t.Errorf("%s starts goroutines: check in its tests that they end (goleak.VerifyTestMain)", local(p.PkgPath))
		}
	}
	if looked < 8 {
		t.Errorf("only %d packages start goroutines: the test misses them", looked)
	}
}

// leakFree have no tests of their own: they run in those of the packages that use them.
var leakFree = []string{"internal/kube/kubetest", "internal/memapi/contract", "internal/sim/cmd/..."}

// startsGoroutines looks for go statements, and for calls of a method Go, which sync.WaitGroup has.
func startsGoroutines(t *testing.T, files []string) bool {
	t.Helper()
	found := false
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				found = true
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Go" {
					found = true
				}
			}
			return !found
		})
	}
	return found
}

func looksForLeaks(t *testing.T, dir string) bool {
	t.Helper()
	tests, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tests {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), `"go.uber.org/goleak"`) {
			return true
		}
	}
	return false
}
