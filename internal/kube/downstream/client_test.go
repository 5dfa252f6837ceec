package downstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	kt "github.com/upstreamd/upstreamd/internal/kube/kubetest"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/ref"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick is a Backoff for tests on real sockets.
var quick = lean.Backoff{Initial: 10 * time.Millisecond, Max: 50 * time.Millisecond}

func connect(t *testing.T, cfg *rest.Config, opts Options) *Client {
	t.Helper()
	if opts.Backoff == (lean.Backoff{}) {
		opts.Backoff = quick
	}
	c, err := New(cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// secure is a server with TLS and HTTP/2.
func secure(t *testing.T, h http.Handler) (*httptest.Server, *rest.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s, &rest.Config{Host: s.URL, BearerToken: "secret", TLSClientConfig: rest.TLSClientConfig{CAData: pemOf(s)}}
}

func TestWatchOverHTTP2(t *testing.T) {
	var proto, agent, auth string
	_, cfg := secure(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto, agent, auth = r.Proto, r.UserAgent(), r.Header.Get("Authorization")
		if r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("asked for compression: %s", r.Header.Get("Accept-Encoding"))
		}
		kt.Watch(kt.Event("ADDED", kt.Object("ns", "a", 1)), kt.InitialEnd(3), kt.Event("MODIFIED", kt.Object("ns", "a", 4)))(w, r)
	}))
	c := connect(t, cfg, Options{UserAgent: "upstreamd/test"})
	if !c.LastHeard().IsZero() {
		t.Error("heard of a server that was never asked")
	}
	r := kt.NewRecorder()
	kt.Run(t, func(ctx context.Context) { c.Watch(ctx, kt.Deployments, ref.Want{}, r.Emit) })
	r.Expect(t, "Listed ns/a@1", "Changed ns/a@4")
	if proto != "HTTP/2.0" || agent != "upstreamd/test" || auth != "Bearer secret" {
		t.Errorf("spoke %s as %q with %q", proto, agent, auth)
	}
	if time.Since(c.LastHeard()) > time.Minute {
		t.Errorf("LastHeard = %v", c.LastHeard())
	}
}

// TestServerComesAndGoes: nothing listens; then something does; then it is killed; then it is back on the same address.
func TestServerComesAndGoes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	c := connect(t, &rest.Config{Host: "http://" + address}, Options{})
	r := kt.NewRecorder()
	kt.Run(t, func(ctx context.Context) { c.Watch(ctx, kt.Deployments, ref.Want{}, r.Emit) })
	if said := r.Next(t); !strings.Contains(said, "connection refused") {
		t.Fatalf("said %q of a server that is not there", said)
	}
	if !c.LastHeard().IsZero() {
		t.Error("heard of a server that is not there")
	}
	serve := func(h http.Handler) *http.Server {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: h}
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	until := func(want string) {
		for {
			if said := r.Next(t); said == want {
				return
			} else if !strings.HasPrefix(said, "Failed") {
				t.Fatalf("said %q, want %q", said, want)
			}
		}
	}
	first := serve(kt.Watch(kt.Event("ADDED", kt.Object("ns", "a", 1)), kt.InitialEnd(3), kt.Event("MODIFIED", kt.Object("ns", "a", 4))))
	until("Listed ns/a@1")
	until("Changed ns/a@4")
	_ = first.Close()
	second := kt.NewScript(kt.Watch(kt.Event("DELETED", kt.Object("ns", "a", 5))))
	serve(second)
	for said := ""; said == "" || strings.HasPrefix(said, "Failed"); {
		if said = r.Next(t); strings.HasPrefix(said, "Listed") {
			t.Errorf("said %q: a lost connection is no deletion", said)
		}
	}
}

func TestList(t *testing.T) {
	script := kt.NewScript(
		kt.List("7", "two", kt.Object("ns", "a", 1)), kt.List("7", "", kt.Object("ns", "b", 2)), kt.Status(403, "Forbidden"))
	c := connect(t, server(t, script), Options{PageSize: 1})
	got, err := c.List(t.Context(), kt.Deployments, "ns", ref.Want{Selector: "a=b"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Name != "a" || got[1].Name != "b" || string(got[1].Status) != `{"n":2}` {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff([]string{
		"GET /apis/apps/v1/namespaces/ns/deployments?labelSelector=a%3Db&limit=1",
		"GET /apis/apps/v1/namespaces/ns/deployments?continue=two&labelSelector=a%3Db&limit=1",
	}, script.Asked()); diff != "" {
		t.Errorf("a consistent list asks for no resourceVersion: (-want +got)\n%s", diff)
	}
	if _, err := c.List(t.Context(), kt.Deployments, "", ref.Want{}); !apierrors.IsForbidden(err) {
		t.Errorf("error = %v, want the server's", err)
	}
	if _, err := c.List(t.Context(), kt.Deployments, "../secrets", ref.Want{}); err == nil || len(script.Asked()) != 3 {
		t.Errorf("a namespace that leads astray: %v, %q", err, script.Asked())
	}
}

func server(t *testing.T, h http.Handler) *rest.Config {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return &rest.Config{Host: s.URL}
}

func TestProbe(t *testing.T) {
	ok := kt.JSON(200, `{"items":[]}`)
	for name, tc := range map[string]struct {
		script []http.HandlerFunc
		known  bool // a watch of Deployments was started before
		fails  bool
		heard  bool
		asked  []string
	}{
		"ready":     {script: []http.HandlerFunc{ok}, heard: true, asked: []string{"GET /readyz"}},
		"not ready": {script: []http.HandlerFunc{kt.JSON(500, "etcd failed")}, fails: true, asked: []string{"GET /readyz", "GET /api/v1/namespaces?limit=1"}},
		"not ready for somebody else": {
			script: []http.HandlerFunc{kt.JSON(500, "a hook failed"), ok}, heard: true,
			asked: []string{"GET /readyz", "GET /api/v1/namespaces?limit=1"},
		},
		"forbidden":     {script: []http.HandlerFunc{kt.Status(403, "Forbidden"), ok}, heard: true, asked: []string{"GET /readyz", "GET /api/v1/namespaces?limit=1"}},
		"unauthorized":  {script: []http.HandlerFunc{kt.Status(401, "Unauthorized"), ok}, heard: true, asked: []string{"GET /readyz", "GET /api/v1/namespaces?limit=1"}},
		"not offered":   {script: []http.HandlerFunc{kt.JSON(404, ""), ok}, heard: true, asked: []string{"GET /readyz", "GET /api/v1/namespaces?limit=1"}},
		"what is known": {script: []http.HandlerFunc{ok, kt.JSON(403, ""), ok}, known: true, heard: true, asked: []string{"", "GET /readyz", "GET /apis/apps/v1/deployments?limit=1"}},
		"nothing is allowed": {
			script: []http.HandlerFunc{kt.Status(403, "Forbidden")}, fails: true, heard: true,
			asked: []string{"GET /readyz", "GET /api/v1/namespaces?limit=1"},
		},
		"nobody is let in": {
			script: []http.HandlerFunc{kt.Status(401, "Unauthorized")}, fails: true,
			asked: []string{"GET /readyz", "GET /api/v1/namespaces?limit=1"},
		},
		"too busy": {
			script: []http.HandlerFunc{kt.Status(429, "TooManyRequests")}, fails: true,
			asked: []string{"GET /readyz", "GET /api/v1/namespaces?limit=1"},
		},
		"nobody behind it": {
			script: []http.HandlerFunc{kt.JSON(502, "bad gateway")}, fails: true,
			asked: []string{"GET /readyz", "GET /api/v1/namespaces?limit=1"},
		},
		"no answer": {script: []http.HandlerFunc{func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}, fails: true, asked: []string{"GET /readyz"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script := kt.NewScript(tc.script...)
				c := connect(t, kt.Memory(t, script), Options{})
				if tc.known {
					if _, err := c.List(t.Context(), kt.Deployments, "", ref.Want{}); err != nil {
						t.Fatal(err)
					}
				}
				start := time.Now()
				err := c.Probe(t.Context())
				if (err != nil) != tc.fails || c.LastHeard().IsZero() == tc.heard {
					t.Errorf("error %v, heard %v", err, c.LastHeard())
				}
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("took %v", took)
				}
				asked := script.Asked()
				if len(asked) != len(tc.asked) {
					t.Fatalf("asked %q", asked)
				}
				for i, want := range tc.asked {
					if want != "" && asked[i] != want {
						t.Errorf("asked %q, want %q", asked[i], want)
					}
				}
			})
		})
	}
}

// TestLastHeard follows the bytes of a watch, not only its beginning, and the clock that is handed in.
func TestLastHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := connect(t, kt.Memory(t, kt.Watch(kt.InitialEnd(3), kt.Pause, kt.Bookmark(4), kt.Pause, kt.Bookmark(5))), Options{
			Now: func() time.Time { return time.Now().Add(time.Hour) },
		})
		r := kt.NewRecorder()
		kt.Run(t, func(ctx context.Context) { c.Watch(ctx, kt.Deployments, ref.Want{}, r.Emit) })
		for _, want := range []time.Duration{0, 2 * time.Second, 4 * time.Second, 4 * time.Second} {
			synctest.Wait()
			if got := c.LastHeard().Sub(start); got != want+time.Hour {
				t.Errorf("after %v: last heard at %v", time.Since(start), got)
			}
			time.Sleep(2 * time.Second)
		}
	})
}

// TestSilentHTTP2 has a peer that holds the connection open and sends nothing more: pings notice within 12 s.
func TestSilentHTTP2(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 12 s")
	}
	t.Parallel()
	_, cfg := secure(t, kt.Watch(kt.Event("ADDED", kt.Object("ns", "a", 1)), kt.InitialEnd(3)))
	var last *mute
	cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		last = &mute{Conn: conn, silent: make(chan struct{})}
		return last, err
	}
	c := connect(t, cfg, Options{})
	r := kt.NewRecorder()
	kt.Run(t, func(ctx context.Context) { c.Watch(ctx, kt.Deployments, ref.Want{}, r.Emit) })
	r.Expect(t, "Listed ns/a@1")
	start := time.Now()
	close(last.silent)
	r.Expect(t, "Failed")
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("noticed after %v", took)
	}
}

// mute is a connection whose peer falls silent.
type mute struct {
	net.Conn
	silent chan struct{}
}

func (m *mute) Read(p []byte) (int, error) {
	for {
		n, err := m.Conn.Read(p)
		select {
		case <-m.silent:
			if err != nil {
				return 0, err
			}
		default:
			return n, err
		}
	}
}

func TestBadResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := kt.NewScript(kt.JSON(200, "{}"))
		c := connect(t, kt.Memory(t, script), Options{})
		r := kt.NewRecorder()
		kt.Run(t, func(ctx context.Context) {
			c.Watch(ctx, ref.Resource{Group: "a/../../b", Version: "v1", Resource: "x"}, ref.Want{}, r.Emit)
		})
		time.Sleep(time.Hour)
		if said := r.All(); len(said) != 1 || !strings.HasPrefix(said[0], "Failed") || len(script.Asked()) != 0 {
			t.Errorf("said %q, asked %q", said, script.Asked())
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]*rest.Config{
		"URL":         {Host: "http://a b"},
		"CA":          {Host: "https://a", TLSClientConfig: rest.TLSClientConfig{CAFile: "/nowhere/ca.crt"}},
		"both logins": {Host: "https://a", BearerToken: "t", Username: "u", Password: "p"},
	} {
		if _, err := New(cfg, Options{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRedirectedCredentials(t *testing.T) {
	stolen := ""
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stolen = r.Header.Get("Authorization") }))
	defer thief.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		cfg := server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, thief.URL, code) }))
		cfg.BearerToken = "secret"
		c := connect(t, cfg, Options{})
		if _, err := c.List(t.Context(), kt.Deployments, "", ref.Want{}); !errors.Is(err, client.ErrRedirected) {
			t.Errorf("%d: error = %v", code, err)
		}
	}
	if stolen != "" {
		t.Errorf("credentials went elsewhere: %q", stolen)
	}
}

// BenchmarkWatch is one watch over loopback: the cost of an event on both sides, from the server's write to emit.
func BenchmarkWatch(b *testing.B) {
	for name, tls := range map[string]bool{"http": false, "TLS and HTTP2": true} {
		b.Run(name, func(b *testing.B) {
			object := kt.Event("MODIFIED", kt.Object("ns", "a", 4)) + "\n"
			go4k := strings.Replace(object, `"metadata":{`, `"spec":{"padding":"`+strings.Repeat("x", 4000)+`"},"metadata":{`, 1)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, kt.InitialEnd(3)+"\n")
				w.(http.Flusher).Flush()
				for range b.N {
					if _, err := io.WriteString(w, go4k); err != nil {
						return
					}
				}
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}))
			s.EnableHTTP2 = tls
			cfg := &rest.Config{}
			if tls {
				s.StartTLS()
				cfg.CAData = pemOf(s)
			} else {
				s.Start()
			}
			defer s.Close()
			cfg.Host = s.URL
			c, err := New(cfg, Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			done := make(chan struct{})
			n := 0
			b.ReportAllocs()
			b.ResetTimer()
			go func() {
				defer close(done)
				c.Watch(ctx, kt.Deployments, ref.Want{}, func(e ref.Event) {
					if e.Type == ref.Changed {
						if n++; n == b.N {
							cancel()
						}
					}
				})
			}()
			<-done
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
