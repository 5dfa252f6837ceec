package locator

import (
	"errors"
	"fmt"
	"strings"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// The fields of a namespace template.
const (
	clusterField       = "{cluster}"
	namespaceField     = "{namespace}"
	namespaceHashField = "{namespaceHash}"
)

// defaultTemplate is the naming that api-syncagent uses if a PublishedResource names none.
const defaultTemplate = clusterField

// template gives the name of the downstream Namespace that holds the copies of an upstream object. It is made so that two workspaces
// never share a name: the name proves the workspace.
type template struct {
	text      string
	namespace bool // it holds namespaceField
}

// parseTemplate checks a template such as "{cluster}" or "kcp-{cluster}-{namespace}".
func parseTemplate(text string) (template, error) {
	rest := strings.NewReplacer(clusterField, "", namespaceField, "", namespaceHashField, "").Replace(text)
	switch {
	case strings.ContainsAny(rest, "{}"):
		return template{}, fmt.Errorf("%q has an unknown field: use %s, %s and %s", text, clusterField, namespaceField, namespaceHashField)
	case strings.Count(text, clusterField) != 1:
		return template{}, fmt.Errorf("%q must hold %s once: else any Namespace could claim any workspace", text, clusterField)
	case strings.Count(text, namespaceField) > 1:
		return template{}, fmt.Errorf("%q must hold %s at most once", text, namespaceField)
	}
	t := template{text: text, namespace: strings.Contains(text, namespaceField)}
	if t.namespace && !separated(text) {
		return template{}, fmt.Errorf("%q must have a dash beside %s, on the side of %s: else two workspaces could share a name", text, clusterField, namespaceField)
	}
	if name, err := t.expand(ref.Upstream{Workspace: "x", Namespace: "x"}); err != nil || !validNamespace(name) {
		return template{}, fmt.Errorf("%q does not give names of Namespaces", text)
	}
	return t, nil
}

// separated reports whether a dash ends the name of the cluster on the side of the namespace.
func separated(text string) bool {
	before, after, _ := strings.Cut(text, clusterField)
	if strings.Contains(before, namespaceField) {
		return strings.HasSuffix(before, "-")
	}
	return strings.HasPrefix(after, "-")
}

var errNoNamespace = errors.New("the upstream object has no namespace")

// expand is the name for an upstream object. With the namespace in it, names of clusters that hold a dash are refused: "a-b" and "c"
// would meet "a" and "b-c".
func (t template) expand(u ref.Upstream) (string, error) {
	if t.namespace && strings.Contains(string(u.Workspace), "-") {
		return "", fmt.Errorf("the name %q holds a dash, which the template %q cannot tell from its own", u.Workspace, t.text)
	}
	if u.Namespace == "" && t.text != strings.NewReplacer(namespaceField, "", namespaceHashField, "").Replace(t.text) {
		return "", errNoNamespace
	}
	return strings.NewReplacer(clusterField, string(u.Workspace), namespaceField, u.Namespace, namespaceHashField, agentHash(u.Namespace)).Replace(t.text), nil
}
