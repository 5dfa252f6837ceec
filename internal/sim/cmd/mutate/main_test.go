package main

import (
	"os"
	"testing"
)

// Every deliberate break still finds its place in the sources, each under a name of its own.
func TestMutationsFindTheirPlace(t *testing.T) {
	t.Chdir("../../../..")
	if _, err := os.Stat("go.mod"); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range mutations {
		if _, source, err := m.broken(); err != nil || source == "" {
			t.Errorf("%s: %v", m.name, err)
		}
		if names[m.name] {
			t.Errorf("two are named %q", m.name)
		}
		names[m.name] = true
	}
}
