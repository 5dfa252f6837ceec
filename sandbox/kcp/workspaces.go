package kcp

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

var (
	logicalClusters = schema.GroupVersionResource{Group: "core.kcp.io", Version: "v1alpha1", Resource: "logicalclusters"}
	workspaces      = schema.GroupVersionResource{Group: "tenancy.kcp.io", Version: "v1alpha1", Resource: "workspaces"}
	schemas         = schema.GroupVersionResource{Group: "apis.kcp.io", Version: "v1alpha1", Resource: "apiresourceschemas"}
	exports         = schema.GroupVersionResource{Group: "apis.kcp.io", Version: "v1alpha1", Resource: "apiexports"}
	endpointSlices  = schema.GroupVersionResource{Group: "apis.kcp.io", Version: "v1alpha1", Resource: "apiexportendpointslices"}
	bindings        = schema.GroupVersionResource{Group: "apis.kcp.io", Version: "v1alpha1", Resource: "apibindings"}
)

// Workspace is a logical cluster.
type Workspace struct{ Name, Path string }

// AddWorkspace creates the workspace root:<name>, and returns when it is ready.
func (k *KCP) AddWorkspace(ctx context.Context, name string) (Workspace, error) {
	if err := k.create(ctx, "root", workspaces, "Workspace", name, map[string]any{}); err != nil {
		return Workspace{}, err
	}
	w := Workspace{Path: "root:" + name}
	err := k.await(ctx, "workspace "+w.Path+" is ready", func() (bool, error) {
		o, err := k.get(ctx, "root", workspaces, name)
		if err != nil {
			return false, err
		}
		phase, _, _ := unstructured.NestedString(o.Object, "status", "phase")
		w.Name, _, _ = unstructured.NestedString(o.Object, "spec", "cluster")
		return phase == "Ready" && w.Name != "", nil
	})
	return w, err
}

// AddExport creates an APIExport in a workspace, of one namespaced kind with a status subresource and a schema that keeps all fields
// of spec and status.
func (k *KCP) AddExport(ctx context.Context, provider Workspace, name string, r schema.GroupVersionResource, kind string) error {
	open := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	schemaName := "v1." + r.Resource + "." + r.Group
	err := k.create(ctx, provider.Path, schemas, "APIResourceSchema", schemaName, map[string]any{
		"group": r.Group, "scope": "Namespaced",
		"names": map[string]any{"plural": r.Resource, "singular": lower(kind), "kind": kind, "listKind": kind + "List"},
		"versions": []any{map[string]any{
			"name": r.Version, "served": true, "storage": true, "subresources": map[string]any{"status": map[string]any{}},
			"schema": map[string]any{"type": "object", "properties": map[string]any{"spec": open, "status": open}},
		}},
	})
	if err != nil {
		return err
	}
	return k.create(ctx, provider.Path, exports, "APIExport", name, map[string]any{"latestResourceSchemas": []any{schemaName}})
}

// Bind binds a workspace to an APIExport, and returns when the APIBinding is bound.
func (k *KCP) Bind(ctx context.Context, w, provider Workspace, export string) error {
	err := k.create(ctx, w.Path, bindings, "APIBinding", export, map[string]any{
		"reference": map[string]any{"export": map[string]any{"path": provider.Path, "name": export}},
	})
	if err != nil {
		return err
	}
	return k.await(ctx, w.Path+" is bound to "+export, func() (bool, error) {
		o, err := k.get(ctx, w.Path, bindings, export)
		if err != nil {
			return false, err
		}
		phase, _, _ := unstructured.NestedString(o.Object, "status", "phase")
		return phase == "Bound", nil
	})
}

// ExportURL waits for the URL of an APIExport's virtual workspace. kcp publishes it once a workspace is bound.
func (k *KCP) ExportURL(ctx context.Context, provider Workspace, export string) (string, error) {
	var url string
	err := k.await(ctx, "the URL of "+export+" is known", func() (bool, error) {
		o, err := k.get(ctx, provider.Path, endpointSlices, export)
		if err != nil {
			return false, err
		}
		endpoints, _, _ := unstructured.NestedSlice(o.Object, "status", "endpoints")
		if len(endpoints) == 0 {
			return false, errors.New("no endpoints yet")
		}
		endpoint, _ := endpoints[0].(map[string]any)
		url, _ = endpoint["url"].(string)
		return url != "", nil
	})
	return url, err
}

// create creates a cluster-scoped object in a workspace, or keeps an existing one.
func (k *KCP) create(ctx context.Context, workspace string, r schema.GroupVersionResource, kind, name string, spec map[string]any) error {
	client, err := dynamic.NewForConfig(k.WorkspaceConfig(workspace))
	if err != nil {
		return err
	}
	o := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	o.SetGroupVersionKind(r.GroupVersion().WithKind(kind))
	o.SetName(name)
	var refused error
	// A new workspace may not serve its kinds at once.
	err = k.await(ctx, fmt.Sprintf("%s %s is created in %s", kind, name, workspace), func() (bool, error) {
		_, err := client.Resource(r).Create(ctx, o, metav1.CreateOptions{})
		switch {
		case apierrors.IsAlreadyExists(err):
			return true, nil
		case apierrors.IsInvalid(err), apierrors.IsBadRequest(err): // a retry does not help
			refused = err
			return true, nil
		}
		return err == nil, err
	})
	return errors.Join(err, refused)
}

func (k *KCP) get(ctx context.Context, workspace string, r schema.GroupVersionResource, name string) (*unstructured.Unstructured, error) {
	client, err := dynamic.NewForConfig(k.WorkspaceConfig(workspace))
	if err != nil {
		return nil, err
	}
	return client.Resource(r).Get(ctx, name, metav1.GetOptions{})
}

func lower(kind string) string { return string(kind[0]|0x20) + kind[1:] }
