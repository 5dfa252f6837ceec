package policy

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the table of kinds into docs/policies.md")

const (
	tableFile  = "../../docs/policies.md"
	tableBegin = "<!-- kinds: written by go test ./internal/policy -run TestTableOfKinds -rewrite -->\n"
	tableEnd   = "<!-- end of kinds -->\n"
)

// TestTableOfKinds: the guide has a line for each kind that has a policy, as the policy's annotations describe it.
func TestTableOfKinds(t *testing.T) {
	guide, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(guide), tableBegin)
	written, after, ends := strings.Cut(rest, tableEnd)
	if !begins || !ends {
		t.Fatalf("%s lacks the lines %q and %q", tableFile, tableBegin, tableEnd)
	}
	want := tableOfKinds(t)
	switch {
	case written == want:
	case !*rewrite:
		t.Errorf("the table of kinds in %s is not that of the policies: run go test ./internal/policy -run TestTableOfKinds -rewrite", tableFile)
	default:
		if err := os.WriteFile(tableFile, []byte(before+tableBegin+want+tableEnd+after), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func tableOfKinds(t *testing.T) string {
	t.Helper()
	var lines []string
	for _, p := range mustBuiltin(t).All() {
		about := p.Document.Metadata.Annotations
		merged, karmada, ends := about["merged"], about["karmada"], "never"
		if f := p.Finished; f != nil {
			var by []string
			for _, e := range slices.Concat(f.Success, f.Failure) {
				by = append(by, e.String())
			}
			if f.Phase != nil {
				by = append(by, fmt.Sprintf("`%s`: %s", f.Phase, strings.Join(slices.Concat(f.SuccessPhases, f.FailurePhases), ", ")))
			}
			ends = strings.Join(by, ", ")
		}
		if merged == "" || karmada == "" {
			t.Errorf("policy %s: the annotations merged and karmada describe it in the guide", p.Name)
		}
		for _, r := range p.Document.Spec.Resources {
			kind := strings.TrimSuffix(fmt.Sprintf("`%s.%s`", r.Resource, r.Group), ".`")
			if r.Group == "" {
				kind += "`"
			}
			if r == anything {
				kind = "any other kind"
			}
			lines = append(lines, fmt.Sprintf("| %s | %s | %s: %s | %s | %s |\n", kind, p.Document.Source, p.Strategy, merged, ends, karmada))
		}
	}
	slices.Sort(lines)
	return "| kind | from | published status | ends by | Karmada |\n| --- | --- | --- | --- | --- |\n" + strings.Join(lines, "")
}
