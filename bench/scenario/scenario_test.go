package scenario_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upstreamd/upstreamd/bench/scenario"
	"github.com/upstreamd/upstreamd/bench/subject"
)

func TestAllScenariosCanBeRead(t *testing.T) {
	all, err := scenario.Read("../scenarios")
	if err != nil {
		t.Fatal(err)
	}
	short, names := map[string]bool{}, map[string]bool{}
	for _, s := range all {
		if names[s.Name] || s.Title == "" {
			t.Errorf("%s: there is another of that name, or it has no title", s.File)
		}
		names[s.Name] = true
		for _, name := range s.Subjects {
			if subject.Titles[name] == "" {
				t.Errorf("%s: no subject is called %s", s.File, name)
			}
		}
		if len(s.Short) > 0 {
			short[s.Name] = true
		}
	}
	if len(short) != 4 {
		t.Errorf("the short set has %d scenarios, want 4: %v", len(short), short)
	}
}

func TestWhatIsWrongIsSaidAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "10-bad.yaml")
	bad := `
servers: moon
shape: {objects: 1, copies: 3, syncTargets: 2}
load: {pattern: steady}
short: [upstreamd]
aims: [{figure: x, over: sketch}, {figure: ""}]
`
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := scenario.Read(file)
	for _, want := range []string{"servers:", "shape.copies:", "load.rate:", "subjects:", "short:", "aims[0].over:", "aims[1]:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in %v", want, err)
		}
	}
	if err := os.WriteFile(file, []byte("servers: memory\nspeed: 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := scenario.Read(file); err == nil || !strings.Contains(err.Error(), "speed") {
		t.Errorf("an unknown field is answered with %v", err)
	}
}
