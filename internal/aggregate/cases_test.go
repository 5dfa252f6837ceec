package aggregate_test

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/policytest"
)

var update = flag.Bool("update", false, "write into the case files what comes out now; read the difference before you commit it")

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
	if n < 120 {
		t.Errorf("%d case files, want at least 120", n)
	}
}

// TestExamples runs the cases of the guide, and reads its policies.
func TestExamples(t *testing.T) {
	const folder = "../../docs/examples"
	run(t, filepath.Join(folder, "databases.txtar"))
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no policies in %s: %v", folder, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := policy.Parse(file, data)
		if err == nil {
			_, err = policy.Compile(docs...)
		}
		if err != nil {
			t.Error(err)
		}
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
	result := policytest.Run(c)
	if *update {
		write(t, path, data, result)
		return
	}
	for _, failure := range result.Failures {
		t.Error(failure)
	}
}

func write(t *testing.T, path string, data []byte, r policytest.Result) {
	archive := txtar.Parse(data)
	for i := range archive.Files {
		switch f := &archive.Files[i]; f.Name {
		case "want.yaml":
			if f.Data = nil; r.Status != nil {
				f.Data, _ = yaml.Marshal(r.Status)
			}
		case "want.reason":
			f.Data = []byte(string(r.Decision.Reason) + ": " + r.Decision.Message + "\n")
		}
	}
	if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}
