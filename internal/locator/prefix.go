package locator

import (
	"strings"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// syncerPrefix starts the names of the Namespaces that kcp's syncers run in.
const syncerPrefix = "kcp-syncer-"

// prefixOf starts the names of a workspace's Namespaces. The colons of a path become dashes, as names have none.
func prefixOf(w ref.Workspace) string { return "kcp-" + strings.ReplaceAll(string(w), ":", "-") + "-" }

// fromPrefix takes the bound workspace whose prefix is the longest that the name has. The namespace "b-c" of the workspace "a" and "c" of
// "a-b" would share one name: it is a-b's, and the way down refuses it for a.
func (r *Resolver) fromPrefix(l *Location, name string) (claimed bool, err error) {
	if strings.HasPrefix(name, syncerPrefix) {
		return false, nil
	}
	longest := 0
	for _, w := range r.target.Workspaces {
		prefix := prefixOf(w)
		namespace, ok := strings.CutPrefix(name, prefix)
		if w == "" || w == All || !ok || !validNamespace(namespace) || len(prefix) < longest {
			continue
		}
		if len(prefix) == longest && w != l.workspace {
			err = lie(Ambiguous, "the Namespace %q may belong to the workspace %q or %q", name, l.workspace, w)
			continue
		}
		longest, err = len(prefix), nil
		l.workspace, l.namespace = w, namespace
	}
	return longest > 0, err
}
