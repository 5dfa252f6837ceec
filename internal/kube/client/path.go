package client

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// ResourcePath is the path of a resource, an object, or its subresource: namespace, name and subresource may be empty. Parts that
// would change the path's meaning ("..", "a/b") are errors: names may come from objects that a tenant wrote.
func ResourcePath(r ref.Resource, namespace, name, subresource string) (string, error) {
	for _, part := range []struct{ kind, value string }{
		{"group", r.Group}, {"version", r.Version}, {"resource", r.Resource},
		{"namespace", namespace}, {"name", name}, {"subresource", subresource},
	} {
		if problems := content.IsPathSegmentName(part.value); len(problems) > 0 {
			return "", fmt.Errorf("%s %q %s", part.kind, part.value, strings.Join(problems, ", "))
		}
	}
	var b strings.Builder
	b.WriteString(GroupVersionPath(r.Group, r.Version))
	if namespace != "" {
		b.WriteString("/namespaces/")
		b.WriteString(namespace)
	}
	for _, part := range []string{r.Resource, name, subresource} {
		if part != "" {
			b.WriteByte('/')
			b.WriteString(part)
		}
	}
	return b.String(), nil
}

// GroupVersionPath is the path under which a group and version is served.
func GroupVersionPath(group, version string) string {
	if group == "" {
		return "/api/" + version
	}
	return "/apis/" + group + "/" + version
}
