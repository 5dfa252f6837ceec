package importtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	declaredTest = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)[A-Z]\w*)\(`)
	namedTest    = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)
	namedScript  = regexp.MustCompile("`([a-z0-9_]+\\.txt)`")
)

// TestDocsNameTestsThatExist: every test, and every step script of the state machine, that a document names is there.
func TestDocsNameTestsThatExist(t *testing.T) {
	root := filepath.Join("..", "..")
	declared, documents := map[string]bool{}, map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "bin"):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, "_test.go") && !strings.HasSuffix(path, ".md"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".md") {
			documents[path] = declaredTest.ReplaceAllString(string(text), "") // an example's own
			return nil
		}
		for _, found := range declaredTest.FindAllStringSubmatch(string(text), -1) {
			declared[found[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for path, text := range documents {
		for _, name := range namedTest.FindAllString(text, -1) {
			if named++; !declared[name] {
				t.Errorf("%s names %s, which does not exist", path, name)
			}
		}
		for _, found := range namedScript.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, "internal", "reconcile", "testdata", found[1])); err != nil {
				t.Errorf("%s names the step script %s, which does not exist", path, found[1])
			}
		}
	}
	if named < 50 {
		t.Errorf("only %d names of tests were found in %d documents", named, len(documents))
	}
}
