package policy

import (
	"testing"

	"github.com/upstreamd/upstreamd/internal/ref"
)

func TestBuiltin(t *testing.T) {
	set, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for resource, want := range map[ref.Resource]string{
		{Group: "apps", Version: "v1", Resource: "deployments"}:      "deployments.apps",
		{Version: "v1", Resource: "pods"}:                            "pods",
		{Group: "apps", Version: "v1", Resource: "controllers"}:      "anything-else",
		{Group: "example.com", Version: "v1", Resource: "databases"}: "anything-else",
	} {
		if got := set.For(resource).Name; got != want {
			t.Errorf("policy of %v = %s, want %s", resource, got, want)
		}
	}
	if n := len(set.All()); n != 16 {
		t.Errorf("built-in policies = %d, want 16", n)
	}
}
