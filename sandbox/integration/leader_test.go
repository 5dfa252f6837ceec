package integration

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/controlplane"
	"github.com/upstreamd/upstreamd/sandbox/daemon"
	"github.com/upstreamd/upstreamd/sandbox/front"
)

// patience is the maximum time between two checks of the Lease by a standby: twice retryPeriod, and client-go's jitter.
const patience = 4400 * time.Millisecond

// pair is a world with two daemons that share a Lease, on a SyncTarget's API server. Each has its own token, so that the front can
// attribute writes.
type pair struct {
	*world
	users   []controlplane.User
	daemons []*daemon.Daemon

	mu      sync.Mutex
	patches []sent
	refuse  func(writer int, name string) bool // answer 429 while it returns true
}

// sent is a status PATCH that reached the front.
type sent struct {
	writer int
	name   string
	at     time.Time
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{users: []controlplane.User{{Name: "a", Token: "token-of-a"}, {Name: "b", Token: "token-of-b"}}, daemons: make([]*daemon.Daemon, 2)}
	p.world = newWorld(t, sandbox.Options{Workspaces: []string{teamA}, SyncTargets: []string{"us-east1", "eu-west1"}, Users: p.users}, deployments)
	p.config.LeaderElection.Enabled = true
	p.config.LeaderElection.Kubeconfig = p.SyncTarget("us-east1").Kubeconfig
	p.config.LeaderElection.Namespace = "default"
	p.Front.Intercept(p.intercept)
	t.Cleanup(func() {
		for i, d := range p.daemons {
			if d != nil {
				d.Kill()
				if t.Failed() {
					t.Logf("log tail of %s:\n%s", p.users[i].Name, d.Tail(4000))
				}
			}
		}
	})
	return p
}

// intercept records the sender of each status PATCH.
func (p *pair) intercept(w http.ResponseWriter, r *http.Request, call front.Call) bool {
	if call.Verb != "patch" || call.Subresource != "status" {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, u := range p.users {
		if r.Header.Get("Authorization") != "Bearer "+u.Token {
			continue
		}
		p.patches = append(p.patches, sent{i, call.Name, time.Now()})
		if p.refuse != nil && p.refuse(i, call.Name) {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
	}
	return false
}

// since returns the PATCH calls of one daemon since a time.
func (p *pair) since(writer int, at time.Time) []sent {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []sent
	for _, s := range p.patches {
		if s.writer == writer && s.at.After(at) {
			found = append(found, s)
		}
	}
	return found
}

// launch starts one of the daemons, and returns when it is ready.
func (p *pair) launch(i int) {
	p.t.Helper()
	kubeconfig, err := clientcmd.LoadFromFile(p.UpstreamKubeconfig())
	p.must(err)
	for _, user := range kubeconfig.AuthInfos {
		user.Token = p.users[i].Token
	}
	c := *p.config
	c.Upstream.Kubeconfig = filepath.Join(p.Dir(), p.users[i].Name+".kubeconfig")
	p.must(clientcmd.WriteToFile(*kubeconfig, c.Upstream.Kubeconfig))
	own := &world{Sandbox: p.Sandbox, t: p.t, config: &c}
	own.start()
	p.daemons[i] = own.daemon
}

// leads reports whether a daemon's metrics claim leadership.
func (p *pair) leads(i int) bool {
	p.t.Helper()
	m, err := p.daemons[i].Metrics(p.t.Context())
	p.must(err)
	return m.Sum("upstreamd_leader") == 1
}

// both starts both daemons; the first must lead, and the second stand by.
func (p *pair) both() {
	p.t.Helper()
	p.launch(0)
	p.eventually(func() error {
		if !p.leads(0) {
			return errors.New("no daemon leads")
		}
		return nil
	})
	p.launch(1)
	if p.leads(1) {
		p.t.Fatal("both lead")
	}
}

// takenOver waits for the first PATCH of a daemon since a time, and returns how long it took.
func (p *pair) takenOver(by int, since time.Time) time.Duration {
	p.t.Helper()
	var first time.Duration
	p.eventually(func() error {
		sent := p.since(by, since)
		if len(sent) == 0 {
			return fmt.Errorf("%s has written nothing for %v", p.users[by].Name, time.Since(since))
		}
		first = sent[0].at.Sub(since)
		return nil
	})
	return first
}

// The leader is paused for 60 s while statuses change; the other daemon takes over. When the first resumes, it writes nothing, although it has
// a queued write that only the lease stops: the write's resourceVersion is current, since the object is as it was at the decision.
func TestResumedLeaderWritesNothingStale(t *testing.T) {
	p := newPair(t)
	load := p.grow(numbered("web-", 20)...)
	p.grow("held", "calm")
	p.both()
	load.arrives()
	p.wantReady(teamA, "held", 2)
	load.run(50)
	history := p.follow(teamA)

	// A write of the leader is queued: the API server has answered with Retry-After.
	held := make(chan struct{}, 100)
	p.mu.Lock()
	p.refuse = func(writer int, name string) bool {
		if writer == 0 && name == "held" {
			held <- struct{}{}
		}
		return writer == 0 && name == "held"
	}
	p.mu.Unlock()
	p.report("us-east1", teamA, "held", 3)
	select {
	case <-held:
	case <-time.After(30 * time.Second):
		t.Fatal("the leader did not try to write")
	}
	p.must(p.daemons[0].Pause())
	paused := time.Now()
	p.report("us-east1", teamA, "held", 1) // as before: the leader has nothing to write
	p.mu.Lock()
	p.refuse = nil
	p.mu.Unlock()

	took := p.takenOver(1, paused)
	t.Logf("the other daemon wrote %v after the leader was paused", took.Round(10*time.Millisecond))
	if most := p.config.LeaderElection.LeaseDuration.Duration + patience + 2*time.Second; took > most {
		t.Errorf("that is longer than %v", most)
	}
	time.Sleep(time.Minute - time.Since(paused))
	p.must(p.daemons[0].Resume())
	woken := time.Now()
	time.Sleep(45 * time.Second) // longer than Retry-After
	if sent := p.since(0, woken); len(sent) > 0 {
		t.Errorf("%d PATCH calls of the resumed daemon, the first of %s after %v", len(sent), sent[0].name, sent[0].at.Sub(woken))
	}
	t.Logf("since then: %d PATCH calls of the resumed daemon, %d of the other", len(p.since(0, woken)), len(p.since(1, woken)))
	if p.leads(0) || !p.leads(1) {
		t.Errorf("leading: %v, %v", p.leads(0), p.leads(1))
	}
	p.must(p.daemons[0].Ready(t.Context()))
	load.stop()
	load.arrives()
	history.rises(t)
	if got := history.published()["held"]; got != 2 {
		t.Errorf("%d ready replicas published of the object with the queued write, want 2", got)
	}

	// It has become a standby like any other.
	p.stopped(1)
	since := time.Now()
	p.report("us-east1", teamA, "calm", 2)
	p.takenOver(0, since)
	p.wantReady(teamA, "calm", 3)
}

// The leader is killed, and the other daemon takes over after the lease has expired; that one is stopped with SIGTERM, releases the lease,
// and the first takes over at once. Statuses change constantly, and no update is lost.
func TestLeaderFailover(t *testing.T) {
	p := newPair(t)
	load := p.grow(numbered("web-", 20)...)
	p.both()
	load.arrives()
	history := p.follow(teamA)
	load.run(50)
	p.takenOver(0, time.Now()) // it writes

	p.daemons[0].Kill()
	killed := time.Now()
	took := p.takenOver(1, killed)
	t.Logf("killed: the other daemon wrote %v later", took.Round(10*time.Millisecond))
	if most := p.config.LeaderElection.LeaseDuration.Duration + patience + 2*time.Second; took > most {
		t.Errorf("that is longer than %v", most)
	}
	if sent := p.since(1, killed); sent[0].at.Sub(killed) < p.config.LeaderElection.LeaseDuration.Duration-p.config.LeaderElection.RetryPeriod.Duration-time.Second {
		t.Errorf("it did not wait for the lease to expire: %v", sent[0].at.Sub(killed))
	}

	p.launch(0) // stands by
	signalled := p.stopped(1)
	took = p.takenOver(0, signalled)
	t.Logf("stopped: the other daemon wrote %v later", took.Round(10*time.Millisecond))
	if most := patience + 2*time.Second; took > most {
		t.Errorf("that is longer than %v", most)
	}
	load.stop()
	load.arrives()
	history.rises(t)
}

// stopped stops a daemon with SIGTERM, expects exit status 0 within its timeout, and returns the time of the signal.
func (p *pair) stopped(i int) time.Time {
	p.t.Helper()
	signalled := time.Now()
	p.must(p.daemons[i].Signal(syscall.SIGTERM))
	select {
	case <-p.daemons[i].Done():
	case <-time.After(p.config.Shutdown.Timeout.Duration + 5*time.Second):
		p.t.Fatalf("%s does not exit", p.users[i].Name)
	}
	if err := p.daemons[i].Err(); err != nil {
		p.t.Errorf("%s exited with %v", p.users[i].Name, err)
	}
	return signalled
}

// The Lease's API server hangs: the leader stops writing before another daemon could start, reports the reason, and continues afterwards.
func TestNoLeaderWithoutLease(t *testing.T) {
	p := newPair(t)
	load := p.grow(numbered("web-", 5)...)
	p.both()
	load.arrives()
	p.must(p.SyncTarget("us-east1").Pause())
	p.eventually(func() error {
		if p.leads(0) || p.leads(1) {
			return errors.New("a daemon leads")
		}
		return nil
	})
	since := time.Now()
	api := p.downstream("eu-west1").AppsV1().Deployments(p.down("eu-west1", teamA))
	_, err := api.Patch(t.Context(), "web-0", types.MergePatchType, []byte(`{"status":{"replicas":9,"readyReplicas":9}}`), metav1.PatchOptions{}, "status")
	p.must(err)
	p.eventually(func() error {
		for i, d := range p.daemons {
			if d.Ready(t.Context()) == nil {
				return fmt.Errorf("%s is ready without having reached the Lease", p.users[i].Name)
			}
		}
		return nil
	})
	time.Sleep(5 * time.Second)
	if n := len(p.since(0, since)) + len(p.since(1, since)); n > 0 {
		t.Errorf("%d PATCH calls without a leader", n)
	}
	p.must(p.SyncTarget("us-east1").Resume())
	p.wantReady(teamA, "web-0", 10)
	if p.leads(0) == p.leads(1) {
		t.Errorf("leading: %v, %v", p.leads(0), p.leads(1))
	}
	lines, err := p.daemons[0].Lines()
	p.must(err)
	logged := 0
	for _, line := range lines {
		if reason, _ := line["error"].(string); strings.Contains(reason, "default/upstreamd") {
			logged++
		}
	}
	if logged == 0 || logged > 3 {
		t.Errorf("%d log lines report the unreachable Lease, want 1 to 3", logged)
	}
}
