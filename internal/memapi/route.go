package memapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// route is a parsed request: place, resource, name and verb.
type route struct {
	place
	asked       string // the logical cluster as it stands in the path
	through     exportKey
	virtual     bool
	documents   []string // the path below the cluster
	group       string
	version     string
	resource    string // empty: discovery and the like
	namespace   string
	name        string
	subresource string
	verb        string
}

func (r *route) gvr() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: r.group, Version: r.version, Resource: r.resource}
}

func parseRoute(method, path string, query url.Values) *route {
	r := &route{}
	parts := r.parsePlace(strings.FieldsFunc(path, func(c rune) bool { return c == '/' }))
	r.documents = parts
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		r.version, parts = parts[1], parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		r.group, r.version, parts = parts[1], parts[2], parts[3:]
	default:
		return r
	}
	if len(parts) >= 3 && parts[0] == "namespaces" && (r.group != "" || parts[2] != "status" && parts[2] != "finalize") {
		r.namespace, parts = parts[1], parts[2:]
	}
	r.resource = parts[0]
	if len(parts) > 1 {
		r.name = parts[1]
	}
	r.subresource = strings.Join(parts[min(2, len(parts)):], "/")
	r.verb = verb(method, r.name, query)
	return r
}

// parsePlace takes the virtual workspace and the logical cluster off a path.
func (r *route) parsePlace(parts []string) (rest []string) {
	if len(parts) >= 4 && parts[0] == "services" && parts[1] == "apiexport" {
		r.virtual, r.through = true, exportKey{parts[2], parts[3]}
		parts = parts[4:]
	}
	if len(parts) >= 2 && parts[0] == "clusters" {
		r.asked, parts = parts[1], parts[2:]
	}
	return parts
}

func verb(method, name string, query url.Values) string {
	switch {
	case method == http.MethodGet && name != "":
		return "get"
	case method == http.MethodGet && slices.Contains([]string{"1", "true"}, query.Get("watch")):
		return "watch"
	case method == http.MethodGet:
		return "list"
	case method == http.MethodPost && name == "":
		return "create"
	case method == http.MethodPut && name != "":
		return "update"
	case method == http.MethodPatch && name != "":
		return "patch"
	case method == http.MethodDelete && name != "":
		return "delete"
	case method == http.MethodDelete:
		return "deletecollection"
	}
	return ""
}

// locate resolves the logical cluster of a request, and refuses clusters that do not exist or are not bound.
func (s *Server) locate(r *route) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.cluster = r.asked
	if r.virtual {
		e := s.exports[exportKey{s.name(r.through.cluster), r.through.name}]
		switch {
		case e == nil:
			return denied("no such APIExport")
		case isPath(r.asked):
			return denied("virtual workspaces want the name of a logical cluster, not its path")
		case r.asked == "":
			return errUnknownPath
		case r.asked != everywhere && !e.isBound(r.asked):
			return denied("the logical cluster is not bound")
		}
		r.export = e
		return nil
	}
	if r.asked == "" || r.asked == everywhere {
		return nil
	}
	r.cluster = s.name(r.asked)
	if !s.there(r.cluster) {
		return denied("no such logical cluster")
	}
	return nil
}

// absent is the answer for a resource that is not served. A kcp denies access to groups that a workspace does not have, and to versions
// that a bound group does not have.
func (s *Server) absent(p place, gv schema.GroupVersion) error {
	served := s.served(p)
	if slices.ContainsFunc(served, func(r Resource) bool { return r.Typed && r.GroupVersion() == gv }) {
		return errUnknownResource
	}
	if p.workspace() && !slices.ContainsFunc(served, func(r Resource) bool {
		return r.GroupVersion() == gv || r.Group == gv.Group && (r.Typed || s.defined(r))
	}) {
		return denied("the group or version is not served here")
	}
	return errUnknownPath
}

// defined reports whether a CustomResourceDefinition made a resource.
func (s *Server) defined(r Resource) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[r.GroupVersionResource]
	return t != nil && t.defined
}

// denied is the answer of a kcp to requests that are not allowed and to paths that do not exist.
func denied(why string) error {
	return apierrors.NewForbidden(schema.GroupResource{}, "", fmt.Errorf("access denied: %s", why))
}

// table is that of a resource at a place; nil if it is not served there.
func (s *Server) table(p place, r schema.GroupVersionResource) *table {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tables[r]; t != nil && !t.withheld && s.serves(t, p) {
		return t
	}
	return nil
}

// stored is table for a resource that is withheld too.
func (s *Server) stored(p place, r schema.GroupVersionResource) *table {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tables[r]; t != nil && s.serves(t, p) {
		return t
	}
	return nil
}
