package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/kcp-dev/logicalcluster/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// ErrUnknownResource is the error for a resource that a workspace does not serve (yet).
var ErrUnknownResource = errors.New("resource is not served")

// maxDocument bounds a discovery document, in bytes.
const maxDocument = 16 << 20

// Resolve asks the server for the logical cluster's name of each configured workspace. Without an answer (not a kcp, no
// permission, or the workspace is gone) the name stays as it was, at first as configured. The error joins those of workspaces that
// could not be asked; Resolve may be called again.
func (c *Client) Resolve(ctx context.Context) error {
	var failed []error
	for _, configured := range slices.Concat(c.served, c.alsoBound()) {
		if configured == string(All) {
			continue
		}
		name, err := c.resolve(ctx, configured)
		if err != nil {
			failed = append(failed, fmt.Errorf("workspace %s: %w", configured, err))
			continue
		}
		c.mu.Lock()
		if _, wanted := c.names[configured]; wanted { // else Bind has dropped it meanwhile
			c.names[configured] = name
		}
		c.mu.Unlock()
	}
	return errors.Join(failed...)
}

func (c *Client) resolve(ctx context.Context, configured string) (ref.Workspace, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	path := c.front.in(ref.Workspace(configured)).path + "/apis/core.kcp.io/v1alpha1/logicalclusters/cluster"
	resp, err := c.front.conn.Do(ctx, client.Request{Path: path})
	switch {
	case apierrors.IsNotFound(err) || apierrors.IsForbidden(err):
		return c.Name(configured), nil
	case err != nil:
		return "", err
	}
	defer client.Drain(resp.Body)
	o, err := lean.NewDecoder(resp.Body, ref.Want{Annotations: []string{logicalcluster.AnnotationKey}}, c.settings.Limits).Object()
	if err != nil {
		return "", client.Cause(ctx, err)
	}
	name := o.Annotations[logicalcluster.AnnotationKey]
	if path := logicalcluster.NewPath(name); !path.IsValid() || len(path.Base()) != len(name) {
		return c.Name(configured), nil
	}
	return ref.Workspace(name), nil
}

// Describe tells how r is served in a scope. The workspace is one of the scope's, or empty: then there is no schema where the scope has many.
func (c *Client) Describe(ctx context.Context, r ref.Resource, scope, workspace ref.Workspace) (ref.Description, error) {
	if scope == All && c.export == nil { // whether there is a status subresource may differ between workspaces: the first write shows it
		if _, err := c.inScope(scope); err != nil {
			return ref.Description{}, err
		}
		return c.describeIn(ctx, r, workspace)
	}
	d, served, err := c.resources(ctx, r, scope)
	if err != nil {
		return ref.Description{}, err
	}
	status := slices.IndexFunc(served, func(a metav1.APIResource) bool { return a.Name == r.Resource+"/status" })
	description := ref.Description{HasStatus: status >= 0 && slices.Contains(served[status].Verbs, "patch")}
	own := served[slices.IndexFunc(served, func(a metav1.APIResource) bool { return a.Name == r.Resource })]
	if description.Typed, err = c.typed(ctx, d, r, own.Kind); err != nil {
		return ref.Description{}, err
	}
	if c.export != nil {
		of, err := c.describeIn(ctx, r, workspace)
		description.Schema = of.Schema
		return description, err
	}
	description.Schema, err = c.schemas.status(ctx, c, d, r, own.Kind)
	return description, err
}

// describeIn reads the schema of r in a workspace of a scope of many.
func (c *Client) describeIn(ctx context.Context, r ref.Resource, workspace ref.Workspace) (ref.Description, error) {
	description := ref.Description{HasStatus: true}
	if workspace == "" {
		return description, nil
	}
	d, err := c.endpoint(workspace)
	if err != nil {
		return description, nil //nolint:nilerr // it has left meanwhile
	}
	var list metav1.APIResourceList
	if err := c.document(ctx, d, client.GroupVersionPath(r.Group, r.Version), &list); err != nil {
		return description, absent(err)
	}
	own := slices.IndexFunc(list.APIResources, func(a metav1.APIResource) bool { return a.Name == r.Resource })
	if own < 0 {
		return description, nil
	}
	description.Schema, err = c.schemas.status(ctx, c, d, r, list.APIResources[own].Kind)
	return description, err
}

// typed reports whether r is one of a kube-apiserver's own types, for which zero and absent fields are the same. The resources of
// the same names in kcp are not: there they come from an APIExport's schema, and values are stored as they are sent. Only kcp has
// scopes of many workspaces.
func (c *Client) typed(ctx context.Context, d endpoint, r ref.Resource, kind string) (bool, error) {
	if c.export != nil || !scheme.Scheme.Recognizes(r.GroupVersion().WithKind(kind)) {
		return false, nil
	}
	var groups metav1.APIGroupList
	if err := c.document(ctx, d, "/apis", &groups); err != nil {
		return false, fmt.Errorf("discover API groups: %w", err)
	}
	if slices.ContainsFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == apisGroup }) {
		return false, nil
	}
	return c.notCustom(ctx, d, r)
}

// notCustom reports whether no CustomResourceDefinition serves r. Without permission to read them it is true: on a kube-apiserver that
// serves a built-in group it is not a custom one.
func (c *Client) notCustom(ctx context.Context, d endpoint, r ref.Resource) (bool, error) {
	if r.Group == "" {
		return true, nil
	}
	crds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	path, err := client.ResourcePath(crds, "", r.Resource+"."+r.Group, "")
	if err != nil {
		return false, err
	}
	var crd metav1.PartialObjectMetadata
	err = c.document(ctx, d, path, &crd)
	switch {
	case err == nil:
		return false, nil
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return true, nil
	}
	return false, fmt.Errorf("look for a CustomResourceDefinition: %w", err)
}

// resources lists the resources of the group and version of r in a scope; r is among them.
func (c *Client) resources(ctx context.Context, r ref.Resource, scope ref.Workspace) (endpoint, []metav1.APIResource, error) {
	d, err := c.inScope(scope)
	if err != nil {
		return d, nil, err
	}
	if _, err := client.ResourcePath(r, "", "", ""); err != nil {
		return d, nil, err
	}
	var list metav1.APIResourceList
	err = c.document(ctx, d, client.GroupVersionPath(r.Group, r.Version), &list)
	if apierrors.IsNotFound(err) {
		return d, nil, fmt.Errorf("%w: %s", ErrUnknownResource, ref.ResourceString(r))
	}
	if err != nil {
		return d, nil, fmt.Errorf("discover %s: %w", r.GroupVersion(), err)
	}
	if !slices.ContainsFunc(list.APIResources, func(a metav1.APIResource) bool { return a.Name == r.Resource }) {
		return d, nil, fmt.Errorf("%w: %s", ErrUnknownResource, ref.ResourceString(r))
	}
	return d, list.APIResources, nil
}

// document reads one JSON document behind a endpoint.
func (c *Client) document(ctx context.Context, d endpoint, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := d.conn.Do(ctx, client.Request{Path: d.path + path})
	if err != nil {
		return err
	}
	defer client.Drain(resp.Body)
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxDocument)).Decode(into); err != nil {
		return fmt.Errorf("read %s: %w", path, client.Cause(ctx, err))
	}
	return nil
}
