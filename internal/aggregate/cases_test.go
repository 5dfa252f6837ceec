package aggregate_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/policytest"
)

var update = flag.Bool("update", false, "write the present results into the case files; read the difference before you commit it")

// TestCases runs the case files. They document the published status.
func TestCases(t *testing.T) {
	n, of := 0, map[string]int{}
	err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		t.Run(strings.TrimSuffix(strings.TrimPrefix(path, "testdata/"), ".txtar"), func(t *testing.T) { of[run(t, path)]++ })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 450 {
		t.Errorf("%d case files, want at least 450", n)
	}
	set, err := policy.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range set.All() {
		if least := 3 * len(p.Document.Spec.Resources); p.Document.Source == policy.SourceLibrary && of[p.Name] < least {
			t.Errorf("%d cases of %s, want at least %d: 3 of each kind", of[p.Name], p.Name, least)
		}
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

// run returns the name of the case's policy.
func run(t *testing.T, path string) string {
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
		return c.Policy.Name
	}
	for _, failure := range result.Failures {
		t.Error(failure)
	}
	return c.Policy.Name
}

// write replaces the parts of a case that are wrong now.
func write(t *testing.T, path string, data []byte, r policytest.Result) {
	archive := txtar.Parse(data)
	for i := range archive.Files {
		reason := string(r.Decision.Reason)
		switch f := &archive.Files[i]; f.Name {
		case "want.yaml":
			var was map[string]any
			if err := yaml.Unmarshal(f.Data, &was); err != nil || !sameJSON(was, r.Status) {
				f.Data = []byte(wantYAML(r.Status))
			}
		case "want.reason":
			if text := strings.TrimSpace(string(f.Data)); text != reason {
				f.Data = []byte(reason + ": " + r.Decision.Message + "\n")
			}
		}
	}
	if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

func sameJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

// wantYAML writes a field per line, and a condition per line.
func wantYAML(status map[string]any) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(status)) {
		list, isList := status[name].([]any)
		if !isList || len(list) == 0 {
			fmt.Fprintf(&b, "%s: %s\n", name, flow(status[name]))
			continue
		}
		fmt.Fprintf(&b, "%s:\n", name)
		for _, item := range list {
			fmt.Fprintf(&b, "- %s\n", flow(item))
		}
	}
	return b.String()
}

// flow is YAML on one line, a condition's fields in their usual order.
func flow(v any) string {
	switch v := v.(type) {
	case map[string]any:
		order := []string{"type", "status", "reason", "message", "lastTransitionTime"}
		names := slices.Sorted(maps.Keys(v))
		if v["type"] != nil {
			slices.SortStableFunc(names, func(a, b string) int {
				place := func(name string) int { return (slices.Index(order, name) + len(order) + 1) % (len(order) + 1) }
				return place(a) - place(b)
			})
		}
		parts := make([]string, len(names))
		for i, name := range names {
			parts[i] = name + ": " + flow(v[name])
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = flow(item)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case string:
		if plain.MatchString(v) && !slices.Contains([]string{"True", "False", "true", "false", "null"}, v) {
			return v
		}
	}
	data, _ := json.Marshal(v)
	return string(data)
}

var plain = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9./ -]*$`)
