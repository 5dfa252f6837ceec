// Package topology names the clusters that the sandbox's parts work on, wherever they run.
package topology

import (
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// Workspace is a logical cluster upstream. Config leads into it.
type Workspace struct {
	Name   string // a name or a path, such as root:team-a
	Config *rest.Config
}

// SyncTarget is a physical cluster, downstream.
type SyncTarget struct {
	Name    string
	Cluster string // the logical cluster of the SyncTarget object
	UID     types.UID
	Config  *rest.Config
}
