package locator

import (
	"slices"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Selector is the server-side label selector that every object of ours fits, if all configured styles share one; else it is empty.
func (r *Resolver) Selector() string {
	if len(r.styles) != 1 { // selectors of different labels can't be joined by "or"
		return ""
	}
	switch r.styles[0] {
	case NamespaceLocator:
		return clusterLabel + "=" + r.key
	case SyncAgent:
		return agentClusterLabel
	}
	return ""
}

// Want selects the fields of objects that must be kept, with the Selector.
func (r *Resolver) Want() ref.Want {
	want := ref.Want{Selector: r.Selector()}
	if slices.Contains(r.styles, NamespaceLocator) {
		want.Labels = append(want.Labels, clusterLabel)
		want.Annotations = append(want.Annotations, locatorAnnotation)
	}
	if slices.Contains(r.styles, SyncAgent) {
		want.Labels = append(want.Labels, agentClusterLabel, agentNamespaceHashLabel, agentNameHashLabel)
		want.Annotations = append(want.Annotations, agentNamespaceAnnotation, agentNameAnnotation)
	}
	return want
}

// NamespaceWant selects the fields of Namespaces: all Namespaces, with their locators.
func (r *Resolver) NamespaceWant() ref.Want {
	if !slices.Contains(r.styles, NamespaceLocator) {
		return ref.Want{}
	}
	return ref.Want{Annotations: []string{locatorAnnotation}}
}
