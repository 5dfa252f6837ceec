package app

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/config"
)

func ask(h http.Handler, host, path string) (code int, body string) {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestWhatIsServed(t *testing.T) {
	why := errors.New("upstream https://kcp.internal:6443 does not answer\x1b[2J")
	unready := func() error { return why }
	for _, tt := range []struct {
		name       string
		gate       gate
		host, path string
		code       int
		body       string
	}{
		{"health on loopback", gate{local: true}, "localhost:8080", "/livez", 200, "ok\n"},
		{"why it is not ready, on loopback", gate{local: true}, "127.0.0.1:8080", "/readyz", 503, `not ready: upstream https://kcp.internal:6443 does not answer\x1b[2J` + "\n"},
		{"why it is not ready, to others", gate{}, "upstreamd.upstreamd:8443", "/readyz", 503, "not ready; the log says why\n"},
		{"a web page that calls itself 127.0.0.1", gate{local: true}, "attacker.example", "/metrics", 421, ""},
		{"profiles, off", gate{local: true}, "localhost", "/debug/pprof/", 404, ""},
		{"profiles, on", gate{local: true, profiling: true}, "localhost", "/debug/pprof/", 200, ""},
		{"the command line, on", gate{local: true, profiling: true}, "localhost", "/debug/pprof/cmdline", 404, ""},
		{"profiles, for a web page", gate{local: true, profiling: true}, "attacker.example", "/debug/pprof/heap", 421, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, body := ask(endpoints(prometheus.NewRegistry(), unready, func() string { return "ok" }, tt.gate), tt.host, tt.path)
			if code != tt.code || tt.body != "" && body != tt.body {
				t.Errorf("%d %.200q, want %d %q", code, body, tt.code, tt.body)
			}
		})
	}
}

// TestServedUnderACertificateOfItsOwn starts the daemon off loopback: it serves the certificate that the log names, over HTTP/1.1.
func TestServedUnderACertificateOfItsOwn(t *testing.T) {
	_, address := serveOn(t, "127.0.0.1:0", map[string]string{"root:team-a": "abc"})
	c := configure(t, address, unreachable(t))
	c.Serving = config.Serving{Address: "0.0.0.0:0", TLS: &config.ServingTLS{}, Reviews: &config.Reviews{Kubeconfig: kubeconfig(t, address)}}
	if errs := c.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	r := run(t, c)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(r.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	get := func(path, token string) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://127.0.0.1:"+port+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	resp, _ := get("/livez", "")
	if resp.StatusCode != http.StatusOK || resp.Proto != "HTTP/1.1" || !strings.Contains(r.log.String(), "signed by itself") {
		t.Errorf("%d over %s", resp.StatusCode, resp.Proto)
	}
	// The API server of this test knows no reviews: no client is admitted.
	if resp, body := get("/metrics", "token"); resp.StatusCode != http.StatusServiceUnavailable || strings.Contains(body, "upstreamd_") {
		t.Errorf("%d %.100s", resp.StatusCode, body)
	}
	if resp, _ := get("/livez", strings.Repeat("x", 64<<10)); resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d for a header of 64 KiB", resp.StatusCode)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

func TestAGateThatCannotBeMadeStopsTheStart(t *testing.T) {
	_, address := serveOn(t, "127.0.0.1:0", nil)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for field, s := range map[string]config.Serving{
		"serving.tls":     {Address: "127.0.0.1:0", TLS: &config.ServingTLS{CertFile: empty, KeyFile: empty}},
		"serving.reviews": {Address: "127.0.0.1:0", TLS: &config.ServingTLS{}, Reviews: &config.Reviews{InCluster: true}},
	} {
		c := configure(t, address, address)
		c.Serving = s
		if _, err := New(c, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := listen(context.Background(), "127.0.0.1:99999", http.NotFoundHandler(), mainService(gate{}), Bridge(zerolog.Nop(), "http")); err == nil {
		t.Error("an address that is none was taken")
	}
}
