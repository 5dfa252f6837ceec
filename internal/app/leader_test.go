package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/memapi"
)

// leaseServer is an API server that can hold a Lease.
func leaseServer(t *testing.T) string {
	t.Helper()
	server := memapi.New(memapi.Options{})
	namespaces := schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	if _, err := server.Cluster("").Create(namespaces, map[string]any{"metadata": map[string]any{"name": "ns"}}); err != nil {
		t.Fatal(err)
	}
	listening := httptest.NewServer(server)
	t.Cleanup(func() {
		server.Close()
		listening.Close()
	})
	return strings.TrimPrefix(listening.URL, "http://")
}

func electing(t *testing.T, upstream, lease string) *config.Configuration {
	t.Helper()
	c := configure(t, upstream, unreachable(t))
	l := &c.LeaderElection
	l.Enabled, l.Kubeconfig, l.Namespace = true, kubeconfig(t, lease), "ns"
	l.LeaseDuration.Duration, l.RenewDeadline.Duration, l.RetryPeriod.Duration = 2e9, 1e9, 1e8
	if errs := c.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	return c
}

func (r *running) says(t *testing.T, path, what string) func() bool {
	return func() bool {
		code, body := r.get(t, path)
		return code == http.StatusOK && strings.Contains(body, what)
	}
}

func TestOneLeadsTheOthersStandByAndFollow(t *testing.T) {
	_, address := serveOn(t, "127.0.0.1:0", map[string]string{"root:team-a": "abc"})
	lease := leaseServer(t)
	first := run(t, electing(t, address, lease))
	eventually(t, "the first leads", first.says(t, "/readyz", "ok: leading"))
	second := run(t, electing(t, address, lease))
	eventually(t, "the second stands by, and is ready", second.says(t, "/readyz", " leads"))
	if !first.says(t, "/metrics", "\nupstreamd_leader 1\n")() || !second.says(t, "/metrics", "upstreamd_leader 0")() {
		t.Error("the metrics do not tell who leads")
	}
	if err := first.stop(); err != nil {
		t.Error(err)
	}
	eventually(t, "the second leads", second.says(t, "/metrics", "\nupstreamd_leader 1\n"))
	eventually(t, "the log says so", func() bool {
		return strings.Contains(second.log.String(), "leading: statuses are written from here now")
	})
}

func TestWhoIsNotReadyLetsOthersLead(t *testing.T) {
	slow, away := serveOn(t, "127.0.0.1:0", map[string]string{"root:team-a": "abc"})
	slow.close(true)
	_, address := serveOn(t, "127.0.0.1:0", map[string]string{"root:team-a": "abc"})
	lease := leaseServer(t)
	c := electing(t, away, lease)
	c.LeaderElection.LeaseDuration.Duration = 20e9
	first := run(t, c)
	eventually(t, "it says why it is not ready", func() bool {
		_, body := first.get(t, "/readyz")
		return strings.Contains(body, "upstream has not been listed yet")
	})
	second := run(t, electing(t, address, lease))
	eventually(t, "the second leads", second.says(t, "/metrics", "\nupstreamd_leader 1\n"))
	slow.close(false)
	eventually(t, "the first stands by", first.says(t, "/readyz", "ok: standing by, "))
}

// A kind that can never be listed must not leave all without a leader.
func TestWhoIsNeverReadyLeadsInTheEnd(t *testing.T) {
	server, address := serveOn(t, "127.0.0.1:0", map[string]string{"root:team-a": "abc"})
	server.close(true)
	r := run(t, electing(t, address, leaseServer(t)))
	eventually(t, "it leads", r.says(t, "/metrics", "\nupstreamd_leader 1\n"))
}

func TestALeaseThatCannotBeHadIsSaid(t *testing.T) {
	_, address := serveOn(t, "127.0.0.1:0", map[string]string{"root:team-a": "abc"})
	c := electing(t, address, unreachable(t))
	r := run(t, c)
	eventually(t, "it is said", func() bool {
		code, body := r.get(t, "/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "the Lease ns/upstreamd cannot be had")
	})
	if !r.says(t, "/metrics", "\nupstreamd_leader 0\n")() {
		t.Error("leads without a Lease")
	}
	if err := r.stop(); err != nil {
		t.Errorf("ends with %v", err)
	}
}

func TestWithoutAnElectionItAlwaysLeads(t *testing.T) {
	_, address := serveOn(t, "127.0.0.1:0", map[string]string{"root:team-a": "abc"})
	r := run(t, configure(t, address, unreachable(t)))
	eventually(t, "ready", r.says(t, "/readyz", "ok\n"))
	if !r.says(t, "/metrics", "\nupstreamd_leader 1\n")() {
		t.Error("does not lead")
	}
}

func TestWhereTheLeaseIsMustBeKnown(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for want, change := range map[string]func(*config.LeaderElection){
		"leaderElection.kubeconfig: ": func(l *config.LeaderElection) { l.Kubeconfig = "/nowhere" },
		"leaderElection.inCluster: ":  func(l *config.LeaderElection) { l.InCluster = true },
	} {
		c := configure(t, unreachable(t), unreachable(t))
		c.LeaderElection.Enabled, c.LeaderElection.Namespace = true, "ns"
		change(&c.LeaderElection)
		if _, err := New(c, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	c := configure(t, unreachable(t), unreachable(t))
	c.LeaderElection.Enabled, c.LeaderElection.Namespace = true, "ns"
	a, err := New(c, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer a.upstream.Close()
	where, err := a.leaseAccess()
	if err != nil || !strings.Contains(where.config.Host, "127.0.0.1") {
		t.Errorf("without a kubeconfig of its own it is in upstream: %v, %v", where, err)
	}
}
