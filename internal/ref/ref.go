// Package ref holds the names that every stage shares, and the lean object that travels under them.
package ref

import (
	"fmt"

	"github.com/kcp-dev/logicalcluster/v3"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// SyncTarget names a physical cluster. It is the name of the connection, never a name that an object claims.
type SyncTarget string

// Workspace is the name of a logical cluster. On a plain Kubernetes hub it is empty.
type Workspace = logicalcluster.Name

// Resource is a group, version and plural resource name.
type Resource = schema.GroupVersionResource

// Downstream names an object of one resource within one SyncTarget. Namespace is empty for cluster-scoped objects.
type Downstream struct {
	Namespace, Name string
}

func (d Downstream) String() string {
	if d.Namespace == "" {
		return d.Name
	}
	return d.Namespace + "/" + d.Name
}

// Upstream names an object of one resource within all workspaces. Namespace is empty for cluster-scoped objects.
type Upstream struct {
	Workspace       Workspace
	Namespace, Name string
}

func (u Upstream) String() string {
	name := Downstream{Namespace: u.Namespace, Name: u.Name}.String()
	if u.Workspace == "" {
		return name
	}
	return fmt.Sprintf("%s|%s", u.Workspace, name)
}

// ResourceString is the form "deployments.v1.apps" ("pods.v1" for the core group), as logs and actor names use it.
func ResourceString(r Resource) string {
	if r.Group == "" {
		return r.Resource + "." + r.Version
	}
	return r.Resource + "." + r.Version + "." + r.Group
}
