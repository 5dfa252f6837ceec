// Package endtoend runs the whole product, from the clients of SyncTargets to the clients of kcp, over API servers in memory.
package endtoend

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/kube/downstream"
	"github.com/upstreamd/upstreamd/internal/kube/upstream"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/supervisor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	provider = "prov1der"
	infra    = "root:infra" // holds the SyncTargets
)

var (
	deployments    = ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"}
	namespaces     = ref.Resource{Version: "v1", Resource: "namespaces"}
	bindings       = ref.Resource{Group: "apis.kcp.io", Version: "v1alpha1", Resource: "apibindings"}
	endpointSlices = ref.Resource{Group: "apis.kcp.io", Version: "v1alpha1", Resource: "apiexportendpointslices"}
)

// world is a kcp, SyncTargets, and the product between them.
type world struct {
	t       *testing.T
	kcp     *memapi.Server
	targets []*target
	system  *supervisor.System
	metrics *metrics.Metrics
}

// target is a SyncTarget, and the way down to it.
type target struct {
	locator.Target

	server   *memapi.Server
	resolver *locator.Resolver
}

// newKCP is a kcp with an APIExport of deployments.
func newKCP(t *testing.T, options memapi.Options) *memapi.Server {
	options.Resources = memapi.KCP()
	s := memapi.New(options)
	t.Cleanup(s.Close)
	s.AddWorkspace(provider, "root:provider")
	s.AddExport(provider, "compute", deployments)
	return s
}

// The ways to serve all workspaces.
var (
	byExport   = upstream.Options{Export: &upstream.Export{Workspace: "root:provider", Name: "compute"}}
	byWildcard = upstream.Options{Workspaces: []string{string(upstream.All)}}
)

// start runs the product. Each SyncTarget may report for the workspaces that bound gives.
func start(t *testing.T, kcp *memapi.Server, config *rest.Config, mode upstream.Options, names []string, bound func(i int) []ref.Workspace) *world {
	t.Helper()
	w := &world{t: t, kcp: kcp}
	log := zerolog.Nop()
	if os.Getenv("LOG") != "" {
		log = zerolog.New(zerolog.NewTestWriter(t))
	}
	mode.Logger = log
	up, err := upstream.New(config, mode)
	w.must(err)
	w.metrics, err = metrics.New(nil)
	w.must(err)
	w.system, err = supervisor.New(supervisor.Options{
		Metrics: w.metrics, Upstream: up, Locators: []string{locator.NamespaceLocator, locator.Prefix}, Logger: log,
	})
	w.must(err)
	w.must(w.system.AddResource(deployments))
	w.must(w.system.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		w.must(w.system.Stop(ctx))
		up.Close()
	})
	for i, name := range names {
		target := newTarget(t, name, bound(i))
		w.targets = append(w.targets, target)
		down, err := downstream.New(target.server.Config(), downstream.Options{Logger: log})
		w.must(err)
		w.must(w.system.AddTarget(supervisor.Target{Name: target.Name, Cluster: target.Cluster, UID: target.UID, Workspaces: target.Workspaces}, down))
	}
	return w
}

func newTarget(t *testing.T, name string, workspaces []ref.Workspace) *target {
	t.Helper()
	d := &target{
		Target: locator.Target{Name: ref.SyncTarget(name), Cluster: infra, UID: "uid-of-" + name, Workspaces: workspaces},
		server: memapi.New(memapi.Options{Name: name}),
	}
	t.Cleanup(d.server.Close)
	var err error
	if d.resolver, err = locator.New([]string{locator.NamespaceLocator}, d.Target); err != nil {
		t.Fatal(err)
	}
	return d
}

func targetNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("cluster-%02d", i)
	}
	return names
}

func toAll(int) []ref.Workspace { return []ref.Workspace{locator.All} }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// consume makes a workspace that is bound to the APIExport.
func consume(kcp *memapi.Server, workspace string) {
	kcp.AddWorkspace(workspace, "root:"+workspace)
	kcp.Bind(workspace, provider, "compute")
}

// publish makes an upstream object that is placed on SyncTargets by its labels.
func (w *world) publish(kcp *memapi.Server, u ref.Upstream, on ...*target) {
	w.t.Helper()
	labels := map[string]string{}
	for _, d := range on {
		labels[locator.PlacementLabel(d.Key())] = "Sync"
	}
	_, err := kcp.Cluster(string(u.Workspace)).Create(deployments, object(u.Namespace, u.Name, labels, nil))
	w.must(err)
}

func object(namespace, name string, labels, annotations map[string]string) map[string]any {
	return map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"namespace": namespace, "name": name, "labels": labels, "annotations": annotations},
		"spec":     map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"a": "b"}}},
	}
}

// takeDown makes the copy of an upstream object, as the way down does.
func (d *target) takeDown(u ref.Upstream) (ref.Downstream, error) {
	ns, err := d.resolver.DownNamespace(u.Workspace, u.Namespace)
	if err != nil {
		return ref.Downstream{}, err
	}
	if err := d.namespace(ns.Name, ns.Labels, ns.Annotations); err != nil {
		return ref.Downstream{}, err
	}
	copied, err := d.resolver.DownObject(deployments, u)
	if err != nil {
		return ref.Downstream{}, err
	}
	copied.Annotations[evidence.GenerationAnnotations[0]] = "1"
	_, err = d.server.Cluster("").Create(deployments, object(copied.Namespace, copied.Name, copied.Labels, copied.Annotations))
	return copied.Downstream, err
}

// namespace makes a Namespace if it is not there.
func (d *target) namespace(name string, labels, annotations map[string]string) error {
	if _, err := d.server.Cluster("").Get(namespaces, "", name); err == nil {
		return nil
	}
	_, err := d.server.Cluster("").Create(namespaces, map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name, "labels": labels, "annotations": annotations},
	})
	return err
}

// report sets the status of a copy.
func (d *target) report(copied ref.Downstream, ready int) error {
	_, err := d.server.Cluster("").UpdateStatus(deployments, copied.Namespace, copied.Name, map[string]any{"replicas": ready, "readyReplicas": ready})
	return err
}

// ready is the published number of ready replicas; -1: nothing is published, or there is no object.
func ready(o *memapi.Object) int {
	status := struct{ ReadyReplicas *int }{}
	if o == nil || len(o.Status) == 0 || json.Unmarshal(o.Status, &status) != nil || status.ReadyReplicas == nil {
		return -1
	}
	return *status.ReadyReplicas
}

func readyAt(kcp *memapi.Server, u ref.Upstream) int {
	o, err := kcp.Cluster(string(u.Workspace)).Get(deployments, u.Namespace, u.Name)
	if err != nil {
		return -1
	}
	return ready(o)
}

// eventually waits until nothing is missing.
func (w *world) eventually(timeout time.Duration, missing func() string) {
	w.t.Helper()
	end := time.Now().Add(timeout)
	for {
		lack := missing()
		if lack == "" {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("still not: %s", lack)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// patches counts the status patches that were sent.
func patches(kcp *memapi.Server) int {
	return kcp.Calls().Total(func(c memapi.Call) bool { return c.Verb == "patch" && c.Subresource == "status" })
}

// pemOf is the certificate of a server, to trust.
func pemOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}
