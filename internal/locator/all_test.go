package locator

import (
	"testing"

	"github.com/upstreamd/upstreamd/internal/ref"
)

func TestBoundToAllWorkspaces(t *testing.T) {
	all := usWest
	all.Workspaces = []ref.Workspace{All}
	for w, want := range map[ref.Workspace]bool{"root:org:ws": true, "10r1v0sg7mfe0frx": true, "": false, All: false} {
		if got := all.Bound(w); got != want {
			t.Errorf("%q is bound: %t", w, got)
		}
	}
	// Locators name the workspace themselves.
	r := resolver(t, all, NamespaceLocator, Prefix)
	if w, _, ok := r.Namespace(located(vectorNamespace, vectorLocator)).Upstream(); !ok || w != "root:org:ws" {
		t.Errorf("the locator's workspace is %q, %t", w, ok)
	}
	// By a prefix none can be found, and nothing passes through to one that is called "*".
	for _, styles := range [][]string{{Prefix}, {NamespaceLocator, Prefix}} {
		r := resolver(t, all, styles...)
		for _, name := range []string{"kcp-team-a-default", "kcp-*-default", "default", "other"} {
			if w, ns, ok := r.Namespace(Namespace{Name: name}).Upstream(); ok {
				t.Errorf("%v: %s leads to %q in %q", styles, name, ns, w)
			}
		}
		if w, _, ok := r.ClusterScoped(&ref.Object{Name: "thing"}).Upstream(); ok {
			t.Errorf("%v: a cluster-scoped object leads to %q", styles, w)
		}
	}
}
