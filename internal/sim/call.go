package sim

import (
	"net/http"
	"strings"
)

// call is a parsed request.
type call struct {
	verb      string // list, watch, get, patch, or other: discovery and probes
	workspace string // upstream only
	resource  string // plural
	namespace string
	name      string
	streaming bool   // a watch that begins with a list
	next      bool   // a further page of a list
	limit     string // of a list
}

func callOf(r *http.Request) call {
	c := call{verb: "other"}
	query := r.URL.Query()
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) > 2 && parts[0] == "clusters" {
		c.workspace, parts = parts[1], parts[2:]
	}
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		parts = parts[3:]
	default:
		c.name = r.URL.Path
		return c
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		c.namespace, parts = parts[1], parts[2:]
	}
	if len(parts) == 0 {
		c.name = r.URL.Path
		return c
	}
	c.resource = parts[0]
	if len(parts) > 1 {
		c.name = parts[1]
	}
	switch {
	case r.Method == http.MethodPatch:
		c.verb = "patch"
	case c.name != "":
		c.verb = "get"
	case query.Get("watch") == "true":
		c.verb, c.streaming = "watch", query.Get("sendInitialEvents") == "true"
	default:
		c.verb, c.next, c.limit = "list", query.Get("continue") != "", query.Get("limit")
	}
	return c
}

// String is the call without the parts that differ between runs.
func (c call) String() string {
	var b strings.Builder
	b.WriteString(c.verb)
	if c.streaming {
		b.WriteString("+list")
	}
	for _, part := range []string{c.workspace, c.resource, c.namespace, c.name} {
		if part != "" {
			b.WriteString(" " + part)
		}
	}
	if c.next {
		b.WriteString(" next")
	}
	return b.String()
}
