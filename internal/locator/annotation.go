package locator

import (
	"encoding/json"

	"github.com/upstreamd/upstreamd/internal/ref"
)

const (
	locatorAnnotation = "kcp.io/namespace-locator"
	clusterLabel      = "internal.workload.kcp.io/cluster" // on downstream objects: the key of their SyncTarget
	tenantLabel       = "kcp.io/tenant-id"
)

// annotation is kcp's namespace locator. Its JSON, with the members in this order and without spaces, is hashed.
type annotation struct {
	SyncTarget annotatedTarget `json:"syncTarget"`
	Cluster    string          `json:"cluster"`
	Namespace  string          `json:"namespace"` // empty: of a cluster-scoped object
}

type annotatedTarget struct {
	Path    string `json:"path,omitempty"` // in place of Cluster in kcp v0.6 and older
	Cluster string `json:"cluster,omitempty"`
	Name    string `json:"name"`
	UID     string `json:"uid"`
}

func (a annotation) String() string {
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // strings always have a JSON form
	}
	return string(b)
}

// namespaceName is the name of the downstream Namespace with this locator.
func namespaceName(locator string) string { return "kcp-" + sum(locator, 36)[:12] }

// tenantID is the label value that all Namespaces of one workspace on one SyncTarget share.
func (a annotation) tenantID() string {
	a.Namespace = ""
	return sum(a.String(), 62)
}

// fromAnnotation reads a locator, if there is one. It is taken only if it is written exactly as kcp writes it: were there several ways
// to write it, there would be several names for one upstream namespace.
func (r *Resolver) fromAnnotation(l *Location, annotations map[string]string) (claimed bool, err error) {
	raw, ok := annotations[locatorAnnotation]
	if !ok {
		return false, nil
	}
	var a annotation
	if err := json.Unmarshal([]byte(raw), &a); err != nil || a.String() != raw {
		return true, refuse(Malformed, "the annotation %s is not written as kcp writes it", locatorAnnotation)
	}
	cluster := a.SyncTarget.Cluster
	if cluster == "" {
		cluster = a.SyncTarget.Path
	} else if a.SyncTarget.Path != "" {
		return true, refuse(Malformed, "the annotation %s has both cluster and path of the SyncTarget", locatorAnnotation)
	}
	if cluster == "" || cluster != r.target.Cluster || a.SyncTarget.Name != string(r.target.Name) || r.target.UID != "" && a.SyncTarget.UID != r.target.UID {
		return true, refuse(OtherSyncTarget, "the locator names the SyncTarget %.100q in %.100q with the UID %.100q, not this one",
			a.SyncTarget.Name, cluster, a.SyncTarget.UID)
	}
	if !validWorkspace(a.Cluster) || a.Namespace != "" && !validNamespace(a.Namespace) {
		return true, refuse(BadName, "the locator names the namespace %.100q in the workspace %.100q", a.Namespace, a.Cluster)
	}
	l.workspace, l.namespace = ref.Workspace(a.Cluster), a.Namespace
	return true, nil
}

func (r *Resolver) annotationFor(w ref.Workspace, namespace string) annotation {
	return annotation{
		SyncTarget: annotatedTarget{Cluster: r.target.Cluster, Name: string(r.target.Name), UID: r.target.UID},
		Cluster:    string(w),
		Namespace:  namespace,
	}
}
