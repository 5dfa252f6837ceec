package downstream

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	kt "github.com/upstreamd/upstreamd/internal/kube/kubetest"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// guarded is a server that lets one token in, holds one Deployment, and can end its watches.
type guarded struct {
	mu      sync.Mutex
	token   string
	lists   int
	object  string
	cut     chan struct{}
	refused int
}

func newGuarded(token, object string) *guarded {
	return &guarded{token: token, object: object, cut: make(chan struct{})}
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+g.token {
		g.refused++
		kt.Status(http.StatusUnauthorized, "Unauthorized")(w, r)
		return
	}
	if r.URL.Query().Get("watch") == "" {
		return
	}
	events := []string{}
	if r.URL.Query().Get("sendInitialEvents") != "" {
		g.lists++
		events = append(events, kt.Event("ADDED", kt.Object("ns", g.object, 1)), kt.InitialEnd(3))
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	cut := g.cut
	go func() {
		select {
		case <-cut:
			cancel()
		case <-ctx.Done():
		}
	}()
	g.mu.Unlock()
	kt.Watch(events...)(w, r.WithContext(ctx))
	g.mu.Lock()
}

func (g *guarded) admitOnly(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.token = token
}

func (g *guarded) endWatches() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.cut)
	g.cut = make(chan struct{})
}

func (g *guarded) counts() (lists, refused int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lists, g.refused
}

func withToken(cfg *rest.Config, token string) *rest.Config {
	cfg = rest.CopyConfig(cfg)
	cfg.BearerToken = token
	return cfg
}

// Credentials are swapped below open watches: nothing is listed again, and the next call goes out with the new ones.
func TestRotatedCredentialsListNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newGuarded("one", "a")
		cfg := kt.Memory(t, server)
		c := connect(t, withToken(cfg, "one"), Options{})
		r := kt.NewRecorder()
		kt.Run(t, func(ctx context.Context) { c.Watch(ctx, kt.Deployments, ref.Want{}, r.Emit) })
		r.Expect(t, "Listed ns/a@1")
		server.admitOnly("two")
		if err := c.Reconfigure(withToken(cfg, "two")); err != nil {
			t.Fatal(err)
		}
		if err := c.Probe(t.Context()); err != nil {
			t.Errorf("a probe with the new credentials: %v", err)
		}
		time.Sleep(10 * time.Second)
		server.endWatches()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if lists, refused := server.counts(); lists != 1 || refused != 0 {
			t.Errorf("%d lists and %d refused calls, want 1 and none", lists, refused)
		}
		if got := r.All(); len(got) != 1 {
			t.Errorf("told %v", got)
		}
	})
}

// A watch that waits because its credentials were refused is retried at once with new ones.
func TestNewCredentialsAreTriedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newGuarded("two", "a")
		cfg := kt.Memory(t, server)
		c := connect(t, withToken(cfg, "one"), Options{Backoff: lean.Backoff{Initial: 30 * time.Second, Max: time.Minute}})
		r := kt.NewRecorder()
		kt.Run(t, func(ctx context.Context) { c.Watch(ctx, kt.Deployments, ref.Want{}, r.Emit) })
		if got := r.Next(t); !strings.HasPrefix(got, "Failed") {
			t.Fatalf("told %s", got)
		}
		start := time.Now()
		if err := c.Reconfigure(withToken(cfg, "two")); err != nil {
			t.Fatal(err)
		}
		r.Expect(t, "Listed ns/a@1")
		if waited := time.Since(start); waited > time.Second {
			t.Errorf("waited %v", waited)
		}
	})
}

// Another server is listed anew; a configuration that can't be used changes nothing.
func TestAnotherServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := kt.Memory(t, newGuarded("x", "a")), kt.Memory(t, newGuarded("x", "b"))
		second.Host = "http://elsewhere"
		c := connect(t, withToken(first, "x"), Options{})
		r := kt.NewRecorder()
		kt.Run(t, func(ctx context.Context) { c.Watch(ctx, kt.Deployments, ref.Want{}, r.Emit) })
		r.Expect(t, "Listed ns/a@1")
		broken := withToken(first, "x")
		broken.Host = "http://[::1"
		if err := c.Reconfigure(broken); err == nil {
			t.Error("a server URL that is none was taken")
		}
		heard := c.LastHeard()
		if err := c.Reconfigure(withToken(second, "x")); err != nil {
			t.Fatal(err)
		}
		if c.LastHeard().Before(heard) {
			t.Errorf("LastHeard went back from %v to %v", heard, c.LastHeard())
		}
		r.Expect(t, "Listed ns/b@1")
	})
}

// Without a connection everything fails with the reason; watches begin anew when there is one again.
func TestDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reason := errors.New("the Secret is gone")
		cfg := withToken(kt.Memory(t, newGuarded("x", "a")), "x")
		c := Unconnected(reason, Options{Backoff: quick})
		t.Cleanup(c.Close)
		r := kt.NewRecorder()
		stop := kt.Run(t, func(ctx context.Context) { c.Watch(ctx, kt.Deployments, ref.Want{}, r.Emit) })
		r.Expect(t, "Failed the Secret is gone")
		for round := range 2 {
			if err := c.Reconfigure(cfg); err != nil {
				t.Fatal(err)
			}
			r.Expect(t, "Listed ns/a@1")
			c.Disconnect(reason)
			r.Expect(t, "Failed the Secret is gone")
			_, listed := c.List(t.Context(), kt.Deployments, "", ref.Want{})
			_, kinds := c.Kinds(t.Context())
			for call, err := range map[string]error{"Probe": c.Probe(t.Context()), "List": listed, "Kinds": kinds} {
				if !errors.Is(err, reason) {
					t.Errorf("round %d: %s gives %v", round, call, err)
				}
			}
			if c.LastHeard().IsZero() {
				t.Error("what was heard before is forgotten")
			}
		}
		stop()
	})
}

// A kind that the SyncTarget's discovery lacks has no objects; it is listed when it comes. A 404 by a proxy is a failure.
func TestAKindThatIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		state := "nobody"
		set := func(s string) { mu.Lock(); state = s; mu.Unlock() }
		c := connect(t, kt.Memory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			now := state
			mu.Unlock()
			switch {
			case now == "nobody":
				http.NotFound(w, r)
			case r.URL.Path == "/apis":
				kt.JSON(200, `{"kind":"APIGroupList","groups":[]}`)(w, r)
			case now == "absent":
				http.NotFound(w, r)
			case r.URL.Query().Get("watch") == "":
				kt.List("3", "", kt.Object("ns", "a", 1))(w, r)
			default:
				kt.Watch(kt.Event("ADDED", kt.Object("ns", "a", 1)), kt.InitialEnd(3))(w, r)
			}
		})), Options{})
		r := kt.NewRecorder()
		kt.Run(t, func(ctx context.Context) { c.Watch(ctx, kt.Deployments, ref.Want{}, r.Emit) })
		if got := r.Next(t); !strings.HasPrefix(got, "Failed") {
			t.Fatalf("a 404 of whatever stands in front gave %s", got)
		}
		if _, err := c.List(t.Context(), kt.Deployments, "ns", ref.Want{}); !apierrors.IsNotFound(err) {
			t.Errorf("List: %v, want the 404", err)
		}
		set("absent")
		time.Sleep(5 * time.Second)
		told := r.All()
		got := slices.DeleteFunc(slices.Clone(told), func(s string) bool { return strings.HasPrefix(s, "Failed") })
		if len(got) != 1 || got[0] != "Listed" || told[len(told)-1] != "Listed" {
			t.Fatalf("told %q, want one empty list at the end", told)
		}
		if objects, err := c.List(t.Context(), kt.Deployments, "ns", ref.Want{}); err != nil || len(objects) != 0 {
			t.Errorf("List: %v, %v", objects, err)
		}
		time.Sleep(time.Minute)
		if now := r.All(); len(now) != len(told) {
			t.Errorf("told %q while nothing happened", now[len(told):])
		}
		set("served")
		time.Sleep(time.Minute)
		if now := r.All(); len(now) != len(told)+1 || now[len(told)] != "Listed ns/a@1" {
			t.Errorf("told %q when it came", now[len(told):])
		}
	})
}

// TestWake: broken watches are retried at once when the SyncTarget is known to answer again; without a connection, nothing happens.
func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := kt.NewScript(kt.Status(500, "InternalError"), kt.Watch(kt.InitialEnd(3)))
		c := connect(t, kt.Memory(t, script), Options{Backoff: lean.Backoff{Initial: 4 * time.Second, Max: time.Minute}})
		r := kt.NewRecorder()
		begun := time.Now()
		kt.Run(t, func(ctx context.Context) { c.Watch(ctx, kt.Deployments, ref.Want{}, r.Emit) })
		r.Expect(t, "Failed")
		c.Wake()
		r.Expect(t, "Listed")
		if took := time.Since(begun); took > time.Second {
			t.Errorf("listed after %v", took)
		}
		Unconnected(errors.New("no Secret"), Options{}).Wake()
	})
}
