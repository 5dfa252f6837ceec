package memapi

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kcp-dev/logicalcluster/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// everywhere is the wildcard that stands for all logical clusters, which the plain cluster is none of.
const everywhere = "*"

const pathAnnotation = "kcp.io/path"

var (
	namespaces      = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	crds            = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	logicalClusters = schema.GroupVersionResource{Group: "core.kcp.io", Version: "v1alpha1", Resource: "logicalclusters"}
	apiExports      = schema.GroupVersionResource{Group: "apis.kcp.io", Version: "v1alpha1", Resource: "apiexports"}
	endpointSlices  = schema.GroupVersionResource{Group: "apis.kcp.io", Version: "v1alpha1", Resource: "apiexportendpointslices"}
	apiBindings     = schema.GroupVersionResource{Group: "apis.kcp.io", Version: "v1alpha1", Resource: "apibindings"}
)

// AddWorkspace makes a logical cluster, known by its name and, if it has one, by its path, with the Namespace default in it.
func (s *Server) AddWorkspace(name, path string) {
	s.mu.Lock()
	s.workspaces[name] = path
	if path != "" {
		s.paths[path] = name
	}
	s.mu.Unlock()
	s.createDefaultNamespace(name)
	s.mustCreate(name, logicalClusters, map[string]any{
		"metadata": map[string]any{"name": "cluster", "annotations": map[string]any{pathAnnotation: path}},
		"status":   map[string]any{"phase": "Ready"},
	})
}

// RemoveWorkspace deletes a logical cluster with everything in it.
func (s *Server) RemoveWorkspace(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.paths, s.workspaces[name])
	delete(s.workspaces, name)
	for _, t := range s.tables {
		for _, o := range t.find(scope{place: place{cluster: name}}) {
			s.remove(t, o, Write{Verb: "delete"})
		}
	}
}

// createDefaultNamespace does so where Namespaces are served.
func (s *Server) createDefaultNamespace(cluster string) {
	s.mustCreate(cluster, namespaces, map[string]any{"metadata": map[string]any{"name": metav1.NamespaceDefault}})
}

// mustCreate creates objects of the server itself, with their status. It skips kinds that are not served and objects that exist.
func (s *Server) mustCreate(cluster string, r schema.GroupVersionResource, members map[string]any) {
	s.mu.Lock()
	t := s.tables[r]
	s.mu.Unlock()
	if t == nil {
		return
	}
	o, err := parse(encode(members))
	if err == nil {
		if err = s.born(t, target{place: place{cluster: cluster}}, o); err == nil {
			s.commit(t, nil, o, Write{Verb: "create"})
			return
		}
	}
	panic(fmt.Sprintf("memapi: creating %s: %v", r.Resource, err))
}

// react imitates the controllers of a real server when certain objects come and go. It runs under the lock.
func (s *Server) react(t *table, kind watch.EventType, o *Object) {
	gone := kind == watch.Deleted
	switch t.GroupVersionResource {
	case namespaces:
		if gone {
			s.empty(o.Cluster, o.Meta.Name)
		}
	case crds:
		s.define(o, gone)
	case apiBindings:
		if gone {
			s.unbind(o)
		} else if o.Status == nil {
			bound := o.clone()
			bound.settled = true
			bound.Status = []byte(`{"phase":"Bound"}`)
			s.put(t, o, bound, Write{Verb: "update", Subresource: "status"})
		}
	}
}

// empty deletes all objects of a Namespace, in spite of finalizers.
func (s *Server) empty(cluster, namespace string) {
	for _, t := range s.tables {
		if t.Namespaced {
			for _, o := range t.find(scope{place: place{cluster: cluster}, namespace: namespace}) {
				s.remove(t, o, Write{Verb: "delete"})
			}
		}
	}
}

// define serves the versions of a CustomResourceDefinition in all clusters, and sets its status.
func (s *Server) define(o *Object, gone bool) {
	var crd struct {
		Spec struct {
			Group, Scope string
			Names        struct{ Plural, Kind string }
			Versions     []struct {
				Name         string
				Served       bool
				Subresources struct{ Status *struct{} }
				Schema       struct{ OpenAPIV3Schema json.RawMessage }
			}
		}
	}
	if err := json.Unmarshal(o.JSON(), &crd); err != nil {
		return // not one that a real server would have taken
	}
	for _, v := range crd.Spec.Versions {
		r := Resource{
			GroupVersionResource: schema.GroupVersionResource{Group: crd.Spec.Group, Version: v.Name, Resource: crd.Spec.Names.Plural},
			Kind:                 crd.Spec.Names.Kind, Namespaced: crd.Spec.Scope == "Namespaced", Status: v.Subresources.Status != nil,
			Schema: v.Schema.OpenAPIV3Schema,
		}
		if gone {
			s.removeResource(r.GroupVersionResource)
			continue
		}
		s.addResource(r)
		t := s.tables[r.GroupVersionResource]
		t.defined, t.Schema = true, r.Schema
		t.withhold(!v.Served)
	}
	if gone || o.Status != nil {
		return
	}
	established := o.clone()
	established.settled = true
	established.Status = []byte(`{"conditions":[{"type":"NamesAccepted","status":"True"},{"type":"Established","status":"True"}]}`)
	s.put(s.tables[crds], o, established, Write{Verb: "update", Subresource: "status"})
}

// there reports whether a logical cluster exists; the plain one always does.
func (s *Server) there(cluster string) bool {
	_, known := s.workspaces[cluster]
	return known || cluster == ""
}

// name resolves the path of a workspace; a name stays itself.
func (s *Server) name(nameOrPath string) string {
	if name, ok := s.paths[nameOrPath]; ok {
		return name
	}
	return nameOrPath
}

// annotate sets the kcp.io/cluster annotation of an object, over any value from the client.
func annotate(m *metav1.ObjectMeta, cluster string) {
	if cluster == "" || m.Annotations[logicalcluster.AnnotationKey] == cluster {
		return
	}
	annotations := map[string]string{logicalcluster.AnnotationKey: cluster}
	for k, v := range m.Annotations {
		if k != logicalcluster.AnnotationKey {
			annotations[k] = v
		}
	}
	m.Annotations = annotations
}

// isPath tells paths from names of logical clusters.
func isPath(cluster string) bool { return strings.Contains(cluster, ":") }

// namespaceThere reports whether objects may be created in a Namespace. Servers without Namespaces have none that could be missing.
func (s *Server) namespaceThere(cluster, namespace string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[namespaces]
	return t == nil || t.objects[cluster][types.NamespacedName{Name: namespace}] != nil
}
