package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/memapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	duration = 15 * time.Second
	renew    = 10 * time.Second
	pause    = 2 * time.Second
	between  = 11 * pause / 5 // at most, of two attempts of a standby: client-go's jitter
	step     = 10 * time.Millisecond
)

var (
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	leases     = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
)

// voter is a process that takes part.
type voter struct {
	*Election
	elected atomic.Int64
	stop    func()

	mu    sync.Mutex
	fault memapi.Fault // of its calls from now on
}

func (v *voter) suffer(f memapi.Fault) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fault = f
}

// inElection runs a test in virtual time with an API server in memory.
func inElection(t *testing.T, test func(t *testing.T, join func(name string) *voter, server *memapi.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		voters := map[string]*voter{}
		server := memapi.New(memapi.Options{Fault: func(r *http.Request) memapi.Fault {
			mu.Lock()
			v := voters[r.Header.Get("User-Agent")]
			mu.Unlock()
			v.mu.Lock()
			defer v.mu.Unlock()
			return v.fault
		}})
		if _, err := server.Cluster("").Create(namespaces, map[string]any{"metadata": map[string]any{"name": "ns"}}); err != nil {
			t.Fatal(err)
		}
		test(t, func(name string) *voter {
			v := &voter{}
			mu.Lock()
			voters[name] = v
			mu.Unlock()
			v.Election = begin(t, server, name, func() { v.elected.Add(1) })
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { v.Run(ctx) })
			v.stop = func() { cancel(); running.Wait() }
			t.Cleanup(v.stop)
			return v
		}, server)
	})
}

func begin(t *testing.T, server *memapi.Server, name string, elected func()) *Election {
	t.Helper()
	e, err := New(server.Config(), Options{
		Namespace: "ns", Name: "upstreamd", Identity: name, UserAgent: name, Duration: duration, Renew: renew, Retry: pause,
		Elected: elected, Logger: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// until waits in steps until the condition holds, and returns how long that took. No two may lead meanwhile.
func until(t *testing.T, among []*voter, holds func() bool) time.Duration {
	t.Helper()
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(step) {
		onlyOne(t, among)
		if holds() {
			return time.Since(start)
		}
	}
	for _, v := range among {
		t.Logf("%s: leading %v, %q leads, %v", v.Identity, v.Leading(), v.Leader(), v.Err())
	}
	t.Fatal("not within a minute")
	return 0
}

func onlyOne(t *testing.T, among []*voter) {
	t.Helper()
	leading := 0
	for _, v := range among {
		if v.Leading() {
			leading++
		}
	}
	if leading > 1 {
		t.Fatalf("%d lead at once", leading)
	}
}

func TestAnotherTakesOverWhenTheLeaderIsNoMore(t *testing.T) {
	inElection(t, func(t *testing.T, join func(string) *voter, _ *memapi.Server) {
		a := join("a")
		if a.Err() == nil || a.Leading() {
			t.Error("leads before it has asked")
		}
		until(t, []*voter{a}, a.Leading)
		b := join("b")
		both := []*voter{a, b}
		until(t, both, func() bool { return b.Err() == nil })
		if b.Leading() || b.Leader() != "a" || a.Leader() != "a" {
			t.Errorf("b leads: %v; leaders are %q and %q", b.Leading(), a.Leader(), b.Leader())
		}
		time.Sleep(10 * time.Minute)
		if !a.Leading() || b.Leading() || a.elected.Load() != 1 || b.elected.Load() != 0 {
			t.Errorf("after ten quiet minutes: a leads %v, b %v; elected %d and %d times", a.Leading(), b.Leading(), a.elected.Load(), b.elected.Load())
		}
		a.stop() // without giving the Lease back
		took := until(t, both, b.Leading)
		if took < duration-pause || took > between+duration+between+step { // it reads the last renewal late, and then reads again late
			t.Errorf("took over after %v", took)
		}
		if a.Leading() || b.elected.Load() != 1 {
			t.Errorf("a leads: %v; b was elected %d times", a.Leading(), b.elected.Load())
		}
	})
}

func TestWhoGivesTheLeaseBackIsFollowedSoon(t *testing.T) {
	inElection(t, func(t *testing.T, join func(string) *voter, _ *memapi.Server) {
		a := join("a")
		until(t, []*voter{a}, a.Leading)
		b := join("b")
		until(t, nil, func() bool { return b.Err() == nil })
		b.stop()
		if err := b.Release(t.Context()); err != nil || !a.Leading() {
			t.Errorf("who stood by gave something back: %v", err)
		}
		c := join("c")
		until(t, nil, func() bool { return c.Err() == nil })
		a.stop()
		if err := a.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a.Leading() {
			t.Error("leads after it gave the Lease back")
		}
		if took := until(t, []*voter{a, b, c}, c.Leading); took > between+step {
			t.Errorf("took over after %v", took)
		}
	})
}

// The right to write ends by itself when no renewal gets through, before anybody else may have it; and begins again.
func TestALeaderThatReachesNobodyStops(t *testing.T) {
	for name, fault := range map[string]memapi.Fault{
		"refused":        {Refuse: true},
		"hangs":          {Delay: time.Hour},
		"answers late":   {Hold: time.Hour},
		"answers lost":   {LoseAnswer: true},
		"forbidden":      {Status: http.StatusForbidden},
		"internal error": {Status: http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			inElection(t, func(t *testing.T, join func(string) *voter, _ *memapi.Server) {
				a := join("a")
				until(t, []*voter{a}, a.Leading)
				b := join("b")
				both := []*voter{a, b}
				time.Sleep(time.Minute)
				a.suffer(fault)
				if took := until(t, both, func() bool { return !a.Leading() }); took > renew || took < renew-pause-time.Second {
					t.Errorf("went on for %v", took)
				}
				until(t, both, func() bool { return a.Err() != nil })
				if !strings.Contains(a.Err().Error(), "ns/upstreamd") {
					t.Errorf("says %v", a.Err())
				}
				if name != "answers lost" && name != "answers late" { // those renew it all the same
					until(t, both, b.Leading)
				}
				a.suffer(memapi.Fault{})
				until(t, both, func() bool { return a.Err() == nil && (a.Leading() || b.Leading()) })
				leader := a
				if b.Leading() {
					leader = b
				}
				time.Sleep(time.Minute)
				if !leader.Leading() || a.Leader() != b.Leader() {
					t.Errorf("in the end %q and %q are thought to lead", a.Leader(), b.Leader())
				}
			})
		})
	}
}

// A minute of random trouble for each of three, over and over: never do two lead, and when it is over, one does.
func TestNeverTwoAtOnce(t *testing.T) {
	terms := int64(0)
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inElection(t, func(t *testing.T, join func(string) *voter, _ *memapi.Server) {
				random := rand.New(rand.NewPCG(seed, 0))
				all := []*voter{join("a"), join("b"), join("c")}
				for range 30 {
					v := all[random.IntN(len(all))]
					trouble := []memapi.Fault{{}, {}, {Refuse: true}, {LoseAnswer: true}, {Status: http.StatusServiceUnavailable}, {Status: http.StatusConflict}}[random.IntN(6)]
					trouble.Delay = time.Duration(random.IntN(4000)) * time.Millisecond
					trouble.Hold = time.Duration(random.IntN(4000)) * time.Millisecond
					v.suffer(trouble)
					for range random.IntN(600) {
						onlyOne(t, all)
						time.Sleep(100 * time.Millisecond)
					}
				}
				for _, v := range all {
					v.suffer(memapi.Fault{})
					terms += v.elected.Load()
				}
				until(t, all, func() bool { return all[0].Leading() || all[1].Leading() || all[2].Leading() })
			})
		})
	}
	if terms < 60 {
		t.Errorf("%d terms in 20 runs: the trouble was none", terms)
	}
}

func TestAWriteIsBoundedByTheTerm(t *testing.T) {
	inElection(t, func(t *testing.T, join func(string) *voter, _ *memapi.Server) {
		a := join("a")
		if _, cancel, ok := a.Fence(t.Context()); ok {
			cancel()
			t.Error("may write before it leads")
		}
		until(t, []*voter{a}, a.Leading)
		a.suffer(memapi.Fault{Refuse: true})
		ctx, cancel, ok := a.Fence(t.Context())
		defer cancel()
		deadline, bounded := ctx.Deadline()
		if !ok || !bounded || time.Until(deadline) > renew || time.Until(deadline) < renew-pause-time.Second {
			t.Errorf("may write: %v, for %v", ok, time.Until(deadline))
		}
		<-ctx.Done()
		if _, cancel, ok := a.Fence(t.Context()); ok || a.Leading() {
			cancel()
			t.Error("may write after the end of its term")
		}
	})
}

// The Lease is deleted, or gets another holder.
func TestWhatOthersDoToTheLease(t *testing.T) {
	inElection(t, func(t *testing.T, join func(string) *voter, server *memapi.Server) {
		a := join("a")
		until(t, []*voter{a}, a.Leading)
		if err := server.Cluster("").Delete(leases, "ns", "upstreamd"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * renew)
		if !a.Leading() || a.Err() != nil {
			t.Errorf("after the Lease was deleted: leading %v, %v", a.Leading(), a.Err())
		}
		if _, err := server.Cluster("").Patch(leases, "ns", "upstreamd", map[string]any{"spec": map[string]any{"holderIdentity": "usurper"}}); err != nil {
			t.Fatal(err)
		}
		if took := until(t, nil, func() bool { return !a.Leading() }); took > 2*pause {
			t.Errorf("went on for %v beside another holder", took)
		}
		until(t, []*voter{a}, a.Leading) // the other does not renew it
		if a.elected.Load() != 2 {
			t.Errorf("elected %d times", a.elected.Load())
		}
	})
}

// Tokens run out while a leader leads.
func TestCredentialsAreRenewedWhileItRuns(t *testing.T) {
	inElection(t, func(t *testing.T, join func(string) *voter, server *memapi.Server) {
		a := join("a")
		until(t, []*voter{a}, a.Leading)
		var sent atomic.Value
		cfg := server.Config()
		below := cfg.Transport
		cfg.BearerToken = "new"
		cfg.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			sent.Store(r.Header.Get("Authorization"))
			return below.RoundTrip(r)
		})
		elsewhere := *cfg
		elsewhere.Host = "http://elsewhere.example"
		if err := a.RenewCredentials(&elsewhere); err == nil {
			t.Error("the Lease of another server was taken")
		}
		time.Sleep(renew)
		if sent.Load() != nil {
			t.Error("what was refused is used")
		}
		if err := a.RenewCredentials(cfg); err != nil {
			t.Fatal(err)
		}
		time.Sleep(renew)
		if sent.Load() != "Bearer new" || !a.Leading() || a.elected.Load() != 1 {
			t.Errorf("sends %v; leads %v, elected %d times", sent.Load(), a.Leading(), a.elected.Load())
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// client-go would send the token to wherever a redirect leads.
func TestRedirectsAreRefused(t *testing.T) {
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(func() {
		for _, s := range []*httptest.Server{server, elsewhere} {
			s.CloseClientConnections()
			s.Close()
		}
	})
	e, err := New(&rest.Config{Host: server.URL, BearerToken: "secret"}, Options{
		Namespace: "ns", Name: "upstreamd", Identity: "a", Duration: duration, Renew: renew, Retry: pause, Elected: func() {},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Release(t.Context()); !errors.Is(err, client.ErrRedirected) || reached.Load() > 0 {
		t.Errorf("%v; the other server was asked %d times", err, reached.Load())
	}
}

func TestANamespaceThatIsNotThereIsSaid(t *testing.T) {
	inElection(t, func(t *testing.T, join func(string) *voter, server *memapi.Server) {
		if err := server.Cluster("").Delete(namespaces, "", "ns"); err != nil {
			t.Fatal(err)
		}
		a := join("a")
		time.Sleep(time.Minute)
		if a.Leading() || a.Err() == nil || !strings.Contains(a.Err().Error(), `namespaces "ns" not found`) {
			t.Errorf("leading %v, says %v", a.Leading(), a.Err())
		}
	})
}

func TestPassed(t *testing.T) {
	now := time.Now()
	for what, tc := range map[string]struct {
		until time.Time
		want  bool
	}{
		"never given":                      {time.Time{}, true},
		"later":                            {now.Add(time.Minute), false},
		"earlier":                          {now.Add(-time.Second), true},
		"later, by the wall clock alone":   {now.Add(time.Minute).Round(0), false},
		"earlier, by the wall clock alone": {now.Add(-time.Second).Round(0), true},
	} {
		if got := passed(tc.until); got != tc.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	server := memapi.New(memapi.Options{})
	_, err := New(server.Config(), Options{Namespace: "ns", Name: "l", Identity: "a", Duration: time.Second, Renew: time.Second, Retry: time.Second, Elected: func() {}})
	if err == nil {
		t.Error("takes times that leave no room")
	}
}
