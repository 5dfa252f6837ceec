package discovery

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// aggregated requests all kinds in one document. Servers without it answer with a list of versions.
const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"

// Server is an API server, or one workspace of it.
type Server struct {
	Conn   *client.Conn
	Prefix string // path of the workspace below the connection's; empty: none
}

// Kind is a kind in one version, as a server serves it.
type Kind struct {
	ref.Resource
	Watched bool // it can be listed and watched
	Status  bool // its status can be patched, as a subresource
}

// Serves reports whether the server serves r. It is false only if the server itself answers so, by a list that lacks it: a proxy's answer
// is an error. A kcp answers 403 for a group that it does not serve, and its list of groups lacks the group.
func (s Server) Serves(ctx context.Context, r ref.Resource) (bool, error) {
	list, err := s.resources(ctx, r.GroupVersion())
	if err == nil {
		return slices.ContainsFunc(list, func(a resource) bool { return a.Name == r.Resource }), nil
	}
	if !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return false, err
	}
	versions, failed := s.versions(ctx, r.Group == "")
	if failed != nil {
		return false, failed
	}
	if slices.Contains(versions, r.GroupVersion()) {
		return false, fmt.Errorf("discover %s, which is named: %w", r.GroupVersion(), err)
	}
	return false, nil
}

// Kinds lists all that the server serves, in each version, the preferred version of a group first.
func (s Server) Kinds(ctx context.Context) ([]Kind, error) {
	var kinds []Kind
	for _, core := range []bool{true, false} {
		some, err := s.kinds(ctx, core)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, some...)
	}
	return kinds, nil
}

// root is the path that lists the versions of the core group, or of all others.
func root(core bool) string {
	if core {
		return "/api"
	}
	return "/apis"
}

func (s Server) kinds(ctx context.Context, core bool) ([]Kind, error) {
	var all struct {
		Kind  string
		Items bounded[aggregatedGroup]
	}
	err := s.document(ctx, root(core), aggregated, &all)
	if core && apierrors.IsNotFound(err) {
		return nil, nil // the virtual workspace of an APIExport without core kinds
	}
	if err != nil {
		return nil, fmt.Errorf("discover %s: %w", root(core), err)
	}
	if all.Kind == "APIGroupDiscoveryList" {
		return ofGroups(all.Items), nil
	}
	versions, err := s.versions(ctx, core)
	if err != nil {
		return nil, err
	}
	var kinds []Kind
	for _, gv := range versions {
		list, err := s.resources(ctx, gv)
		if err != nil {
			return nil, err
		}
		if kinds = append(kinds, ofVersion(gv, list)...); len(kinds) > maxElements {
			return nil, fmt.Errorf("discover %s: %w", root(core), errTooMany)
		}
	}
	return kinds, nil
}

func ofGroups(groups []aggregatedGroup) []Kind {
	var kinds []Kind
	for _, group := range groups {
		for _, version := range group.Versions {
			for _, r := range version.Resources {
				kinds = append(kinds, Kind{
					Resource: ref.Resource{Group: group.Metadata.Name, Version: version.Version, Resource: r.Resource},
					Watched:  r.Verbs.list && r.Verbs.watch,
					Status:   slices.ContainsFunc(r.Subresources, func(s aggregatedSubresource) bool { return s.Subresource == "status" && s.Verbs.patch }),
				})
			}
		}
	}
	return kinds
}

func ofVersion(gv schema.GroupVersion, list []resource) []Kind {
	patched := map[string]bool{}
	for _, r := range list {
		if r.Verbs.patch {
			patched[r.Name] = true
		}
	}
	var kinds []Kind
	for _, r := range list {
		if strings.Contains(r.Name, "/") {
			continue
		}
		kinds = append(kinds, Kind{
			Resource: gv.WithResource(r.Name),
			Watched:  r.Verbs.list && r.Verbs.watch,
			Status:   patched[r.Name+"/status"],
		})
	}
	return kinds
}

// versions are the group versions that the server names, the preferred one of a group first.
func (s Server) versions(ctx context.Context, core bool) ([]schema.GroupVersion, error) {
	var list struct {
		Kind     string
		Versions bounded[string] // of the core group
		Groups   bounded[group]
	}
	if err := s.document(ctx, root(core), "", &list); err != nil {
		return nil, fmt.Errorf("discover %s: %w", root(core), err)
	}
	if list.Kind != "APIVersions" && list.Kind != "APIGroupList" {
		return nil, fmt.Errorf("discover %s: %w", root(core), errNoDocument)
	}
	var versions []schema.GroupVersion
	for _, v := range list.Versions {
		versions = append(versions, schema.GroupVersion{Version: v})
	}
	for _, g := range list.Groups {
		if g.PreferredVersion.Version != "" {
			versions = append(versions, schema.GroupVersion{Group: g.Name, Version: g.PreferredVersion.Version})
		}
		for _, v := range g.Versions {
			if v.Version != g.PreferredVersion.Version {
				versions = append(versions, schema.GroupVersion{Group: g.Name, Version: v.Version})
			}
		}
	}
	return versions, nil
}

func (s Server) resources(ctx context.Context, gv schema.GroupVersion) ([]resource, error) {
	var list struct {
		Kind      string
		Resources bounded[resource]
	}
	if err := s.document(ctx, client.GroupVersionPath(gv.Group, gv.Version), "", &list); err != nil {
		return nil, fmt.Errorf("discover %s: %w", gv, err)
	}
	if list.Kind != "APIResourceList" {
		return nil, fmt.Errorf("discover %s: %w", gv, errNoDocument)
	}
	return list.Resources, nil
}
