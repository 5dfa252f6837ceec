package copier

import (
	"fmt"
	"strings"

	"github.com/upstreamd/upstreamd/sandbox/topology"
)

// Style says how namespaces are mapped on the way down.
type Style int

const (
	// NamespaceLocator is kcp's way: hashed namespace names, and an annotation that says what they stand for.
	NamespaceLocator Style = iota
	// Prefix names namespaces kcp-<workspace>-<namespace> and marks nothing. It needs workspaces without colons in their names.
	Prefix
)

const placementDomain = "state.workload.kcp.io/"

// PlacementLabel is the label that places an object on a SyncTarget; its value must be Sync.
func PlacementLabel(t topology.SyncTarget) string { return placementDomain + key(t) }

// Placement are the labels that place an object on SyncTargets.
func Placement(targets ...topology.SyncTarget) map[string]string {
	labels := map[string]string{}
	for _, t := range targets {
		labels[PlacementLabel(t)] = "Sync"
	}
	return labels
}

// marks are what the way down puts on copies and on their namespaces.
type marks struct {
	namespaceName                           string // empty for cluster-scoped objects
	namespaceLabels, objectLabels           map[string]string
	namespaceAnnotations, objectAnnotations map[string]string
}

func (t *target) marks(workspace, namespace string) (marks, error) {
	if t.options.Style == Prefix {
		return prefixMarks(workspace, namespace)
	}
	return t.locatorMarks(workspace, namespace)
}

func (t *target) namespaceOf(workspace, namespace string) (string, error) {
	m, err := t.marks(workspace, namespace)
	return m.namespaceName, err
}

func prefixMarks(workspace, namespace string) (marks, error) {
	if strings.Contains(workspace, ":") {
		return marks{}, fmt.Errorf("workspace %s cannot be part of a namespace's name: the prefix style needs names, not paths", workspace)
	}
	if namespace == "" {
		return marks{}, nil
	}
	return marks{namespaceName: "kcp-" + workspace + "-" + namespace}, nil
}
