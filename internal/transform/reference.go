package transform

import "strings"

// reference turns a reference to a downstream object into one to the upstream object. A reference has a name and, lest every list entry with
// a name be one, a namespace, a kind or a UID beside it.
func (c *Context) reference(m map[string]any) {
	name, named := m["name"].(string)
	namespace, namespaced := m["namespace"].(string)
	kind, kinded := m["kind"].(string)
	uid, identified := m["uid"].(string)
	if !named || !namespaced && !kinded && !identified {
		return
	}
	own := !namespaced
	if namespaced {
		if up, ok := c.namespaceUp(namespace); ok {
			m["namespace"], own = up, true
		}
	}
	if own {
		m["name"] = c.nameUp(kind, namespace, name)
	}
	if identified && (namespaced || kinded || isUID(uid) || uid == string(c.UID)) {
		c.identity(m, uid)
	}
	if _, ok := m["resourceVersion"].(string); ok {
		delete(m, "resourceVersion")
	}
}

// identity takes a downstream UID out of a reference; one to the object itself gets that of the upstream object, where it is known.
func (c *Context) identity(reference map[string]any, uid string) {
	delete(reference, "uid")
	if uid != "" && uid == string(c.UID) && c.UpstreamUID != "" {
		reference["uid"] = string(c.UpstreamUID)
	}
}

func (c *Context) namespaceUp(downstream string) (string, bool) {
	if downstream == "" {
		return "", false
	}
	if downstream == c.Downstream.Namespace {
		return c.Upstream.Namespace, true
	}
	if c.Namespace == nil {
		return "", false
	}
	return c.Namespace(downstream)
}

// nameUp also knows the objects that every namespace has on both sides, and that therefore go down under another name.
func (c *Context) nameUp(kind, namespace, name string) string {
	switch {
	case name == c.Downstream.Name && (namespace == "" || namespace == c.Downstream.Namespace):
		return c.Upstream.Name
	case kind == "ConfigMap" && name == "kcp-root-ca.crt":
		return "kube-root-ca.crt"
	case kind == "Secret" && strings.HasPrefix(name, "kcp-default-token"):
		return strings.TrimPrefix(name, "kcp-")
	}
	return name
}

// isUID says whether s has the form of a UUID.
func isUID(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' && strings.Trim(s, "0123456789abcdefABCDEF-") == ""
}
