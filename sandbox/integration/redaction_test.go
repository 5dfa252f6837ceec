package integration

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/cert"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/shown"
	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/controlplane"
	"github.com/upstreamd/upstreamd/sandbox/front"
)

// canary is the unique prefix of all test secrets. It must not appear in any output.
const canary = "canaryXq7-"

// echoServer is an API server that echoes the request's credentials in every form that an error may have.
type echoServer struct {
	*httptest.Server
	mu       sync.Mutex
	requests map[string]int // by the secret in the Authorization header
}

func newEchoServer(t *testing.T) *echoServer {
	t.Helper()
	p := &echoServer{requests: map[string]int{}}
	p.Server = httptest.NewTLSServer(p)
	p.Config.ErrorLog = nil
	t.Cleanup(func() { p.CloseClientConnections(); p.Close() })
	return p
}

func (p *echoServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	authorization := r.Header.Get("Authorization")
	_, secret, _ := strings.Cut(authorization, " ")
	if decoded, err := base64.StdEncoding.DecodeString(secret); err == nil && strings.HasPrefix(authorization, "Basic ") {
		secret = string(decoded)
	}
	p.mu.Lock()
	p.requests[secret]++
	turn := p.requests[secret]
	p.mu.Unlock()
	text := fmt.Sprintf("I do not know %s, that is %q\r\x1b[2J\x1b]0;mine\x07\u202e\u009b2J\n%s", authorization, secret, strings.Repeat("long ", 4<<10))
	failure := metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Reason: metav1.StatusReasonForbidden, Code: 403,
		Message: text, Details: &metav1.StatusDetails{Name: secret, Causes: []metav1.StatusCause{{Message: text}}},
	}
	switch turn % 5 {
	case 0:
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, text)
	case 1:
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(failure)
	case 2:
		http.Error(w, text, http.StatusInternalServerError)
	case 3:
		_ = json.NewEncoder(w).Encode(map[string]any{"type": "ERROR", "object": failure})
	case 4:
		w.Header().Set("Location", "https://elsewhere.example/?"+secret)
		w.WriteHeader(http.StatusFound)
	}
}

// reset makes the server start over with its first answer to each secret.
func (p *echoServer) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.requests)
}

// TestSecretsAreNotLeaked gives the daemon every kind of credential, valid and malformed, and servers that echo them, and searches all its
// output for them.
func TestSecretsAreNotLeaked(t *testing.T) {
	w := newDiscovered(t, sandbox.Options{SyncTargets: []string{"us-east1"}})
	p := newEchoServer(t)
	w.grant("us-east1", asItIs)
	file := func(name, content string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		w.must(os.WriteFile(path, []byte(content), 0o700))
		return path
	}
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}))
	clientCert, clientKey, err := cert.GenerateSelfSignedCertKey("me", nil, nil)
	w.must(err)
	write := func(cluster, user string) string {
		return fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
			"clusters": [{"name": "c", "cluster": {"server": %q, "certificate-authority-data": %q%s}}], "users": [{"name": "c", "user": {%s}}]}`, p.URL, ca, cluster, user)
	}
	program := func(output string) string {
		return fmt.Sprintf(`"exec": {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", "command": %q, "env": [{"name": "SECRET", "value": %q}]}`,
			file("program", "#!/bin/sh\necho '"+output+"'\n"), canary+"env")
	}
	users := map[string]string{
		"token":       `"token": "` + canary + `token"`,
		"token-file":  fmt.Sprintf(`"tokenFile": %q`, file("token", canary+"file\n")),
		"password":    `"username": "me", "password": "` + canary + `password"`,
		"certificate": fmt.Sprintf(`"client-certificate-data": %q, "client-key-data": %q`, base64.StdEncoding.EncodeToString(clientCert), base64.StdEncoding.EncodeToString(clientKey)),
		"program":     program(`{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "` + canary + `program"}}`),
		"bad-program": program(`{"status": "` + canary + `output"`),
	}
	configured := map[string]string{}
	add := func(name, content string) {
		configured[name] = file(name, content)
		w.config.SyncTargets = append(w.config.SyncTargets, config.SyncTarget{Name: name, Cluster: infra, Kubeconfig: configured[name], Workspaces: []string{teamA}})
	}
	for name, user := range users {
		add(name, write("", user))
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "unknown credentials "+r.Header.Get("Proxy-Authorization"), http.StatusProxyAuthRequired)
	}))
	t.Cleanup(proxy.Close)
	proxied := strings.Replace(proxy.URL, "http://", "http://me:"+canary+"proxy@", 1)
	add("proxy", write(fmt.Sprintf(`, "proxy-url": %q`, proxied), `"token": "`+canary+`behind"`))

	// SyncTarget objects: one with the echo server, one with a Secret beyond the allow-list, one with a malformed Secret.
	for name, content := range map[string]string{
		"object": write("", `"token": "`+canary+`object"`), "greedy": write("", program("")), "garbage": "token: " + canary + "garbage\n\t- [",
	} {
		_, err := dynamicClient(t, w.Workspace(infra).Config()).Resource(syncTargets).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "workload.kcp.io/v1alpha1", "kind": "SyncTarget", "spec": map[string]any{},
			"metadata": map[string]any{"name": name, "annotations": map[string]any{"upstreamd.dev/kubeconfig-secret": keys + "/" + name}},
		}}, metav1.CreateOptions{})
		w.must(err)
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{"kubeconfig": content}}
		_, err = client(t, w.Workspace(infra).Config()).CoreV1().Secrets(keys).Create(t.Context(), secret, metav1.CreateOptions{})
		w.must(err)
	}

	// Upstream echoes credentials too, once.
	var refused atomic.Int32
	w.Front.Intercept(func(rw http.ResponseWriter, r *http.Request, call front.Call) bool {
		if call.Verb != "patch" || refused.Add(1) > 1 {
			return false
		}
		rw.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(rw, "unknown credentials "+r.Header.Get("Authorization"))
		return true
	})

	w.config.Serving.Profiling = true
	w.flags = []string{"--log-level", "trace"}
	w.startUnready()
	w.place(teamA, "web")
	w.report("us-east1", teamA, "web", 2)
	w.wantReady(teamA, "web", 2)
	log := func() string {
		t.Helper()
		content, err := os.ReadFile(w.daemon.Log())
		w.must(err)
		return string(content)
	}
	w.eventually(func() error {
		for _, name := range []string{"token", "file", "password", "program", "object"} {
			secret := canary + name
			if name == "password" {
				secret = "me:" + secret
			}
			p.mu.Lock()
			n := p.requests[secret]
			p.mu.Unlock()
			if n < 5 {
				return fmt.Errorf("the server received %s %d times", name, n)
			}
		}
		if !strings.Contains(log(), "(withheld)") || refused.Load() == 0 {
			return fmt.Errorf("nothing was echoed, or nothing was redacted; upstream refused %d writes", refused.Load())
		}
		return nil
	})

	// Files that become invalid at run time.
	for name, broken := range map[string]string{
		"token":    strings.Replace(write("", users["token"]), "https://", "https://me:"+canary+"url@ ", 1),
		"password": "users: !!int " + canary + "tag",
		"proxy":    write(fmt.Sprintf(`, "proxy-url": "http://me:%sproxy@ host"`, canary), users["token"]),
	} {
		before := strings.Count(log(), "the configuration is wrong now")
		good, err := os.ReadFile(configured[name])
		w.must(err)
		w.must(os.WriteFile(configured[name], []byte(broken), 0o600))
		w.must(w.daemon.Signal(syscall.SIGHUP))
		w.eventually(func() error {
			if strings.Count(log(), "the configuration is wrong now") == before {
				return fmt.Errorf("%s is invalid, and the log does not report it", name)
			}
			return nil
		})
		out, err := exec.CommandContext(t.Context(), binary, "config", "validate", filepath.Join(w.Dir(), "upstreamd-1.yaml")).CombinedOutput()
		if err == nil {
			t.Errorf("%s is accepted although it is invalid", name)
		}
		check(t, "config validate: "+name, string(out))
		w.must(os.WriteFile(configured[name], good, 0o600))
	}

	p.reset() // the second daemon gets the first answers again
	testConsole(t, w)
	secrets := []string{canary, base64.StdEncoding.EncodeToString([]byte("me:" + canary))[:16], w.Upstream().BearerToken, strings.Split(string(clientKey), "\n")[1]}
	for _, path := range []string{"/metrics", "/readyz", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/cmdline", "/debug/pprof/"} {
		check(t, path, served(t, "http://"+w.daemon.Address+path), secrets...)
	}
	checkPrintable(t, log())
	w.must(w.daemon.Signal(syscall.SIGQUIT)) // dumps all goroutines on exit
	<-w.daemon.Done()
	whole := log()
	if !strings.Contains(whole, "SIGQUIT") || strings.Count(whole, "(withheld)") < 5 {
		t.Errorf("no dump, or nothing redacted in %d bytes of log", len(whole))
	}
	check(t, "log", whole, secrets...)
}

// testConsole runs a second daemon on the same configuration, with the console log format.
func testConsole(t *testing.T, w *world) {
	t.Setenv("NO_COLOR", "1")
	process, err := controlplane.StartProcess(filepath.Join(w.Dir(), "console.log"), binary,
		"run", "--config", filepath.Join(w.Dir(), "upstreamd-1.yaml"), "--log-format", "console", "--log-level", "trace")
	w.must(err)
	defer process.Kill()
	read := func() string {
		content, err := os.ReadFile(process.Log())
		w.must(err)
		return string(content)
	}
	w.eventually(func() error {
		if n := strings.Count(read(), "I do not know"); n < 3 {
			return fmt.Errorf("%d errors of the server are logged", n)
		}
		return nil
	})
	process.Kill()
	check(t, "console", read(), w.Upstream().BearerToken)
	checkPrintable(t, read())
}

// checkPrintable expects a log without control sequences and overlong lines.
func checkPrintable(t *testing.T, log string) {
	t.Helper()
	for line := range strings.Lines(log) {
		if !shown.Printable(line) || strings.Contains(line, "\t") || len(line) > 16<<10 {
			t.Errorf("unprintable or overlong line of %d bytes: %.300q", len(line), line)
		}
	}
}

// check searches output for secrets.
func check(t *testing.T, where, text string, secrets ...string) {
	t.Helper()
	for _, secret := range append(slices.Clone(secrets), canary) {
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("%s leaks a secret: …%s…", where, text[max(0, at-300):min(len(text), at+100)])
		}
	}
}

// served returns the response body of a URL.
func served(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
