package integration

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/yaml"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/controlplane"
	"github.com/upstreamd/upstreamd/sandbox/copier"
)

// TestDaemonWithShippedRoles runs the daemon with the service accounts of deploy/ on API servers with RBAC: statuses flow, authorized
// clients read the endpoints, and these accounts have no other rights.
func TestDaemonWithShippedRoles(t *testing.T) {
	var up, down, host *rest.Config
	w := newWorldWith(t, sandbox.Options{Workspaces: []string{teamA}, SyncTargets: []string{"us-east1", "eu-west1"}, RBAC: true},
		copier.Options{Resources: []schema.GroupVersionResource{deployments, pods, services}}, func(w *world) {
			workspace := w.Workspace(teamA)
			apply(t, workspace.APIServer, "upstream.yaml")
			up = signIn(t, workspace.APIServer, "upstreamd")
			for _, target := range w.SyncTargets() {
				apply(t, target.APIServer, "synctarget.yaml")
			}
			down = signIn(t, w.SyncTarget("us-east1").APIServer, "upstreamd")
			apply(t, w.SyncTarget("eu-west1").APIServer, "host.yaml")
			apply(t, w.SyncTarget("eu-west1").APIServer, "deployment.yaml")
			host = signIn(t, w.SyncTarget("eu-west1").APIServer, "upstreamd-host")
		})
	front := w.Upstream()
	front.BearerToken = up.BearerToken
	w.config.Upstream.Kubeconfig = kubeconfig(t, front)
	for i, target := range w.config.SyncTargets {
		w.config.SyncTargets[i].Kubeconfig = kubeconfig(t, signIn(t, w.SyncTarget(target.Name).APIServer, "upstreamd"))
	}
	servingCert := newCertificate(t, "first.example")
	w.config.Serving = config.Serving{
		Address: "0.0.0.0:0", Profiling: true, Reviews: &config.Reviews{Kubeconfig: kubeconfig(t, host)},
		TLS: &config.ServingTLS{CertFile: servingCert.certFile, KeyFile: servingCert.keyFile},
	}
	w.config.LeaderElection.Enabled, w.config.LeaderElection.Kubeconfig, w.config.LeaderElection.Namespace = true, kubeconfig(t, host), "upstreamd"
	w.startUnready()
	_, port, err := net.SplitHostPort(w.daemon.Address)
	w.must(err)
	served := "https://127.0.0.1:" + port

	w.place(teamA, "web")
	w.report("us-east1", teamA, "web", 2)
	w.report("eu-west1", teamA, "web", 1)
	w.wantReady(teamA, "web", 3)

	t.Run("readers", func(t *testing.T) { testReaders(t, w.SyncTarget("eu-west1").APIServer, served, servingCert) })
	t.Run("the certificate is replaced", func(t *testing.T) { testRotation(t, served, servingCert) })
	t.Run("upstream", func(t *testing.T) { testDeniedUpstream(t, up) })
	t.Run("SyncTarget", func(t *testing.T) { testDeniedDownstream(t, down) })
	t.Run("host", func(t *testing.T) { testDeniedHost(t, host) })
	w.stop()
}

func testReaders(t *testing.T, server *controlplane.APIServer, served string, servingCert *certificate) {
	admin := client(t, server.Config())
	for _, name := range []string{"prometheus", "stranger", "profiler"} {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := admin.CoreV1().ServiceAccounts("upstreamd").Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	profiles := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "profiles"}, Rules: []rbacv1.PolicyRule{
		{NonResourceURLs: []string{"/debug/pprof/*"}, Verbs: []string{"get"}},
	}}
	if _, err := admin.RbacV1().ClusterRoles().Create(t.Context(), profiles, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for account, role := range map[string]string{"prometheus": "upstreamd-metrics-reader", "profiler": "profiles"} {
		binding := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: account},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: "upstreamd"}},
		}
		if _, err := admin.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	prometheus, stranger, profiler := signIn(t, server, "prometheus").BearerToken, signIn(t, server, "stranger").BearerToken, signIn(t, server, "profiler").BearerToken
	for _, tt := range []struct {
		name, path, token string
		want              int
	}{
		{"liveness without a token", "/livez", "", 200},
		{"readiness without a token", "/readyz", "", 200},
		{"metrics without a token", "/metrics", "", 401},
		{"metrics with an invalid token", "/metrics", "eyJhbGciOiJub25lIn0.e30.", 401},
		{"metrics without the right", "/metrics", stranger, 403},
		{"metrics with the right", "/metrics", prometheus, 200},
		{"the administrator", "/metrics", server.Config().BearerToken, 200},
		{"profiles without a token", "/debug/pprof/", "", 401},
		{"profiles without the right", "/debug/pprof/heap", prometheus, 403},
		{"profiles with the right", "/debug/pprof/heap", profiler, 200},
		{"the command line", "/debug/pprof/cmdline", profiler, 404},
		{"something else", "/etc/passwd", "", 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, body := servingCert.get(t, served+tt.path, tt.token)
			if code != tt.want {
				t.Errorf("%s answers %d, want %d: %.300s", tt.path, code, tt.want, body)
			}
			if figures := strings.Contains(body, "upstreamd_"); figures != (tt.path == "/metrics" && tt.want == 200) {
				t.Errorf("%s answers %.300s", tt.path, body)
			}
		})
	}
}

func testRotation(t *testing.T, served string, servingCert *certificate) {
	servingCert.replace(t, "second.example")
	deadline := time.Now().Add(20 * time.Second)
	for servingCert.name(t, served) != "second.example" {
		if time.Now().After(deadline) {
			t.Fatal("still the old certificate")
		}
		time.Sleep(100 * time.Millisecond)
	}
	if code, _ := servingCert.get(t, served+"/livez", ""); code != 200 {
		t.Errorf("%d with the new certificate", code)
	}
}

// denial is a call that RBAC must deny.
type denial struct {
	name string
	try  func() error
}

func wantDenied(t *testing.T, denials ...denial) {
	t.Helper()
	for _, d := range denials {
		t.Run(d.name, func(t *testing.T) {
			if err := d.try(); !apierrors.IsForbidden(err) {
				t.Errorf("got %v, want 403", err)
			}
		})
	}
}

func testDeniedUpstream(t *testing.T, account *rest.Config) {
	c, ctx := client(t, account), t.Context()
	api := c.AppsV1().Deployments(namespace)
	if _, err := api.Get(ctx, "web", metav1.GetOptions{}); err != nil {
		t.Errorf("the account may not even read: %v", err)
	}
	patch := func(do func(data []byte) error) func() error {
		return func() error {
			return do([]byte(`{"metadata":{"labels":{"a":"b"}},"spec":{"replicas":0},"status":{"replicas":0}}`))
		}
	}
	wantDenied(t,
		denial{"patch the object", patch(func(data []byte) error {
			_, err := api.Patch(ctx, "web", types.MergePatchType, data, metav1.PatchOptions{})
			return err
		})},
		denial{"patch its scale", patch(func(data []byte) error {
			_, err := api.Patch(ctx, "web", types.MergePatchType, data, metav1.PatchOptions{}, "scale")
			return err
		})},
		denial{"replace its status", func() error {
			d, err := api.Get(ctx, "web", metav1.GetOptions{})
			if err != nil {
				return err
			}
			_, err = api.UpdateStatus(ctx, d, metav1.UpdateOptions{})
			return err
		}},
		denial{"replace it", func() error {
			d, err := api.Get(ctx, "web", metav1.GetOptions{})
			if err != nil {
				return err
			}
			_, err = api.Update(ctx, d, metav1.UpdateOptions{})
			return err
		}},
		denial{"create another", func() error {
			d, err := api.Get(ctx, "web", metav1.GetOptions{})
			if err != nil {
				return err
			}
			d.ObjectMeta = metav1.ObjectMeta{Name: "another"}
			_, err = api.Create(ctx, d, metav1.CreateOptions{})
			return err
		}},
		denial{"delete it", func() error { return api.Delete(ctx, "web", metav1.DeleteOptions{}) }},
		denial{"delete all", func() error { return api.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}) }},
		denial{"the status of a kind that is not named", patch(func(data []byte) error {
			_, err := c.AppsV1().StatefulSets(namespace).Patch(ctx, "db", types.MergePatchType, data, metav1.PatchOptions{}, "status")
			return err
		})},
		denial{"patch a ConfigMap", patch(func(data []byte) error {
			_, err := c.CoreV1().ConfigMaps(namespace).Patch(ctx, "c", types.MergePatchType, data, metav1.PatchOptions{})
			return err
		})},
		denial{"raise its own rights", func() error {
			role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "mine"}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}}}
			_, err := c.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{})
			return err
		}},
	)
	wantDenied(t, secrets(t, c)...)
}

func testDeniedDownstream(t *testing.T, account *rest.Config) {
	c, ctx := client(t, account), t.Context()
	if _, err := c.CoreV1().Namespaces().List(ctx, metav1.ListOptions{}); err != nil {
		t.Errorf("the account may not even read: %v", err)
	}
	data := []byte(`{"status":{"replicas":0}}`)
	wantDenied(t,
		denial{"patch a status", func() error {
			_, err := c.AppsV1().Deployments(namespace).Patch(ctx, "web", types.MergePatchType, data, metav1.PatchOptions{}, "status")
			return err
		}},
		denial{"patch an object", func() error {
			_, err := c.AppsV1().Deployments(namespace).Patch(ctx, "web", types.MergePatchType, data, metav1.PatchOptions{})
			return err
		}},
		denial{"delete an object", func() error { return c.AppsV1().Deployments(namespace).Delete(ctx, "web", metav1.DeleteOptions{}) }},
		denial{"create a Namespace", func() error {
			_, err := c.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "mine"}}, metav1.CreateOptions{})
			return err
		}},
		denial{"read another kind", func() error {
			_, err := c.AppsV1().StatefulSets("").List(ctx, metav1.ListOptions{})
			return err
		}},
		denial{"run a program in a Pod", func() error {
			return c.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name("p").SubResource("exec").Do(ctx).Error()
		}},
	)
	wantDenied(t, secrets(t, c)...)
}

func testDeniedHost(t *testing.T, account *rest.Config) {
	c, ctx := client(t, account), t.Context()
	leases := c.CoordinationV1().Leases("upstreamd")
	if lease, err := leases.Get(ctx, "upstreamd", metav1.GetOptions{}); err != nil || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
		t.Errorf("the daemon does not hold its Lease: %v", err)
	}
	wantDenied(t,
		denial{"read another's Lease", func() error { _, err := leases.Get(ctx, "another", metav1.GetOptions{}); return err }},
		denial{"take another's Lease", func() error { _, err := leases.Update(ctx, leaseNamed("another"), metav1.UpdateOptions{}); return err }},
		denial{"delete its Lease", func() error { return leases.Delete(ctx, "upstreamd", metav1.DeleteOptions{}) }},
		denial{"a Lease elsewhere", func() error {
			_, err := c.CoordinationV1().Leases("default").Create(ctx, leaseNamed("upstreamd"), metav1.CreateOptions{})
			return err
		}},
		denial{"read Pods", func() error { _, err := c.CoreV1().Pods("upstreamd").List(ctx, metav1.ListOptions{}); return err }},
		denial{"make itself a token", func() error {
			_, err := c.CoreV1().ServiceAccounts("upstreamd").CreateToken(ctx, "upstreamd-host", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
			return err
		}},
	)
	wantDenied(t, secrets(t, c)...)
}

func leaseNamed(name string) *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: coordinationv1.LeaseSpec{HolderIdentity: new("me")}}
}

func secrets(t *testing.T, c kubernetes.Interface) []denial {
	ctx := t.Context()
	return []denial{
		{"read a Secret", func() error {
			_, err := c.CoreV1().Secrets("upstreamd").Get(ctx, "upstreamd-kubeconfigs", metav1.GetOptions{})
			return err
		}},
		{"list Secrets", func() error { _, err := c.CoreV1().Secrets("").List(ctx, metav1.ListOptions{}); return err }},
		{"watch Secrets", func() error {
			w, err := c.CoreV1().Secrets("").Watch(ctx, metav1.ListOptions{})
			if err == nil {
				w.Stop()
			}
			return err
		}},
	}
}

// apply creates the objects of a file in deploy/, as the administrator. Unknown fields are errors.
func apply(t *testing.T, server *controlplane.APIServer, file string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../../deploy", file))
	if err != nil {
		t.Fatal(err)
	}
	groups, err := restmapper.GetAPIGroupResources(discovery.NewDiscoveryClientForConfigOrDie(server.Config()))
	if err != nil {
		t.Fatal(err)
	}
	mapper, objects := restmapper.NewDiscoveryRESTMapper(groups), dynamic.NewForConfigOrDie(server.Config())
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		o := &unstructured.Unstructured{}
		if err := errors.Join(err, yaml.Unmarshal(document, &o.Object)); err != nil {
			t.Fatal(err)
		}
		mapping, err := mapper.RESTMapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
		if err != nil {
			t.Fatal(err)
		}
		var api dynamic.ResourceInterface = objects.Resource(mapping.Resource)
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			api = objects.Resource(mapping.Resource).Namespace(o.GetNamespace())
		}
		_, err = api.Create(t.Context(), o, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
		if apierrors.IsAlreadyExists(err) && o.GetKind() == "Namespace" {
			continue // another file has it too
		}
		if err != nil {
			t.Fatalf("%s: %s %s: %v", file, o.GetKind(), o.GetName(), err)
		}
	}
}

// signIn returns a client configuration for a service account of the namespace upstreamd, with a token from the API server.
func signIn(t *testing.T, server *controlplane.APIServer, account string) *rest.Config {
	t.Helper()
	admin := client(t, server.Config())
	token, err := admin.CoreV1().ServiceAccounts("upstreamd").CreateToken(t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return server.ConfigFor(controlplane.User{Token: token.Status.Token})
}

// kubeconfig writes a client configuration to a kubeconfig file and returns its path.
func kubeconfig(t *testing.T, c *rest.Config) string {
	t.Helper()
	file := clientcmdapi.NewConfig()
	file.Clusters["c"] = &clientcmdapi.Cluster{Server: c.Host, CertificateAuthorityData: c.CAData}
	file.AuthInfos["c"] = &clientcmdapi.AuthInfo{Token: c.BearerToken}
	file.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "c"}
	file.CurrentContext = "c"
	name := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*file, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// certificate is a daemon's serving certificate and key, in files.
type certificate struct {
	certFile, keyFile string
	trusted           *x509.CertPool
}

func newCertificate(t *testing.T, name string) *certificate {
	t.Helper()
	dir := t.TempDir()
	c := &certificate{certFile: filepath.Join(dir, "tls.crt"), keyFile: filepath.Join(dir, "tls.key")}
	c.replace(t, name)
	return c
}

func (c *certificate) replace(t *testing.T, name string) {
	t.Helper()
	encoded, key, err := cert.GenerateSelfSignedCertKey(name, []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(c.certFile, encoded, 0o600), os.WriteFile(c.keyFile, key, 0o600)); err != nil {
		t.Fatal(err)
	}
	c.trusted = x509.NewCertPool()
	c.trusted.AppendCertsFromPEM(encoded)
}

func (c *certificate) get(t *testing.T, url, token string) (code int, body string) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.trusted}, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(content)
}

// name returns the DNS name of the certificate on a new connection.
func (c *certificate) name(t *testing.T, url string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].DNSNames[0]
}
