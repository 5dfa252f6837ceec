package app

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/kube/upstream"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/ref"
)

func TestWhichWorkspacesUpstreamServes(t *testing.T) {
	export := &config.APIExport{Workspace: "root:provider", Name: "compute"}
	for name, tt := range map[string]struct {
		upstream config.Upstream
		bound    [][]string // by SyncTarget
		want     upstream.Options
	}{
		"a hub":           {config.Upstream{}, [][]string{nil}, upstream.Options{}},
		"listed":          {config.Upstream{Workspaces: []string{"root:a", "b"}}, [][]string{{"b"}}, upstream.Options{Workspaces: []string{"root:a", "b"}}},
		"all of a server": {config.Upstream{Wildcard: true}, [][]string{{"root:b", "root:a"}, {"root:a"}}, upstream.Options{Workspaces: []string{"*"}, Bound: []string{"root:a", "root:b"}}},
		"an APIExport":    {config.Upstream{APIExport: export}, [][]string{{"*"}}, upstream.Options{Export: &upstream.Export{Workspace: "root:provider", Name: "compute"}, Bound: []string{}}},
		"an APIExport, direct": {
			config.Upstream{APIExport: export, WriteVia: config.ViaDirect}, [][]string{{"*"}, {"c"}},
			upstream.Options{Export: &upstream.Export{Workspace: "root:provider", Name: "compute", Direct: true}, Bound: []string{"c"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &App{config: &config.Configuration{Upstream: tt.upstream}, agent: "test"}
			for _, w := range tt.bound {
				a.config.SyncTargets = append(a.config.SyncTargets, config.SyncTarget{Workspaces: w})
			}
			tt.want.UserAgent = "test"
			got := a.upstreamOptions()
			got.Logger = zerolog.Logger{}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(zerolog.Logger{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestBoundToAllStaysSo(t *testing.T) {
	_, address := serveOn(t, "127.0.0.1:0", map[string]string{"root:team-a": "abc"})
	c := configure(t, address, address)
	c.Upstream.Workspaces, c.Upstream.Wildcard, c.Locators = nil, true, []string{config.NamespaceLocator}
	c.SyncTargets[0].Workspaces = []string{config.AllWorkspaces}
	if errs := c.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	a, err := New(c, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ref.Workspace{"*"}, a.target(c.SyncTargets[0]).Workspaces); diff != "" {
		t.Error(diff)
	}
}

// TestBoundByAPathThatLeadsElsewhere: in APIExport mode a workspace that was made anew under its path is followed while all else goes on.
func TestBoundByAPathThatLeadsElsewhere(t *testing.T) {
	kcp, kcpAddress := inMemory(t, memapi.KCP())
	east, eastAddress := inMemory(t, memapi.Kubernetes())
	kcp.AddWorkspace("prov1der", "root:provider")
	kcp.AddExport("prov1der", "compute", deployments)

	c := configure(t, kcpAddress, eastAddress)
	c.Upstream.Workspaces, c.Upstream.APIExport = nil, &config.APIExport{Workspace: "root:provider", Name: "compute"}
	c.Locators = []string{config.NamespaceLocator}
	resolver, err := locator.New(c.Locators, locator.Target{Name: "a", Cluster: "root:infra", UID: "u"})
	if err != nil {
		t.Fatal(err)
	}
	c.SyncTargets[0].UID = "u"

	consume := func(workspace string, ready int) {
		t.Helper()
		kcp.AddWorkspace(workspace, "root:team-a")
		kcp.Bind(workspace, "prov1der", "compute")
		copied(t, kcp, east, resolver, workspace, ready)
	}
	consume("aaa", 2)
	r := run(t, c)
	shows(t, kcp, "aaa", 2)
	kcp.RemoveWorkspace("aaa")
	consume("bbb", 3)
	shows(t, kcp, "bbb", 3)
	if strings.Contains(r.log.String(), "starting anew") {
		t.Error("everything was started anew for one binding")
	}
}

// copied makes a Deployment in a workspace, and its copy with a status in a SyncTarget.
func copied(t *testing.T, kcp, east *memapi.Server, resolver *locator.Resolver, workspace string, ready int) {
	t.Helper()
	u := ref.Upstream{Workspace: ref.Workspace(workspace), Namespace: "default", Name: "web"}
	ns, err1 := resolver.DownNamespace(u.Workspace, u.Namespace)
	down, err2 := resolver.DownObject(deployments, u)
	_, err3 := kcp.Cluster(workspace).Create(deployments, object("apps/v1", "Deployment", u.Namespace, u.Name, nil, nil))
	_, err4 := east.Cluster("").Create(namespaces, object("v1", "Namespace", "", ns.Name, ns.Labels, ns.Annotations))
	_, err5 := east.Cluster("").Create(deployments, object("apps/v1", "Deployment", down.Namespace, down.Name, down.Labels, down.Annotations))
	_, err6 := east.Cluster("").UpdateStatus(deployments, down.Namespace, down.Name, map[string]any{"replicas": ready, "readyReplicas": ready})
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
}

// shows waits until the Deployment of a workspace shows a count.
func shows(t *testing.T, kcp *memapi.Server, workspace string, ready int) {
	t.Helper()
	eventually(t, "the status is in "+workspace, func() bool {
		o, err := kcp.Cluster(workspace).Get(deployments, "default", "web")
		return err == nil && strings.Contains(string(o.Status), fmt.Sprintf(`"readyReplicas":%d`, ready))
	})
}

// TestAWorkspaceReplacedDuringAWrite: the write to the old workspace never returns, and the daemon starts anew after the shutdown
// timeout; the statuses of the new workspace are published.
func TestAWorkspaceReplacedDuringAWrite(t *testing.T) {
	writing := make(chan struct{}, 100)
	kcp, kcpAddress := inMemory(t, memapi.KCP(), func(r *http.Request) bool {
		if r.Method != http.MethodPatch || !strings.Contains(r.URL.Path, "/clusters/aaa/") {
			return false
		}
		writing <- struct{}{}
		return true
	})
	east, eastAddress := inMemory(t, memapi.Kubernetes())
	c := configure(t, kcpAddress, eastAddress)
	c.Locators = []string{config.NamespaceLocator}
	c.SyncTargets[0].UID = "u"
	c.Shutdown.Timeout.Duration = 200 * time.Millisecond
	resolver, err := locator.New(c.Locators, locator.Target{Name: "a", Cluster: "root:infra", UID: "u"})
	if err != nil {
		t.Fatal(err)
	}
	kcp.AddWorkspace("aaa", "root:team-a")
	copied(t, kcp, east, resolver, "aaa", 2)
	r := run(t, c)
	<-writing
	kcp.RemoveWorkspace("aaa")
	kcp.AddWorkspace("bbb", "root:team-a")
	copied(t, kcp, east, resolver, "bbb", 3)
	shows(t, kcp, "bbb", 3)
	if !strings.Contains(r.log.String(), "pending writes were not flushed") {
		t.Error("the write ended before the timeout: nothing was tested")
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	time.Sleep(time.Second) // the throttle of the engine's dead letters ends after that
}

// inMemory serves an API server in memory on a socket. Requests that hang selects are never answered.
func inMemory(t *testing.T, resources []memapi.Resource, hang ...func(*http.Request) bool) (*memapi.Server, string) {
	t.Helper()
	var s *memapi.Server
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(hang) > 0 && hang[0](r) {
			_, _ = io.Copy(io.Discard, r.Body) // the server notices a client that is gone only after the body
			<-r.Context().Done()
			return
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s = memapi.New(memapi.Options{URL: server.URL, Resources: resources})
	t.Cleanup(s.Close)
	return s, server.Listener.Addr().String()
}

func object(apiVersion, kind, namespace, name string, labels, annotations map[string]string) map[string]any {
	return map[string]any{
		"apiVersion": apiVersion, "kind": kind,
		"metadata": map[string]any{"namespace": namespace, "name": name, "labels": labels, "annotations": annotations},
		"spec":     map[string]any{},
	}
}
