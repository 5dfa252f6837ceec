package aggregate_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upstreamd/upstreamd/internal/policytest"
)

// TestCases runs the case files. They are the documentation of what is published.
func TestCases(t *testing.T) {
	n := 0
	err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		t.Run(strings.TrimSuffix(strings.TrimPrefix(path, "testdata/"), ".txtar"), func(t *testing.T) { run(t, path) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 1 {
		t.Errorf("%d case files, want at least 120", n)
	}
}

func run(t *testing.T, path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := policytest.Load(path, data)
	if err != nil {
		t.Fatal(err)
	}
	if c.Comment == "" {
		t.Error("a case begins with a sentence on what it shows")
	}
	for _, failure := range policytest.Run(c).Failures {
		t.Error(failure)
	}
}
