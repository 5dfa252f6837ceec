package copier

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/sandbox/topology"
)

// The styles map namespaces to the SyncTarget and mark copies with their upstream object.
const (
	NamespaceLocator = locator.NamespaceLocator // kcp's: hashed namespaces with an annotation
	Prefix           = locator.Prefix           // namespaces kcp-<workspace>-<namespace>, no annotations
	SyncAgent        = locator.SyncAgent        // api-syncagent's: labels on objects
)

// PlacementLabel is the label that places an object on a SyncTarget; its value must be Sync.
func PlacementLabel(t topology.SyncTarget) string {
	return locator.PlacementLabel(locator.Key(t.Cluster, t.Name))
}

// Placement are the labels that place an object on SyncTargets.
func Placement(targets ...topology.SyncTarget) map[string]string {
	labels := map[string]string{}
	for _, t := range targets {
		labels[PlacementLabel(t)] = "Sync"
	}
	return labels
}

// resolver returns the resolver for the names on the SyncTarget.
func resolver(t topology.SyncTarget, o Options) (*locator.Resolver, error) {
	style := o.Style
	if style == "" {
		style = NamespaceLocator
	}
	target := locator.Target{Name: ref.SyncTarget(t.Name), Cluster: t.Cluster, UID: string(t.UID)}
	for _, w := range o.Workspaces {
		target.Workspaces = append(target.Workspaces, ref.Workspace(w.Name))
	}
	return locator.New([]string{style}, target)
}

// upstreamRef returns the upstream object of an item.
func (i item) upstreamRef() ref.Upstream {
	return ref.Upstream{Workspace: ref.Workspace(i.source.workspace), Namespace: i.namespace, Name: i.name}
}

// CopyName returns the namespace and name of an upstream object's copy on a SyncTarget. The copy need not exist.
func (c *Copier) CopyName(syncTarget, workspace string, resource schema.GroupVersionResource, namespace, name string) (copyNamespace, copyName string, err error) {
	c.mu.Lock()
	t := c.targets[syncTarget]
	c.mu.Unlock()
	if t == nil {
		return "", "", fmt.Errorf("the copier serves no SyncTarget %s", syncTarget)
	}
	down, err := t.names.DownObject(resource, ref.Upstream{Workspace: ref.Workspace(workspace), Namespace: namespace, Name: name})
	return down.Namespace, down.Name, err
}
