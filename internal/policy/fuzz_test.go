package policy

import (
	"io/fs"
	"testing"

	"sigs.k8s.io/yaml"
)

// FuzzParse: whatever a file of policies holds, there are documents or an error, and what compiles does so again after it was
// written out, to the same rules.
func FuzzParse(f *testing.F) {
	err := fs.WalkDir(embedded, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := embedded.ReadFile(name)
		f.Add(data)
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(head + "  fields: {a.b: {rule: CEL, expr: 'targets.size()'}, '': {rule: Sum}}\n  groups: [[a, a]]\n"))
	f.Add([]byte("---\nnull\n---\n[]\n---\na: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := Parse("fuzz.yaml", data)
		if err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
		for _, doc := range docs {
			first, err := Compile(doc)
			if err != nil {
				continue
			}
			written, err := yaml.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			read, err := Parse("written.yaml", written)
			if err != nil || len(read) != 1 {
				t.Fatalf("what compiles does not parse again: %v\n%s", err, written)
			}
			again, err := Compile(read...)
			if err != nil {
				t.Fatalf("what compiles does not compile again: %v\n%s", err, written)
			}
			if a, b := len(first.All()[0].Fields), len(again.All()[0].Fields); a != b {
				t.Fatalf("%d rules became %d\n%s", a, b, written)
			}
		}
	})
}
