package oracle

import (
	"fmt"
	"strings"
)

// Report is the result of a check.
type Report struct {
	Checked int // objects that have at least one copy
	Wrong   []Mismatch
}

// Mismatch is one field of one object with a wrong published value.
type Mismatch struct {
	Kind, Workspace, Namespace, Name string
	Field                            string
	Want, Got                        string
}

func (m Mismatch) String() string {
	return fmt.Sprintf("%s %s|%s/%s: %s: want %q, published %q", m.Kind, m.Workspace, m.Namespace, m.Name, m.Field, m.Want, m.Got)
}

// Err returns nil without mismatches, else an error with up to 20 of them.
func (r Report) Err() error {
	if len(r.Wrong) == 0 {
		return nil
	}
	const most = 20
	lines := []string{fmt.Sprintf("%d fields are wrong, in %d objects checked:", len(r.Wrong), r.Checked)}
	for _, m := range r.Wrong[:min(most, len(r.Wrong))] {
		lines = append(lines, m.String())
	}
	if len(r.Wrong) > most {
		lines = append(lines, "…")
	}
	return fmt.Errorf("%s", strings.Join(lines, "\n"))
}

// subject is the upstream object under check.
type subject struct {
	report *Report
	object Mismatch // without field and values
}

func (s subject) compare(field string, want, got any) {
	if w, g := fmt.Sprint(want), fmt.Sprint(got); w != g {
		m := s.object
		m.Field, m.Want, m.Got = field, w, g
		s.report.Wrong = append(s.report.Wrong, m)
	}
}
