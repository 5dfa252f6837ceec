package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/sandboxtest"
)

// The daemon is killed repeatedly while statuses change, at random times after its start, and restarted. No published value goes back, and
// the end state is true. Then it is stopped repeatedly with SIGTERM, and exits in time with status 0 each time.
func TestKilledAndStoppedUnderLoad(t *testing.T) {
	w := newWorld(t, sandbox.Options{Workspaces: []string{teamA}, SyncTargets: []string{"us-east1", "eu-west1"}}, deployments)
	load := w.grow(numbered("web-", 10)...)
	w.start()
	load.arrives()
	history := w.follow(teamA)
	load.run(50)
	random := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
		w.daemon.Kill()
		w.startUnready()
	}
	w.eventually(func() error { return w.daemon.Ready(t.Context()) })
	for range 5 {
		time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
		signalled := time.Now()
		w.must(w.daemon.Signal(syscall.SIGTERM))
		select {
		case <-w.daemon.Done():
		case <-time.After(w.config.Shutdown.Timeout.Duration + 5*time.Second):
			t.Fatal("the daemon does not exit")
		}
		t.Logf("stopped under load: exited after %v with %v", time.Since(signalled).Round(time.Millisecond), w.daemon.Err())
		if err := w.daemon.Err(); err != nil {
			t.Errorf("unexpected exit:\n%s", w.daemon.Tail(4000))
		}
		w.startUnready()
	}
	load.stop()
	load.arrives()
	history.rises(t)
}

// The daemon runs out of file descriptors while a SyncTarget's API server is replaced: it reports the error, and keeps its open connections.
// After the limit is raised, it catches up.
func TestOutOfFileDescriptors(t *testing.T) {
	w := newWorld(t, sandbox.Options{Workspaces: []string{teamA}, SyncTargets: []string{"us-east1", "eu-west1"}}, deployments)
	w.config.Staleness.Grace.Duration, w.config.Staleness.Probe.Duration = 4*time.Second, time.Second
	load := w.grow("web")
	w.start()
	load.arrives()
	w.quiet()

	var usual unix.Rlimit
	w.must(unix.Prlimit(w.daemon.PID(), unix.RLIMIT_NOFILE, nil, &usual))
	w.must(unix.Prlimit(w.daemon.PID(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: usual.Max}, nil))
	w.must(w.SyncTarget("us-east1").Restart(t.Context()))
	w.report("us-east1", teamA, "web", 3) // not delivered
	w.report("eu-west1", teamA, "web", 2)
	w.wantReady(teamA, "web", 3) // its connections are open
	w.eventually(func() error {
		lines, err := w.daemon.Lines()
		w.must(err)
		for _, line := range lines {
			if reason, _ := line["error"].(string); strings.Contains(reason, "too many open files") && line["sync_target"] == "us-east1" {
				return nil
			}
		}
		return fmt.Errorf("the log does not report too many open files:\n%s", w.daemon.Tail(2000))
	})

	w.must(unix.Prlimit(w.daemon.PID(), unix.RLIMIT_NOFILE, &usual, nil))
	w.wantReady(teamA, "web", 5)
	w.must(w.daemon.Ready(t.Context()))
	if got := w.metrics().Sum("upstreamd_watch_errors_total", "sync_target=us-east1"); got == 0 {
		t.Error("failed watches are not counted")
	}
}

// An API server hangs with open connections, under load: first that of a SyncTarget, then that of the workspace, then both.
func TestHungAPIServers(t *testing.T) {
	w := newWorld(t, sandbox.Options{Workspaces: []string{teamA}, SyncTargets: []string{"us-east1", "eu-west1"}}, deployments)
	w.config.Staleness.Grace.Duration, w.config.Staleness.Probe.Duration = 8*time.Second, 2*time.Second
	load := w.grow(numbered("web-", 10)...)
	w.start()
	load.arrives()
	history := w.follow(teamA)
	type server interface {
		Pause() error
		Resume() error
	}
	target, workspace := w.SyncTarget("us-east1"), w.Workspace(teamA).APIServer
	for _, hang := range []struct {
		name    string
		servers []server
		stale   float64
	}{{"a SyncTarget", []server{target}, 1}, {"the workspace", []server{workspace}, 0}, {"both", []server{target, workspace}, 1}} {
		load.run(50)
		for _, s := range hang.servers {
			w.must(s.Pause())
		}
		time.Sleep(20 * time.Second)
		if got := w.metrics().Sum("upstreamd_sync_target_stale", "sync_target=us-east1"); got != hang.stale {
			t.Errorf("%s hangs: stale is %v, want %v", hang.name, got, hang.stale)
		}
		for _, s := range hang.servers {
			w.must(s.Resume())
		}
		resumed := time.Now()
		sandboxtest.Eventually(t, time.Minute, func() error { return w.daemon.Ready(t.Context()) })
		load.stop()
		load.arrives()
		t.Logf("%s hung: every status true %v after it resumed", hang.name, time.Since(resumed).Round(100*time.Millisecond))
	}
	history.rises(t)
}

// A SyncTarget's API server restarts with a certificate of another CA. The daemon refuses to connect and logs it, and the published status
// stays, until the kubeconfig has the new CA.
func TestServerCertificateFromAnotherCA(t *testing.T) {
	w := newWorld(t, sandbox.Options{Workspaces: []string{teamA}, SyncTargets: []string{"us-east1", "eu-west1"}}, deployments)
	w.config.Staleness.Grace.Duration, w.config.Staleness.Probe.Duration = 4*time.Second, time.Second
	load := w.grow("web")
	w.start()
	load.arrives()
	target := w.SyncTarget("us-east1")
	w.must(target.RotateCertificate(t.Context()))
	w.report("us-east1", teamA, "web", 3)
	w.eventually(func() error {
		lines, err := w.daemon.Lines()
		w.must(err)
		for _, line := range lines {
			if reason, _ := line["error"].(string); strings.Contains(reason, "certificate signed by unknown authority") && line["sync_target"] == "us-east1" {
				return nil
			}
		}
		return fmt.Errorf("the log does not report the certificate:\n%s", w.daemon.Tail(2000))
	})
	w.report("eu-west1", teamA, "web", 2)
	w.wantReady(teamA, "web", 3) // us-east1's last contribution, and the other's new one
	w.must(target.WriteKubeconfig())
	written := time.Now()
	w.wantReady(teamA, "web", 5)
	t.Logf("true %v after the kubeconfig was written", time.Since(written).Round(100*time.Millisecond))
}
