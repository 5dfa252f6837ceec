// Package topology describes the workspaces and SyncTargets for copier, simulator and oracle.
package topology

import (
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// Workspace is an upstream logical cluster. Config connects to it.
type Workspace struct {
	Name   string // a name or a path, such as root:team-a
	Config *rest.Config
}

// SyncTarget is a downstream physical cluster.
type SyncTarget struct {
	Name    string
	Cluster string // the logical cluster of the SyncTarget object
	UID     types.UID
	Config  *rest.Config
}
