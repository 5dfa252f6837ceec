package app

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// apiServer answers as an API server without objects, for the parts of a start that need an answer. Everything else about
// API servers is tested on real ones, in the sandbox.
type apiServer struct {
	mu     sync.Mutex
	names  map[string]string // logical cluster by workspace path
	listed map[string]int    // watches that were opened, by path
	closed bool              // deployments are neither listed nor watched
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	workspace := ""
	if rest, ok := strings.CutPrefix(r.URL.Path, "/clusters/"); ok {
		workspace, _, _ = strings.Cut(rest, "/")
	}
	s.mu.Lock()
	name, known := s.names[workspace]
	watched := r.URL.Query().Get("watch") != ""
	refused := s.closed && strings.HasSuffix(r.URL.Path, "/deployments")
	if watched && !refused {
		s.listed[r.URL.Path]++
	}
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	say := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	switch {
	case r.URL.Path == "/readyz":
		w.WriteHeader(http.StatusOK)
	case strings.HasSuffix(r.URL.Path, "/logicalclusters/cluster") && known:
		say(map[string]any{"kind": "LogicalCluster", "metadata": map[string]any{"name": "cluster", "annotations": map[string]any{"kcp.io/cluster": name}}})
	case refused:
		w.WriteHeader(http.StatusServiceUnavailable)
	case watched:
		say(map[string]any{"type": "BOOKMARK", "object": map[string]any{"metadata": map[string]any{
			"resourceVersion": "1", "annotations": map[string]any{"k8s.io/initial-events-end": "true"},
		}}})
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case strings.HasSuffix(r.URL.Path, "/deployments"), strings.HasSuffix(r.URL.Path, "/namespaces"):
		say(map[string]any{"kind": "List", "apiVersion": "v1", "metadata": map[string]any{"resourceVersion": "1"}, "items": []any{}})
	case strings.HasSuffix(r.URL.Path, "/apis/apps/v1"):
		say(map[string]any{"kind": "APIResourceList", "groupVersion": "apps/v1", "resources": []any{
			map[string]any{"name": "deployments", "kind": "Deployment", "namespaced": true},
			map[string]any{"name": "deployments/status", "kind": "Deployment", "namespaced": true, "verbs": []any{"patch"}},
		}})
	case strings.HasSuffix(r.URL.Path, "/apis"):
		say(map[string]any{"kind": "APIGroupList", "groups": []any{}})
	default:
		w.WriteHeader(http.StatusNotFound)
		say(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404})
	}
}

func (s *apiServer) watches(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listed[path]
}

func (s *apiServer) rename(workspace, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[workspace] = name
}

func (s *apiServer) close(closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = closed
}

// serveOn starts an apiServer at an address; "127.0.0.1:0" is a free one.
func serveOn(t *testing.T, address string, names map[string]string) (*apiServer, string) {
	t.Helper()
	s := &apiServer{names: names, listed: map[string]int{}}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: s, ReadHeaderTimeout: time.Second}}
	server.Start()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return s, listener.Addr().String()
}

// unreachable is an address without a listener.
func unreachable(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func kubeconfig(t *testing.T, address string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "kubeconfig")
	content := `{"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c"}}],
		"clusters": [{"name": "c", "cluster": {"server": "http://` + address + `"}}]}`
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
