package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"sigs.k8s.io/yaml"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/kube/kubetest"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// cloud is a kcp in memory with a workspace of SyncTarget objects, and one physical cluster behind TLS.
type cloud struct {
	*testing.T
	hub, east *memapi.Server
	hubURL    string
	eastTLS   *httptest.Server
}

var (
	secrets     = ref.Resource{Version: "v1", Resource: "secrets"}
	syncTargets = ref.Resource{Group: "workload.kcp.io", Version: "v1alpha1", Resource: "synctargets"}
	gizmos      = ref.Resource{Group: "example.com", Version: "v1", Resource: "gizmos"}
)

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{T: t, hub: memapi.New(memapi.Options{Name: "hub", Resources: memapi.KCP()}), east: memapi.New(memapi.Options{Name: "east"})}
	c.hub.AddWorkspace("abc", "root:team-a")
	c.hub.AddWorkspace("infra", "root:infra")
	hub := httptest.NewServer(c.hub)
	c.hubURL, c.eastTLS = hub.URL, httptest.NewTLSServer(c.east)
	t.Cleanup(func() {
		for _, s := range []*httptest.Server{hub, c.eastTLS} {
			s.CloseClientConnections()
		}
		c.hub.Close()
		c.east.Close()
		hub.Close()
		c.eastTLS.Close()
	})
	c.create(c.hub.Cluster("infra"), namespaces, map[string]any{"metadata": map[string]any{"name": "keys"}})
	return c
}

func (c *cloud) create(at memapi.Cluster, r ref.Resource, object map[string]any) *memapi.Object {
	c.Helper()
	made, err := at.Create(r, object)
	if err != nil {
		c.Fatal(err)
	}
	return made
}

// register makes the SyncTarget object and its Secret, and gives the namespace that team-a's default is there.
func (c *cloud) register(name string) (downNamespace string) {
	c.Helper()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.eastTLS.Certificate().Raw})
	kubeconfig, err := json.Marshal(map[string]any{
		"current-context": "c", "contexts": []any{map[string]any{"name": "c", "context": map[string]any{"cluster": "c", "user": "u"}}},
		"clusters": []any{map[string]any{"name": "c", "cluster": map[string]any{"server": c.eastTLS.URL, "certificate-authority-data": base64.StdEncoding.EncodeToString(ca)}}},
		"users":    []any{map[string]any{"name": "u", "user": map[string]any{"token": "canary-token"}}},
	})
	if err != nil {
		c.Fatal(err)
	}
	infra := c.hub.Cluster("infra")
	made := c.create(infra, syncTargets, map[string]any{"metadata": map[string]any{"name": name, "annotations": map[string]any{
		"upstreamd.dev/kubeconfig-secret": "keys/" + name, "upstreamd.dev/workspaces": "root:team-a"}}})
	c.create(infra, secrets, map[string]any{"metadata": map[string]any{"namespace": "keys", "name": name},
		"data": map[string]any{"kubeconfig": base64.StdEncoding.EncodeToString(kubeconfig)}})
	resolver, err := locator.New([]string{locator.NamespaceLocator}, locator.Target{Name: ref.SyncTarget(name), Cluster: "infra", UID: string(made.Meta.UID)})
	if err != nil {
		c.Fatal(err)
	}
	ns, err := resolver.DownNamespace("abc", "default")
	if err != nil {
		c.Fatal(err)
	}
	c.create(c.east.Cluster(""), namespaces, map[string]any{"metadata": map[string]any{"name": ns.Name, "labels": ns.Labels, "annotations": ns.Annotations}})
	return ns.Name
}

// object makes an object upstream and its copy, which has a size.
func (c *cloud) object(r ref.Resource, downNamespace, name string, size int) {
	c.Helper()
	c.create(c.hub.Cluster("abc"), r, map[string]any{"metadata": map[string]any{"namespace": "default", "name": name}})
	c.create(c.east.Cluster(""), r, map[string]any{"metadata": map[string]any{"namespace": downNamespace, "name": name}})
	if _, err := c.east.Cluster("").UpdateStatus(r, downNamespace, name, map[string]any{"replicas": size}); err != nil {
		c.Fatal(err)
	}
}

func (c *cloud) wantSize(r ref.Resource, name string, size int) {
	c.Helper()
	eventually(c.T, fmt.Sprintf("%s has the size %d", name, size), func() bool {
		o, err := c.hub.Cluster("abc").Get(r, "default", name)
		return err == nil && strings.Contains(string(o.Status), fmt.Sprintf(`"replicas":%d`, size))
	})
}

func (c *cloud) configuration() *config.Configuration {
	c.Helper()
	out := configure(c.T, strings.TrimPrefix(c.hubURL, "http://"), unreachable(c.T))
	out.SyncTargets = nil
	out.Discovery = &config.Discovery{Workspace: "root:infra", SecretNamespace: "keys", Workspaces: []string{"root:team-a"}, AllowedServers: []string{"127.0.0.0/8"}}
	out.Resources = []config.Resource{{Group: "*", Version: "*", Resource: "*"}}
	return out
}

// SyncTarget objects and kinds that come while the daemon runs are taken up, and let go; no credentials are logged.
func TestWhatIsFoundIsTakenUp(t *testing.T) {
	c := newCloud(t)
	r := run(t, c.configuration())
	eventually(t, "ready", r.isReady(t))
	down := c.register("east")
	c.object(deployments, down, "web", 3)
	c.wantSize(deployments, "web", 3)

	widget := memapi.Resource{GroupVersionResource: gizmos, Kind: "Widget", Namespaced: true, Status: true}
	c.hub.AddResource(widget)
	c.east.AddResource(widget)
	c.object(gizmos, down, "one", 7)
	c.wantSize(gizmos, "one", 7)
	c.east.RemoveResource(gizmos)
	eventually(t, "gizmos are let go", func() bool { return strings.Contains(r.log.String(), "resource not brought up any more") })

	if err := c.hub.Cluster("infra").Delete(syncTargets, "", "east"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing of east is left", func() bool {
		_, body := r.get(t, "/metrics")
		return !strings.Contains(body, `"east"`)
	})
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if strings.Contains(r.log.String(), "canary-token") {
		t.Error("a token was logged")
	}
}

// Nothing is brought up while it is not known which SyncTargets there are.
func TestNotReadyBeforeTheSyncTargetsAreKnown(t *testing.T) {
	c := newCloud(t)
	denied := denyingSecrets(c)
	conf := c.configuration()
	conf.Upstream.Kubeconfig = kubeconfig(t, strings.TrimPrefix(denied.server.URL, "http://"))
	r := run(t, conf)
	eventually(t, "waiting for them", func() bool {
		_, body := r.get(t, "/readyz")
		return strings.Contains(body, errUndiscovered.Error())
	})
	eventually(t, "said", func() bool {
		return strings.Contains(r.log.String(), "SyncTarget objects or their Secrets cannot be listed")
	})
	if strings.Contains(r.log.String(), "resource brought up") {
		t.Error("a resource was brought up")
	}
	denied.allow()
	eventually(t, "ready", r.isReady(t))
}

// The file is followed while the daemon runs: fields that may change do, a wrong file changes nothing, and other changes are logged.
func TestTheConfigurationIsFollowed(t *testing.T) {
	_, address := serveOn(t, "127.0.0.1:0", map[string]string{"root:team-a": "abc"})
	_, one := serveOn(t, "127.0.0.1:0", nil)
	_, two := serveOn(t, "127.0.0.1:0", nil)
	_, three := serveOn(t, "127.0.0.1:0", nil)
	c := configure(t, address, one)
	file := filepath.Join(t.TempDir(), "upstreamd.yaml")
	// replace puts a file in the place of another at once, as editors and the kubelet do: no reader gets half of it.
	replace := func(file string, content []byte) {
		t.Helper()
		if err := errors.Join(os.WriteFile(file+".new", content, 0o600), os.Rename(file+".new", file)); err != nil {
			t.Fatal(err)
		}
	}
	write := func(c *config.Configuration) {
		t.Helper()
		content, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		replace(file, content)
	}
	write(c)
	log := &syncBuffer{}
	a, err := New(c, zerolog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	a.pace.configuration = 10 * time.Millisecond
	reload := make(chan os.Signal, 1)
	a.Follow(file, reload)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	said := func(text string) func() bool { return func() bool { return strings.Contains(log.String(), text) } }
	eventually(t, "a is added", said(`"sync_target":"a","message":"SyncTarget added"`))

	more := *c
	more.SyncTargets = append(more.SyncTargets[:1:1], config.SyncTarget{Name: "b", Cluster: "root:infra", Kubeconfig: kubeconfig(t, two), Workspaces: []string{"root:team-a"}})
	more.Resources = []config.Resource{{Version: "v1", Resource: "pods"}}
	more.Debounce.Quiet.Duration *= 2
	write(&more)
	for _, text := range []string{`"sync_target":"b","message":"SyncTarget added"`, `"resource":"pods.v1","message":"resource brought up"`,
		`"resource":"deployments.v1.apps","message":"resource not brought up any more`, `"fields":["debounce"]`} {
		eventually(t, text, said(text))
	}

	wrong := more
	wrong.SyncTargets = []config.SyncTarget{{Name: "B", Cluster: "root:infra", Kubeconfig: "/is/not/there", Workspaces: []string{"root:x"}}}
	write(&wrong)
	eventually(t, "said to be wrong", said("the configuration is wrong now"))
	for _, text := range []string{"syncTargets[0].name", "syncTargets[0].kubeconfig", "syncTargets[0].workspaces[0]"} {
		if !said(text)() {
			t.Errorf("%s is not said", text)
		}
	}
	if said("SyncTarget removed")() {
		t.Error("a wrong file removed a SyncTarget")
	}

	// The same file with another kubeconfig behind it, and a signal to reload.
	write(&more)
	replace(more.SyncTargets[1].Kubeconfig, []byte("clusters: 5"))
	reload <- syscall.SIGHUP
	eventually(t, "the broken kubeconfig is said", said("syncTargets[1].kubeconfig"))
	moved, err := os.ReadFile(kubeconfig(t, three))
	if err != nil {
		t.Fatal(err)
	}
	replace(more.SyncTargets[1].Kubeconfig, moved)
	eventually(t, "b is led elsewhere", said(`"sync_target":"b","message":"SyncTarget has other credentials or another address"`))
	more.SyncTargets = more.SyncTargets[1:]
	write(&more)
	eventually(t, "a is removed", said(`"sync_target":"a","message":"SyncTarget removed`))
	if n := strings.Count(log.String(), "the configuration is wrong now"); n != 2 {
		t.Errorf("it was said %d times that the configuration is wrong, want 2", n)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// denying is a hub that refuses to list Secrets until allow is called.
type denying struct {
	server *httptest.Server
	mu     sync.Mutex
	open   bool
}

func (d *denying) allow() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = true
}

func denyingSecrets(c *cloud) *denying {
	d := &denying{}
	d.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		open := d.open
		d.mu.Unlock()
		if !open && strings.HasSuffix(r.URL.Path, "/secrets") {
			kubetest.Status(http.StatusForbidden, "Forbidden")(w, r)
			return
		}
		c.hub.ServeHTTP(w, r)
	}))
	c.Cleanup(func() {
		d.server.CloseClientConnections()
		d.server.Close()
	})
	return d
}
