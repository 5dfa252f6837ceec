package kcp_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/daemon"
	"github.com/upstreamd/upstreamd/sandbox/kcp"
	"github.com/upstreamd/upstreamd/sandbox/sandboxtest"
)

var (
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	bindings    = schema.GroupVersionResource{Group: "apis.kcp.io", Version: "v1alpha1", Resource: "apibindings"}
	exports     = schema.GroupVersionResource{Group: "apis.kcp.io", Version: "v1alpha1", Resource: "apiexports"}
	spaces      = schema.GroupVersionResource{Group: "tenancy.kcp.io", Version: "v1alpha1", Resource: "workspaces"}
)

// TestStatusFlowsThroughAnAPIExport runs the daemon on a real kcp.
func TestStatusFlowsThroughAnAPIExport(t *testing.T) {
	binary := os.Getenv(kcp.BinaryEnv)
	if binary == "" {
		t.Skipf("NOT TESTED: the daemon on a real kcp in APIExport mode. Set %s to the path of a kcp binary.", kcp.BinaryEnv)
	}
	k, err := kcp.Start(t.Context(), binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Stop(context.Background()) })
	flows(t, k)
}

// TestStatusFlowsThroughAnAPIExportInMemory runs the same steps on a server in memory in place of kcp, so that the steps are tested
// without a kcp binary too.
func TestStatusFlowsThroughAnAPIExportInMemory(t *testing.T) {
	flows(t, kcp.Attach(inMemory(t)))
}

// flows creates a provider with an APIExport of deployments, three consumers, and SyncTargets; runs the daemon in APIExport mode; and
// changes statuses, and adds and removes workspaces and bindings.
func flows(t *testing.T, k *kcp.KCP) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	provider := add(ctx, t, k, "provider")
	must(t, k.AddExport(ctx, provider, "compute", deployments, "Deployment"))
	var consumers []kcp.Workspace
	for _, name := range []string{"team-a", "team-b", "team-c"} {
		w := add(ctx, t, k, name)
		must(t, k.Bind(ctx, w, provider, "compute"))
		consumers = append(consumers, w)
	}
	s := sandboxtest.Start(t, sandbox.Options{SyncTargets: []string{"us-east1", "eu-west1"}})

	binary, err := daemon.Build(ctx, t.TempDir())
	must(t, err)

	for _, via := range []string{config.ViaVirtualWorkspace, config.ViaDirect} {
		t.Run(via, func(t *testing.T) {
			name := "web-" + strings.ToLower(via)
			copies := make([]map[*sandbox.SyncTarget]ref.Downstream, len(consumers))
			for i, w := range consumers {
				copies[i] = place(ctx, t, k, w, name, s.SyncTargets())
			}
			d := run(ctx, t, binary, k, s, provider, via)
			for i, w := range consumers {
				for n, target := range s.SyncTargets() {
					report(ctx, t, target, copies[i][target], 1+i+n)
				}
				shows(ctx, t, k, w, name, 2*(1+i)+1)
			}
			late := add(ctx, t, k, "late-"+strings.ToLower(via)) // at run time
			must(t, k.Bind(ctx, late, provider, "compute"))
			for target, copied := range place(ctx, t, k, late, name, s.SyncTargets()) {
				report(ctx, t, target, copied, 7)
			}
			shows(ctx, t, k, late, name, 14)

			must(t, client(t, k.WorkspaceConfig(late.Name)).Resource(bindings).Delete(ctx, "compute", metav1.DeleteOptions{}))
			first := s.SyncTargets()[0]
			report(ctx, t, first, copies[0][first], 5)
			shows(ctx, t, k, consumers[0], name, 5+2)

			must(t, d.Signal(syscall.SIGTERM))
			<-d.Done()
			must(t, d.Err())
			d = run(ctx, t, binary, k, s, provider, via) // every status is up to date, except for one change
			report(ctx, t, first, copies[1][first], 9)
			shows(ctx, t, k, consumers[1], name, 9+3)
			metrics, err := d.Metrics(ctx)
			must(t, err)
			if n := metrics.Sum("upstreamd_patches_total", "result=written"); n < 1 || n > 2 {
				t.Errorf("%v patches after a restart and one change", n)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func client(t *testing.T, c *rest.Config) *dynamic.DynamicClient {
	t.Helper()
	made, err := dynamic.NewForConfig(c)
	must(t, err)
	return made
}

// add creates a workspace with the namespace shop.
func add(ctx context.Context, t *testing.T, k *kcp.KCP, name string) kcp.Workspace {
	t.Helper()
	w, err := k.AddWorkspace(ctx, name)
	must(t, err)
	create(ctx, t, k.WorkspaceConfig(w.Name), namespaces, thing("v1", "Namespace", "", "shop", nil, nil))
	return w
}

func thing(apiVersion, kind, namespace, name string, labels, annotations map[string]string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
	o.SetNamespace(namespace)
	o.SetName(name)
	o.SetLabels(labels)
	o.SetAnnotations(annotations)
	return o
}

func deployment(namespace, name string, labels, annotations map[string]string) *unstructured.Unstructured {
	o := thing("apps/v1", "Deployment", namespace, name, labels, annotations)
	app := map[string]any{"app": name}
	o.Object["spec"] = map[string]any{
		"selector": map[string]any{"matchLabels": app},
		"template": map[string]any{
			"metadata": map[string]any{"labels": app},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "c", "image": "example.com/web"}}},
		},
	}
	return o
}

// create retries until the server accepts an object: its kind or namespace may not exist yet.
func create(ctx context.Context, t *testing.T, c *rest.Config, r schema.GroupVersionResource, o *unstructured.Unstructured) {
	t.Helper()
	made := client(t, c)
	sandboxtest.Eventually(t, time.Minute, func() error {
		_, err := made.Resource(r).Namespace(o.GetNamespace()).Create(ctx, o, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
}

// place creates a Deployment in a workspace, placed on all SyncTargets, and its copies, like kcp's spec syncer.
func place(ctx context.Context, t *testing.T, k *kcp.KCP, w kcp.Workspace, name string, targets []*sandbox.SyncTarget) map[*sandbox.SyncTarget]ref.Downstream {
	t.Helper()
	labels := map[string]string{}
	copies := map[*sandbox.SyncTarget]ref.Downstream{}
	u := ref.Upstream{Workspace: ref.Workspace(w.Name), Namespace: "shop", Name: name}
	for _, s := range targets {
		target := locator.Target{Name: ref.SyncTarget(s.Name), Cluster: s.Cluster, UID: string(s.UID)}
		labels[locator.PlacementLabel(target.Key())] = "Sync"
		resolver, err := locator.New([]string{locator.NamespaceLocator}, target)
		must(t, err)
		ns, err := resolver.DownNamespace(u.Workspace, u.Namespace)
		must(t, err)
		copied, err := resolver.DownObject(deployments, u)
		must(t, err)
		copied.Annotations[evidence.GenerationAnnotations[0]] = "1"
		create(ctx, t, s.Config(), namespaces, thing("v1", "Namespace", "", ns.Name, ns.Labels, ns.Annotations))
		create(ctx, t, s.Config(), deployments, deployment(copied.Namespace, copied.Name, copied.Labels, copied.Annotations))
		copies[s] = copied.Downstream
	}
	create(ctx, t, k.WorkspaceConfig(w.Name), deployments, deployment(u.Namespace, u.Name, labels, nil))
	return copies
}

// report writes the status of a copy, like the physical cluster's controllers.
func report(ctx context.Context, t *testing.T, s *sandbox.SyncTarget, copied ref.Downstream, ready int) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"status":{"replicas":%d,"readyReplicas":%d}}`, ready, ready)
	_, err := client(t, s.Config()).Resource(deployments).Namespace(copied.Namespace).
		Patch(ctx, copied.Name, "application/merge-patch+json", patch, metav1.PatchOptions{}, "status")
	must(t, err)
}

// shows waits until the published ready replicas of a Deployment equal want.
func shows(ctx context.Context, t *testing.T, k *kcp.KCP, w kcp.Workspace, name string, want int) {
	t.Helper()
	made := client(t, k.WorkspaceConfig(w.Name))
	sandboxtest.Eventually(t, time.Minute, func() error {
		o, err := made.Resource(deployments).Namespace("shop").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if got, _, _ := unstructured.NestedInt64(o.Object, "status", "readyReplicas"); got != int64(want) {
			return fmt.Errorf("%s in %s has %d ready, want %d", name, w.Path, got, want)
		}
		return nil
	})
}

// run runs the daemon in APIExport mode until the test ends.
func run(ctx context.Context, t *testing.T, binary string, k *kcp.KCP, s *sandbox.Sandbox, provider kcp.Workspace, via string) *daemon.Daemon {
	t.Helper()
	c := config.Defaults()
	c.Upstream = config.Upstream{
		Kubeconfig: kubeconfig(t, k.Config()), APIExport: &config.APIExport{Workspace: provider.Path, Name: "compute"}, WriteVia: via,
	}
	for _, target := range s.SyncTargets() {
		c.SyncTargets = append(c.SyncTargets, config.SyncTarget{
			Name: target.Name, Cluster: target.Cluster, UID: string(target.UID), Kubeconfig: target.Kubeconfig, Workspaces: []string{config.AllWorkspaces},
		})
	}
	c.Resources = []config.Resource{{Group: "apps", Version: "v1", Resource: "deployments"}}
	c.Locators = []string{config.NamespaceLocator}
	c.Serving.Address = "127.0.0.1:0"
	d, err := daemon.Start(ctx, binary, t.TempDir(), "upstreamd", c)
	must(t, err)
	t.Cleanup(func() {
		d.Stop(context.Background())
		if t.Failed() {
			t.Log(d.Tail(8000))
		}
	})
	return d
}

// kubeconfig writes config to a kubeconfig file.
func kubeconfig(t *testing.T, config *rest.Config) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kcp.kubeconfig")
	file := clientcmdapi.NewConfig()
	file.Clusters["kcp"] = &clientcmdapi.Cluster{
		Server: config.Host, CertificateAuthority: config.CAFile, CertificateAuthorityData: config.CAData, TLSServerName: config.ServerName,
	}
	file.AuthInfos["kcp"] = &clientcmdapi.AuthInfo{
		Token: config.BearerToken, ClientCertificate: config.CertFile, ClientCertificateData: config.CertData,
		ClientKey: config.KeyFile, ClientKeyData: config.KeyData,
	}
	file.Contexts["kcp"] = &clientcmdapi.Context{Cluster: "kcp", AuthInfo: "kcp"}
	file.CurrentContext = "kcp"
	must(t, clientcmd.WriteToFile(*file, path))
	return path
}

// inMemory starts a server in memory on a real socket, with a simulation of kcp's controllers for workspaces and APIExports.
func inMemory(t *testing.T) *rest.Config {
	t.Helper()
	var server *memapi.Server
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.ServeHTTP(w, r) }))
	front.EnableHTTP2 = true
	front.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	front.StartTLS()
	t.Cleanup(front.Close)

	made := make(chan *memapi.Object, 100)
	server = memapi.New(memapi.Options{
		URL: front.URL,
		Resources: append(memapi.KCP(),
			memapi.Resource{GroupVersionResource: spaces, Kind: "Workspace", Status: true},
			memapi.Resource{GroupVersionResource: schema.GroupVersionResource{Group: "apis.kcp.io", Version: "v1alpha1", Resource: "apiresourceschemas"}, Kind: "APIResourceSchema"}),
		OnWrite: func(w memapi.Write) {
			if w.Type == watch.Added && w.Manager != "" && (w.Resource == spaces || w.Resource == exports) {
				made <- w.New
			}
		},
	})
	server.AddWorkspace("root", "root")
	stopped := make(chan struct{})
	t.Cleanup(func() {
		server.Close()
		close(made)
		<-stopped
	})
	go func() {
		defer close(stopped)
		for o := range made {
			control(t, server, o)
		}
	}()
	return &rest.Config{
		Host:            front.URL,
		TLSClientConfig: rest.TLSClientConfig{CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})},
	}
}

// control acts as kcp's controllers on a new workspace or APIExport.
func control(t *testing.T, server *memapi.Server, o *memapi.Object) {
	var kind metav1.TypeMeta
	if err := o.Unmarshal(&kind); err != nil {
		t.Error(err)
		return
	}
	if kind.Kind == "APIExport" {
		server.AddExport(o.Cluster, o.Meta.Name, deployments)
		return
	}
	cluster := fmt.Sprintf("%x", o.Meta.UID[:8])
	server.AddWorkspace(cluster, "root:"+o.Meta.Name)
	root := server.Cluster(o.Cluster)
	_, err := root.Patch(spaces, "", o.Meta.Name, map[string]any{"spec": map[string]any{"cluster": cluster}})
	if err == nil {
		_, err = root.UpdateStatus(spaces, "", o.Meta.Name, map[string]any{"phase": "Ready"})
	}
	if err != nil {
		t.Error(err)
	}
}
