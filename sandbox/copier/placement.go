package copier

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/sandbox/topology"
)

// Place places an upstream object on exactly these SyncTargets.
func Place(ctx context.Context, w topology.Workspace, resource schema.GroupVersionResource, namespace, name string, targets ...topology.SyncTarget) error {
	client, err := dynamic.NewForConfig(w.Config)
	if err != nil {
		return fmt.Errorf("workspace %s: %w", w.Name, err)
	}
	objects := client.Resource(resource).Namespace(namespace)
	object, err := objects.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("placing %s/%s: %w", namespace, name, err)
	}
	labels := map[string]any{}
	for label := range object.GetLabels() {
		if strings.HasPrefix(label, locator.PlacementPrefix) {
			labels[label] = nil
		}
	}
	for label, value := range Placement(targets...) {
		labels[label] = value
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels}})
	if err != nil {
		return fmt.Errorf("placing %s/%s: %w", namespace, name, err)
	}
	if _, err := objects.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("placing %s/%s: %w", namespace, name, err)
	}
	return nil
}
