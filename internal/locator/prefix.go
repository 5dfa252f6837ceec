package locator

import (
	"strings"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// syncerPrefix starts the names of the Namespaces that kcp's syncers run in.
const syncerPrefix = "kcp-syncer-"

// prefixOf starts the names of a workspace's Namespaces. The colons of a path become dashes, as names have none.
func prefixOf(w ref.Workspace) string { return "kcp-" + strings.ReplaceAll(string(w), ":", "-") + "-" }

// fromPrefix takes the bound workspace that the name begins with. Where several do, nothing tells which one it is: the namespace "b-c" of
// the workspace "a" and "c" of "a-b" share the name kcp-a-b-c. Such a name resolves to neither, because the tenants of each could write
// a status into the other.
func (r *Resolver) fromPrefix(l *Location, name string) (claimed bool, err error) {
	if strings.HasPrefix(name, syncerPrefix) {
		return false, nil
	}
	for _, w := range r.target.Workspaces {
		namespace, ok := strings.CutPrefix(name, prefixOf(w))
		switch {
		case w == "" || w == All || !ok || !validNamespace(namespace):
		case claimed && w != l.workspace:
			return true, refuse(Ambiguous, "the Namespace %q may belong to the workspace %q or %q: bind them to different SyncTargets, or use the locator %s",
				name, l.workspace, w, NamespaceLocator)
		default:
			claimed = true
			l.workspace, l.namespace = w, namespace
		}
	}
	return claimed, nil
}
