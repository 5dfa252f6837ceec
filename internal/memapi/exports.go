package memapi

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// exportKey names an APIExport. cluster is the name of the provider's workspace.
type exportKey struct{ cluster, name string }

// export holds the resources of an APIExport and the logical clusters bound to it.
type export struct {
	exportKey
	resources map[schema.GroupVersionResource]bool
	bound     map[string]map[string]bool // names of APIBindings, by consuming cluster
}

// serves reports whether the export has a resource.
func (e *export) serves(r schema.GroupVersionResource) bool {
	return e.resources[r] || r == apiBindings
}

// isBound reports whether a logical cluster is bound.
func (e *export) isBound(cluster string) bool { return len(e.bound[cluster]) > 0 }

// AddExport makes an APIExport in the workspace provider (its name), with its endpoint slice. From now on workspaces serve these
// resources only if they are bound to it.
func (s *Server) AddExport(provider, name string, resources ...schema.GroupVersionResource) {
	e := &export{exportKey: exportKey{provider, name}, resources: map[schema.GroupVersionResource]bool{}, bound: map[string]map[string]bool{}}
	for _, r := range resources {
		e.resources[r] = true
	}
	s.mu.Lock()
	s.exports[e.exportKey] = e
	s.mu.Unlock()
	s.mustCreate(provider, apiExports, map[string]any{"metadata": map[string]any{"name": name}})
	s.mustCreate(provider, endpointSlices, map[string]any{
		"metadata": map[string]any{"name": name},
		"spec":     map[string]any{"export": map[string]any{"name": name}},
		"status":   map[string]any{"endpoints": []any{map[string]any{"url": s.ExportURL(provider, name)}}},
	})
}

// ExportURL is the URL of the virtual workspace of an APIExport.
func (s *Server) ExportURL(provider, name string) string {
	return s.options.URL + "/services/apiexport/" + provider + "/" + name
}

// Bind makes an APIBinding of the export's name in a workspace (its name).
func (s *Server) Bind(workspace, provider, name string) {
	s.mu.Lock()
	path := s.workspaces[provider]
	s.mu.Unlock()
	if path == "" {
		path = provider
	}
	s.mustCreate(workspace, apiBindings, map[string]any{
		"metadata": map[string]any{"name": name},
		"spec":     map[string]any{"reference": map[string]any{"export": map[string]any{"path": path, "name": name}}},
		"status":   map[string]any{"phase": "Bound"},
	})
}

// serves reports whether a place has a resource: exported ones only where they are bound.
func (s *Server) serves(t *table, p place) bool {
	if p.export != nil {
		return p.export.serves(t.GroupVersionResource)
	}
	if p.cluster == "" || p.cluster == everywhere {
		return true
	}
	exported := false
	for _, e := range s.exports {
		if e.resources[t.GroupVersionResource] {
			exported = true
			if e.isBound(p.cluster) {
				return true
			}
		}
	}
	return !exported
}

// bound is the export that an APIBinding is about; nil if there is none.
func (s *Server) bound(o *Object) *export {
	var binding struct {
		Spec struct {
			Reference struct{ Export struct{ Path, Name string } }
		}
	}
	if err := json.Unmarshal(o.JSON(), &binding); err != nil {
		return nil // not one that a real server would have taken
	}
	from := binding.Spec.Reference.Export
	provider := o.Cluster
	if from.Path != "" {
		provider = s.name(from.Path)
	}
	return s.exports[exportKey{provider, from.Name}]
}

// bind lets the logical cluster of an APIBinding in.
func (s *Server) bind(o *Object) {
	e := s.bound(o)
	if e == nil {
		return
	}
	if e.bound[o.Cluster] == nil {
		e.bound[o.Cluster] = map[string]bool{}
	}
	e.bound[o.Cluster][o.Meta.Name] = true
}

// unbind takes that back. With the last APIBinding the bound objects go, while they can still be seen.
func (s *Server) unbind(o *Object) {
	e := s.bound(o)
	if e == nil || !e.bound[o.Cluster][o.Meta.Name] {
		return
	}
	if len(e.bound[o.Cluster]) > 1 {
		delete(e.bound[o.Cluster], o.Meta.Name)
		return
	}
	for r := range e.resources {
		if t := s.tables[r]; t != nil {
			for _, o := range t.find(scope{place: place{cluster: o.Cluster}}) {
				s.remove(t, o, Write{Verb: "delete"})
			}
		}
	}
	delete(e.bound, o.Cluster)
}

// through are the exports with virtual workspaces that show an object now.
func (s *Server) through(t *table, cluster string) []*export {
	var all []*export
	for _, e := range s.exports {
		if e.isBound(cluster) && e.serves(t.GroupVersionResource) {
			all = append(all, e)
		}
	}
	return all
}
