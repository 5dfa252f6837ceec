package memapi

import (
	"cmp"
	"encoding/json"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Options of a Server; zero values are the defaults.
type Options struct {
	Name      string     // seeds uids, and is the host in URLs; default "memapi". Servers that must not share uids have different names
	URL       string     // under which clients reach the server, for Config and APIExportEndpointSlices; default "http://<Name>"
	Resources []Resource // default Kubernetes()

	Window       int           // events kept per resource: a watch that lags further behind is ended; default 16384
	BookmarkEach time.Duration // between bookmarks of a watch; default 1 min
	WatchTimeout time.Duration // of watches that do not name one; default 45 min (real servers: 30 to 60 min)
	MaxBody      int64         // bytes of a request; default 3 MiB, as a kube-apiserver has it
	Skew         time.Duration // by which the server's clock is ahead: in Date headers, and in the times that it puts into objects

	// Fault decides the failure that is injected into a request. It is called once per request, first of all, on many goroutines at once.
	Fault func(*http.Request) Fault
	// OnWrite observes every change in the order of resourceVersions. It is called under the store's lock: it must not call the Server.
	OnWrite func(Write)
}

func (o Options) withDefaults() Options {
	o.Name = cmp.Or(o.Name, "memapi")
	o.URL = cmp.Or(o.URL, "http://"+o.Name)
	if o.Resources == nil {
		o.Resources = Kubernetes()
	}
	o.Window = cmp.Or(o.Window, 16384)
	o.BookmarkEach = cmp.Or(o.BookmarkEach, time.Minute)
	o.WatchTimeout = cmp.Or(o.WatchTimeout, 45*time.Minute)
	o.MaxBody = cmp.Or(o.MaxBody, 3<<20)
	return o
}

// Resource is one kind that is served.
type Resource struct {
	schema.GroupVersionResource

	Kind       string
	Namespaced bool
	Status     bool // has a status subresource
	// Typed kinds behave as the compiled-in ones of a kube-apiserver: objects go through the Go types of k8s.io/api (unknown fields are
	// pruned, empty ones vanish or appear), some statuses are refused, and keyed lists have owners per item. Others behave as custom
	// resources with a schema that admits everything.
	Typed bool
	// Unnumbered kinds have no metadata.generation.
	Unnumbered bool
	// Schema is the openAPIV3Schema of a kind that is not Typed, as JSON, published by /openapi/v3. Nil admits all fields. Objects are not
	// validated against it.
	Schema json.RawMessage
}

// GroupKind of the resource.
func (r Resource) GroupKind() schema.GroupKind { return schema.GroupKind{Group: r.Group, Kind: r.Kind} }

func (r Resource) gvk() schema.GroupVersionKind { return r.GroupVersion().WithKind(r.Kind) }

// base are the kinds that every server has, kcp too.
func base() []Resource {
	return []Resource{
		compiled("", "v1", "namespaces", "Namespace", clusterScoped, hasStatus, unnumbered),
		compiled("", "v1", "secrets", "Secret", unnumbered),
		compiled("", "v1", "configmaps", "ConfigMap", unnumbered),
		compiled("coordination.k8s.io", "v1", "leases", "Lease", unnumbered),
		custom("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", clusterScoped, hasStatus),
	}
}

func workloads() []Resource {
	return []Resource{
		compiled("", "v1", "pods", "Pod", hasStatus),
		compiled("", "v1", "services", "Service", hasStatus, unnumbered),
		compiled("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", hasStatus, unnumbered),
		compiled("", "v1", "resourcequotas", "ResourceQuota", hasStatus, unnumbered),
		compiled("apps", "v1", "deployments", "Deployment", hasStatus),
		compiled("apps", "v1", "statefulsets", "StatefulSet", hasStatus),
		compiled("apps", "v1", "daemonsets", "DaemonSet", hasStatus),
		compiled("apps", "v1", "replicasets", "ReplicaSet", hasStatus),
		compiled("batch", "v1", "jobs", "Job", hasStatus),
		compiled("batch", "v1", "cronjobs", "CronJob", hasStatus),
		compiled("networking.k8s.io", "v1", "ingresses", "Ingress", hasStatus),
		compiled("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", hasStatus),
		compiled("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", hasStatus, unnumbered),
	}
}

// Kubernetes are the resources of a plain cluster.
func Kubernetes() []Resource { return append(base(), workloads()...) }

// KCP are the resources of a kcp: its own kinds, and the workload kinds as an APIExport brings them, which are stored as custom
// resources.
func KCP() []Resource {
	all := append(base(),
		custom("core.kcp.io", "v1alpha1", "logicalclusters", "LogicalCluster", clusterScoped, hasStatus),
		custom("apis.kcp.io", "v1alpha1", "apiexports", "APIExport", clusterScoped, hasStatus),
		custom("apis.kcp.io", "v1alpha1", "apiexportendpointslices", "APIExportEndpointSlice", clusterScoped, hasStatus),
		custom("apis.kcp.io", "v1alpha1", "apibindings", "APIBinding", clusterScoped, hasStatus),
		custom("workload.kcp.io", "v1alpha1", "synctargets", "SyncTarget", clusterScoped, hasStatus),
	)
	for _, r := range workloads() {
		r.Typed, r.Unnumbered = false, false
		all = append(all, r)
	}
	return all
}

type trait func(*Resource)

func hasStatus(r *Resource)     { r.Status = true }
func clusterScoped(r *Resource) { r.Namespaced = false }
func unnumbered(r *Resource)    { r.Unnumbered = true }

func custom(group, version, resource, kind string, traits ...trait) Resource {
	r := Resource{
		GroupVersionResource: schema.GroupVersionResource{Group: group, Version: version, Resource: resource},
		Kind:                 kind, Namespaced: true,
	}
	for _, set := range traits {
		set(&r)
	}
	return r
}

func compiled(group, version, resource, kind string, traits ...trait) Resource {
	r := custom(group, version, resource, kind, traits...)
	r.Typed = true
	return r
}
