package copier

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// plan is the desired state of one copy.
type plan struct {
	object    *unstructured.Unstructured
	namespace *unstructured.Unstructured // nil for cluster-scoped objects
	digest    digest
}

type digest = [sha256.Size]byte

// wants reports whether the object is placed on the SyncTarget and not being deleted.
func (t *target) wants(object *unstructured.Unstructured) bool {
	return object.GetDeletionTimestamp() == nil && object.GetLabels()[PlacementLabel(t.SyncTarget)] == "Sync"
}

// plan returns the copy of an upstream object: the user's fields, and the spec syncer's labels and annotations.
func (t *target) plan(i item, upstream *unstructured.Unstructured) (plan, error) {
	down, err := t.names.DownObject(i.resource, i.upstreamRef())
	if err != nil {
		return plan{}, err
	}
	object := &unstructured.Unstructured{Object: map[string]any{}}
	for field, value := range upstream.Object {
		if field != "metadata" && field != "status" {
			object.Object[field] = value
		}
	}
	object = object.DeepCopy()
	dropAssigned(object)
	object.SetName(down.Name)
	object.SetNamespace(down.Namespace)
	object.SetLabels(merged(users(upstream.GetLabels()), down.Labels))
	annotations := merged(users(upstream.GetAnnotations()), down.Annotations)
	if !t.options.OmitGeneration {
		annotations[evidence.GenerationAnnotations[0]] = strconv.FormatInt(upstream.GetGeneration(), 10)
	}
	object.SetAnnotations(annotations)

	content, err := object.MarshalJSON()
	if err != nil {
		return plan{}, fmt.Errorf("encoding the copy: %w", err)
	}
	made := plan{object: object, digest: sha256.Sum256(content)}
	if down.Namespace != "" {
		made.namespace, err = t.namespaceFor(i)
	}
	return made, err
}

func (t *target) namespaceFor(i item) (*unstructured.Unstructured, error) {
	down, err := t.names.DownNamespace(ref.Workspace(i.source.workspace), i.namespace)
	if err != nil {
		return nil, err
	}
	namespace := &unstructured.Unstructured{}
	namespace.SetAPIVersion("v1")
	namespace.SetKind("Namespace")
	namespace.SetName(down.Name)
	namespace.SetLabels(down.Labels)
	namespace.SetAnnotations(down.Annotations)
	return namespace, nil
}

// dropAssigned removes the fields that the upstream API server or scheduler assigned: the SyncTarget's must assign its own.
func dropAssigned(object *unstructured.Unstructured) {
	switch object.GroupVersionKind().GroupKind().String() {
	case "Service":
		for _, field := range []string{"clusterIP", "clusterIPs", "healthCheckNodePort"} {
			unstructured.RemoveNestedField(object.Object, "spec", field)
		}
		ports, _, _ := unstructured.NestedSlice(object.Object, "spec", "ports") // typed server: a list of objects, or absent
		for _, port := range ports {
			if port, ok := port.(map[string]any); ok {
				delete(port, "nodePort")
			}
		}
		if ports != nil {
			_ = unstructured.SetNestedSlice(object.Object, ports, "spec", "ports")
		}
	case "Pod":
		unstructured.RemoveNestedField(object.Object, "spec", "nodeName")
	case "Job.batch":
		if manual, _, _ := unstructured.NestedBool(object.Object, "spec", "manualSelector"); manual {
			return
		}
		unstructured.RemoveNestedField(object.Object, "spec", "selector")
		for _, label := range []string{"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"} {
			unstructured.RemoveNestedField(object.Object, "spec", "template", "metadata", "labels", label)
		}
	}
}

// users keeps the user's labels or annotations: placement and kubectl's bookkeeping stay upstream.
func users(all map[string]string) map[string]string {
	kept := maps.Clone(all)
	maps.DeleteFunc(kept, func(key, _ string) bool {
		return strings.HasPrefix(key, locator.PlacementPrefix) || strings.HasPrefix(key, "internal.workload.kcp.io/") ||
			strings.HasPrefix(key, "kcp.io/") || key == "kubectl.kubernetes.io/last-applied-configuration"
	})
	return kept
}

func merged(a, b map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}
