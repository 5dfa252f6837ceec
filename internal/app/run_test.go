package app

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/config"
)

// configure is a configuration with one workspace and SyncTargets at the given addresses.
func configure(t *testing.T, upstream string, targets ...string) *config.Configuration {
	t.Helper()
	c := config.Defaults()
	c.Serving.Address = "127.0.0.1:0"
	c.Upstream = config.Upstream{Kubeconfig: kubeconfig(t, upstream), Workspaces: []string{"root:team-a"}}
	c.Resources = []config.Resource{{Group: "apps", Version: "v1", Resource: "deployments"}}
	for i, address := range targets {
		c.SyncTargets = append(c.SyncTargets, config.SyncTarget{
			Name: string(rune('a' + i)), Cluster: "root:infra", Kubeconfig: kubeconfig(t, address), Workspaces: []string{"root:team-a"},
		})
	}
	if errs := c.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	return c
}

// running is a daemon that a test started.
type running struct {
	base string // URL of what it serves
	log  *syncBuffer
	stop func() error
}

func run(t *testing.T, c *config.Configuration) *running {
	t.Helper()
	r := &running{log: &syncBuffer{}}
	a, err := New(c, zerolog.New(r.log))
	if err != nil {
		t.Fatal(err)
	}
	a.pace = pace{resolveEvery: 50 * time.Millisecond, resolveSoon: 20 * time.Millisecond, resolveLate: 100 * time.Millisecond, policies: 10 * time.Millisecond,
		configuration: 10 * time.Millisecond, mend: 20 * time.Millisecond, survey: 50 * time.Millisecond, again: 20 * time.Millisecond, warm: 10 * time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	address := a.Address(ctx)
	if address == nil {
		t.Fatal(<-ended)
	}
	r.base = "http://" + address.String()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		_ = r.stop()
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	return r
}

func (r *running) get(t *testing.T, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.base+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatal("still not: " + what)
}

func (r *running) isReady(t *testing.T) func() bool {
	return func() bool { code, _ := r.get(t, "/readyz"); return code == http.StatusOK }
}

func TestReadyOnceUpstreamIsListedWhateverTheSyncTargetsDo(t *testing.T) {
	server, address := serveOn(t, "127.0.0.1:0", map[string]string{"root:team-a": "abc"})
	_, target := serveOn(t, "127.0.0.1:0", nil)
	r := run(t, configure(t, address, unreachable(t), target))
	eventually(t, "ready", r.isReady(t))
	if n := server.watches("/clusters/abc/apis/apps/v1/deployments"); n == 0 {
		t.Error("the workspace was not watched under the name of its logical cluster")
	}
	code, body := r.get(t, "/metrics")
	for _, want := range []string{"upstreamd_writer_queue_depth 0", "go_goroutines", "process_open_fds", "go_build_info"} {
		if code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("/metrics answers %d without %s", code, want)
		}
	}
	eventually(t, "the SyncTarget that is away is counted", func() bool {
		_, body := r.get(t, "/metrics")
		return strings.Contains(body, `upstreamd_watch_errors_total{resource="deployments.v1.apps",sync_target="a"}`) ||
			strings.Contains(body, `upstreamd_watch_errors_total{resource="namespaces.v1",sync_target="a"}`)
	})
	if err := r.stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
	if _, err := net.DialTimeout("tcp", strings.TrimPrefix(r.base, "http://"), time.Second); err == nil {
		t.Error("it still serves after it stopped")
	}
}

func TestUpstreamThatIsAwayAtTheStart(t *testing.T) {
	address := unreachable(t)
	r := run(t, configure(t, address, unreachable(t)))
	eventually(t, "said", func() bool { return strings.Contains(r.log.String(), "upstream does not answer") })
	if code, body := r.get(t, "/livez"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("/livez: %d %q", code, body)
	}
	if code, body := r.get(t, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "not ready: ") {
		t.Errorf("/readyz: %d %q", code, body)
	}
	serveOn(t, address, map[string]string{"root:team-a": "abc"})
	eventually(t, "ready after upstream came", r.isReady(t))
	if n := strings.Count(r.log.String(), "upstream does not answer"); n != 1 {
		t.Errorf("said %d times that upstream is away", n)
	}
}

func TestNotReadyUntilUpstreamIsListed(t *testing.T) {
	server, address := serveOn(t, "127.0.0.1:0", map[string]string{"root:team-a": "abc"})
	_, target := serveOn(t, "127.0.0.1:0", nil)
	server.close(true)
	r := run(t, configure(t, address, target))
	eventually(t, "started", func() bool { return strings.Contains(r.log.String(), `"message":"started"`) })
	eventually(t, "waiting for the list", func() bool {
		code, body := r.get(t, "/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "upstream has not been listed yet")
	})
	server.close(false)
	eventually(t, "ready", r.isReady(t))
}

func TestStopWhileUpstreamIsAway(t *testing.T) {
	r := run(t, configure(t, unreachable(t), unreachable(t)))
	eventually(t, "said", func() bool { return strings.Contains(r.log.String(), "upstream does not answer") })
	if err := r.stop(); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestAWorkspaceThatIsMadeAnewIsFollowed(t *testing.T) {
	server, address := serveOn(t, "127.0.0.1:0", map[string]string{"root:team-a": "abc"})
	_, target := serveOn(t, "127.0.0.1:0", nil)
	r := run(t, configure(t, address, target))
	eventually(t, "ready", r.isReady(t))
	server.rename("root:team-a", "xyz")
	eventually(t, "watched under its new name", func() bool { return server.watches("/clusters/xyz/apis/apps/v1/deployments") > 0 })
	eventually(t, "ready again", r.isReady(t))
	if err := r.stop(); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestAPlainHubIsOneWorkspaceWithoutAName(t *testing.T) {
	server, address := serveOn(t, "127.0.0.1:0", nil)
	c := configure(t, address, address)
	c.Upstream.Workspaces, c.SyncTargets[0].Workspaces, c.Serving.Address = nil, nil, ""
	a, err := New(c, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if got := a.target(c.SyncTargets[0]); len(got.Workspaces) != 1 || got.Workspaces[0] != "" || got.Name != "a" {
		t.Errorf("got %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	eventually(t, "watched", func() bool { return server.watches("/apis/apps/v1/deployments") >= 2 }) // as upstream, and as SyncTarget
	if a.Address(ctx) != nil {
		t.Error("it serves although it was not asked to")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAPortThatIsTakenStopsTheStart(t *testing.T) {
	_, address := serveOn(t, "127.0.0.1:0", nil)
	c := configure(t, address, address)
	c.Serving.Address = address
	a, err := New(c, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "serving.address: ") {
		t.Errorf("got %v", err)
	}
}

func TestNewTellsAllThatIsWrong(t *testing.T) {
	c := configure(t, unreachable(t), unreachable(t), unreachable(t))
	dir := t.TempDir()
	write := func(name, content string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	c.Upstream.Kubeconfig = write("upstream", "clusters: 5")
	c.SyncTargets[0].Kubeconfig = write("empty", "")
	c.SyncTargets[1].Context = "other"
	c.Policies.Directory = dir
	write("bad.yaml", "apiVersion: upstreamd.dev/v1alpha1\nkind: StatusPolicy\nmetadata: {name: x}\nspec: {strategi: Merge}\n")
	write("worse.yml", "{")
	_, err := New(c, zerolog.Nop())
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"upstream.kubeconfig: ", "syncTargets[0].kubeconfig: ", "syncTargets[1].kubeconfig: ", "specified context: other", "policies.directory: ", "strategi", "worse.yml"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
}

func TestPolicies(t *testing.T) {
	builtin, err := Policies("")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	doc := "apiVersion: upstreamd.dev/v1alpha1\nkind: StatusPolicy\nmetadata: {name: widgets}\nspec: {resources: [{group: example.com, resource: widgets}], strategy: Latest}\n"
	for name, content := range map[string]string{"widgets.yaml": doc, "notes.txt": "{"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "later.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	set, err := Policies(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(set.All()), len(builtin.All())+1; got != want {
		t.Errorf("%d policies, want %d", got, want)
	}
	if _, err := Policies(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "policies.directory: ") {
		t.Errorf("got %v", err)
	}
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
