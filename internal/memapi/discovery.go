package memapi

import (
	"net/http"
	"slices"
	"strings"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

// discovery answers requests that address no resource: discovery, OpenAPI, version and health.
func (x *exchange) discovery() error {
	d := x.documents
	if x.r.Method != http.MethodGet || len(d) == 0 {
		return errUnknownPath
	}
	served, below := x.s.served(x.place), d[1:]
	switch d[0] {
	case "readyz", "healthz", "livez":
		if err := x.begin(http.StatusOK, "text/plain; charset=utf-8"); err != nil {
			return err
		}
		return x.send([]byte("ok"))
	case "version":
		return x.document(version.Info{Major: "1", Minor: "37", GitVersion: "v1.37.2"})
	case "openapi":
		if len(below) > 0 && below[0] == "v3" {
			return x.openAPI(served, below[1:])
		}
	case "api":
		if len(below) == 1 {
			return x.groupVersion(served, schema.GroupVersion{Version: below[0]})
		}
		return x.groups(served, true)
	case "apis":
		return x.group(served, below)
	}
	return errUnknownPath
}

// group answers /apis, /apis/<group> and /apis/<group>/<version>.
func (x *exchange) group(served []Resource, path []string) error {
	switch len(path) {
	case 0:
		return x.groups(served, false)
	case 1:
		for _, g := range groups(served) {
			if g.Name == path[0] {
				g.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
				return x.document(g)
			}
		}
		return x.s.absent(x.place, schema.GroupVersion{Group: path[0]})
	}
	return x.groupVersion(served, schema.GroupVersion{Group: path[0], Version: path[1]})
}

func (x *exchange) document(v any) error { return x.answer(http.StatusOK, encode(v)) }

// aggregated is the form of a discovery document that names all resources at once. A kcp does not have it.
const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

func (x *exchange) groups(served []Resource, core bool) error {
	if !x.kcp() && strings.Contains(strings.ReplaceAll(x.r.Header.Get("Accept"), " ", ""), aggregated) {
		if err := x.begin(http.StatusOK, aggregated); err != nil {
			return err
		}
		return x.send(encode(aggregate(served, core)))
	}
	if core {
		return x.document(metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
	}
	return x.document(metav1.APIGroupList{
		TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: groups(served),
	})
}

func groups(served []Resource) []metav1.APIGroup {
	all := []metav1.APIGroup{}
	for _, r := range served {
		v := metav1.GroupVersionForDiscovery{GroupVersion: r.GroupVersion().String(), Version: r.Version}
		last := len(all) - 1
		switch {
		case r.Group == "":
		case last < 0 || all[last].Name != r.Group:
			all = append(all, metav1.APIGroup{Name: r.Group, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v})
		case !slices.Contains(all[last].Versions, v):
			all[last].Versions = append(all[last].Versions, v)
		}
	}
	return all
}

var (
	verbs       = metav1.Verbs{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
	statusVerbs = metav1.Verbs{"get", "patch", "update"}
)

func (x *exchange) groupVersion(served []Resource, gv schema.GroupVersion) error {
	list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String()}
	for _, r := range served {
		if r.GroupVersion() != gv {
			continue
		}
		own := metav1.APIResource{Name: r.Resource, SingularName: strings.ToLower(r.Kind), Namespaced: r.Namespaced, Kind: r.Kind, Verbs: verbs}
		list.APIResources = append(list.APIResources, own)
		if r.Status {
			own.Name, own.SingularName, own.Verbs = r.Resource+"/status", "", statusVerbs
			list.APIResources = append(list.APIResources, own)
		}
	}
	known := slices.ContainsFunc(served, func(r Resource) bool { return r.Group == gv.Group && x.s.defined(r) })
	switch {
	case len(list.APIResources) > 0:
	case x.workspace() && known: // a kcp answers an empty list for unknown versions of a group with CustomResourceDefinitions
		list.APIResources = []metav1.APIResource{}
	default:
		return x.s.absent(x.place, gv)
	}
	return x.document(list)
}

func aggregate(served []Resource, core bool) apidiscovery.APIGroupDiscoveryList {
	list := apidiscovery.APIGroupDiscoveryList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupDiscoveryList", APIVersion: "apidiscovery.k8s.io/v2"}}
	for _, r := range served {
		if core != (r.Group == "") {
			continue
		}
		group := last(&list.Items, func(g apidiscovery.APIGroupDiscovery) bool { return g.Name == r.Group })
		group.Name = r.Group
		version := last(&group.Versions, func(v apidiscovery.APIVersionDiscovery) bool { return v.Version == r.Version })
		version.Version, version.Freshness = r.Version, apidiscovery.DiscoveryFreshnessCurrent
		kind := &metav1.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind}
		own := apidiscovery.APIResourceDiscovery{
			Resource: r.Resource, ResponseKind: kind, Scope: apidiscovery.ScopeCluster, SingularResource: strings.ToLower(r.Kind), Verbs: verbs,
		}
		if r.Namespaced {
			own.Scope = apidiscovery.ScopeNamespace
		}
		if r.Status {
			own.Subresources = []apidiscovery.APISubresourceDiscovery{{Subresource: "status", ResponseKind: kind, Verbs: statusVerbs}}
		}
		version.Resources = append(version.Resources, own)
	}
	return list
}

// last is the last element if it is the wanted one, else a new one behind it.
func last[E any](all *[]E, wanted func(E) bool) *E {
	if n := len(*all); n == 0 || !wanted((*all)[n-1]) {
		var e E
		*all = append(*all, e)
	}
	return &(*all)[len(*all)-1]
}
