// Package config is the daemon's configuration file: its versioned types, strict decoding, defaults and validation. Every error
// names the field it is about and how to mend it, and all of them are found at once.
package config

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The version and kind of a configuration file.
const (
	APIVersion = "config.upstreamd.dev/v1alpha1"
	Kind       = "UpstreamdConfiguration"
)

// The locator styles: how an object of a SyncTarget names the upstream object that it is a copy of.
const (
	NamespaceLocator = "NamespaceLocator" // kcp's annotation on the downstream Namespace
	Prefix           = "Prefix"           // namespaces named kcp-<workspace>-<namespace>
	SyncAgent        = "SyncAgent"        // api-syncagent's labels and annotations on the object itself
)

// Configuration is the whole file. Fields may join it; those that are here keep their names.
type Configuration struct {
	APIVersion     string          `json:"apiVersion"`
	Kind           string          `json:"kind"`
	Upstream       Upstream        `json:"upstream"`
	SyncTargets    []SyncTarget    `json:"syncTargets"`
	Discovery      *Discovery      `json:"syncTargetDiscovery,omitempty"` // SyncTargets beside those
	Resources      []Resource      `json:"resources"`
	Locators       []string        `json:"locators"` // tried in this order
	Agent          *Agent          `json:"syncAgent,omitempty"`
	Debounce       Debounce        `json:"debounce"`
	Writer         Writer          `json:"writer"`
	Staleness      Staleness       `json:"staleness"`
	Limits         Limits          `json:"limits"`
	Policies       Policies        `json:"policies"`
	Serving        Serving         `json:"serving"`
	Shutdown       Shutdown        `json:"shutdown"`
	LeaderElection LeaderElection  `json:"leaderElection"`
	FeatureGates   map[string]bool `json:"featureGates"`
}

// Upstream is the API server that statuses are published to. At most one of APIExport, Wildcard and Workspaces selects the
// served workspaces; none on a plain Kubernetes hub.
type Upstream struct {
	Kubeconfig string     `json:"kubeconfig"`          // relative to the configuration file; the server with or without /clusters/…
	Context    string     `json:"context,omitempty"`   // of the kubeconfig; empty: its current one
	APIExport  *APIExport `json:"apiExport,omitempty"` // all workspaces that are bound to it
	WriteVia   string     `json:"writeVia,omitempty"`  // with APIExport: virtualWorkspace (default) or direct
	Wildcard   bool       `json:"wildcard,omitempty"`  // all workspaces of the server
	Workspaces []string   `json:"workspaces"`          // names or paths of logical clusters, at most 50
}

// SyncTarget is one physical cluster.
type SyncTarget struct {
	Name       string   `json:"name"`
	Cluster    string   `json:"cluster"` // the logical cluster that holds the SyncTarget: for its key, and checked against locators
	UID        string   `json:"uid"`     // checked against locators where it is given
	Kubeconfig string   `json:"kubeconfig"`
	Context    string   `json:"context,omitempty"`
	Workspaces []string `json:"workspaces"` // those that it may report for; "*" alone: all, where they are not listed
}

// Resource names a watched kind, by its plural. With resource and version "*" it is every kind of the group (of any, if that is "*"
// too) that upstream serves with a status and a SyncTarget serves at all.
type Resource struct {
	Group    string      `json:"group"` // empty: the core group
	Version  string      `json:"version"`
	Resource string      `json:"resource"`
	Exclude  []Exclusion `json:"exclude,omitempty"` // from "*"
}

// Exclusion is a kind, in all versions, that "*" does not mean. Either field may be "*".
type Exclusion struct {
	Group    string `json:"group"`
	Resource string `json:"resource"`
}

// Debounce coalesces bursts: a change leaves at once if it is alone, else when it was quiet for Quiet, after MaxWait at the latest.
type Debounce struct {
	Quiet   metav1.Duration `json:"quiet"`
	MaxWait metav1.Duration `json:"maxWait"`
}

// Writer bounds the calls to the upstream API server.
type Writer struct {
	QPS         float64 `json:"qps"`         // PATCH calls a second at most, in the long run; 0: no cap
	Burst       int     `json:"burst"`       // calls that may leave at once beyond qps; 0: as concurrency
	Concurrency int     `json:"concurrency"` // calls in flight at most; the writer finds out how many of them an API server can use
}

// Staleness defines when a SyncTarget is stale.
type Staleness struct {
	Grace    metav1.Duration `json:"grace"`    // unreachable for this long: stale; healthy for this long: fresh again
	Probe    metav1.Duration `json:"probe"`    // how often a silent SyncTarget is asked
	Deadline metav1.Duration `json:"deadline"` // how long a start waits for a SyncTarget that never answered, where a policy allows to pass it over
}

// Policies are StatusPolicy documents beside the built-in ones.
type Policies struct {
	Directory string `json:"directory"` // relative to the configuration file; empty: only the built-in ones
}

// Serving describes the listeners for metrics and health. Off loopback, metrics need TLS and Reviews.
type Serving struct {
	Address   string      `json:"address"`             // host:port; port 0: a free one; empty: nothing is served
	TLS       *ServingTLS `json:"tls,omitempty"`       // nil: plain HTTP
	Reviews   *Reviews    `json:"reviews,omitempty"`   // nil: every client that reaches the address may read
	Profiling bool        `json:"profiling,omitempty"` // /debug/pprof/, for clients that may read the metrics
	Health    *Health     `json:"health,omitempty"`    // nil: on loopback, at the port after that of Address
}

// Health is a listener for /livez and /readyz alone, with limits of its own: load on the main one does not fail kubelet's probe. It
// serves plain HTTP without reviews; off loopback its answers hold no details.
type Health struct {
	Address string `json:"address"` // host:port; port 0: a free one; empty: none
}

// ServingTLS is the certificate that is shown. Without files one is made at each start, signed by itself.
type ServingTLS struct {
	CertFile string `json:"certFile,omitempty"` // PEM, relative to the configuration file; read again when it changes
	KeyFile  string `json:"keyFile,omitempty"`
}

// Reviews names the Kubernetes API server that authenticates clients (TokenReview) and authorizes them (SubjectAccessReview). Health needs
// no review.
type Reviews struct {
	Kubeconfig string `json:"kubeconfig,omitempty"` // relative to the configuration file
	Context    string `json:"context,omitempty"`    // of the kubeconfig; empty: its current one
	InCluster  bool   `json:"inCluster,omitempty"`  // in its place: the cluster that this process runs in, as its service account
}

// Shutdown bounds the end.
type Shutdown struct {
	Timeout metav1.Duration `json:"timeout"` // for pending writes
}

// Defaults is a configuration that lacks only the fields without a sensible default.
func Defaults() *Configuration {
	return &Configuration{
		APIVersion:     APIVersion,
		Kind:           Kind,
		Locators:       []string{NamespaceLocator, Prefix},
		Debounce:       Debounce{Quiet: seconds(.2), MaxWait: seconds(2)},
		Writer:         Writer{Concurrency: 16},
		Limits:         defaultLimits(),
		Staleness:      Staleness{Grace: seconds(40), Probe: seconds(10), Deadline: seconds(60)},
		Serving:        Serving{Address: "127.0.0.1:8080"},
		Shutdown:       Shutdown{Timeout: seconds(10)},
		LeaderElection: LeaderElection{Name: "upstreamd", LeaseDuration: seconds(15), RenewDeadline: seconds(10), RetryPeriod: seconds(2)},
	}
}

func seconds(s float64) metav1.Duration {
	return metav1.Duration{Duration: time.Duration(s * float64(time.Second))}
}
