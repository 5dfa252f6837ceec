package endtoend

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/kube/upstream"
	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// TestThousandsOfWorkspaces: workspaces cost neither a goroutine nor a connection each. They come and go while statuses flow.
func TestThousandsOfWorkspaces(t *testing.T) {
	t.Run("of an APIExport", func(t *testing.T) { thousandsOfWorkspaces(t, byExport, 5000) })
	t.Run("of a server", func(t *testing.T) { thousandsOfWorkspaces(t, byWildcard, 1000) })
}

func thousandsOfWorkspaces(t *testing.T, mode upstream.Options, many int) {
	const few, gone = 250, 250
	kcp, config, connections := overTLS(t)
	s := &scale{world: start(t, kcp, config, mode, targetNames(20), toAll), copies: map[int]ref.Downstream{}}

	s.add(0, few)
	s.settled()
	beside := s.figures(few, connections)

	s.add(few, many)
	s.settled()
	full := s.figures(many, connections)

	// While others change, some workspaces go with all they hold, some are unbound, and new ones come.
	var changing sync.WaitGroup
	changing.Go(func() {
		for i := 2 * gone; i < 4*gone; i++ {
			s.report(i, 2)
		}
	})
	for i := range gone {
		kcp.RemoveWorkspace(workspace(i))
		s.must(kcp.Cluster(workspace(gone+i)).Delete(bindings, "", "compute"))
	}
	s.add(many, many+gone)
	changing.Wait()
	s.absent = 2 * gone
	s.settled()
	churned := s.figures(many-gone, connections)

	// The same names again are other workspaces. Contributions of the copies count for them.
	for i := range gone {
		consume(kcp, workspace(i))
		s.publish(kcp, s.web(i), s.on(i))
		kcp.Bind(workspace(gone+i), provider, "compute")
		s.publish(kcp, s.web(gone+i), s.on(gone+i))
	}
	s.absent = 0
	s.settled()
	s.figures(many+gone, connections)

	if limit := beside.goroutines + 60; full.goroutines > limit || churned.goroutines > limit {
		t.Errorf("goroutines grow with workspaces: %d for %d, %d for %d, %d after churn", beside.goroutines, few, full.goroutines, many, churned.goroutines)
	}
	if connections.opened.Load() > 4 {
		t.Errorf("%d connections to one host", connections.opened.Load())
	}
	streams := kcp.Calls().Total(func(c memapi.Call) bool { return c.Verb == "watch" || c.Verb == "list" })
	if streams > 20 {
		t.Errorf("%d lists and watches of one kind", streams)
	}
}

// overTLS serves a kcp on a real socket, as kcp does: HTTP/2 over TLS.
func overTLS(t *testing.T) (*memapi.Server, *rest.Config, *connections) {
	t.Helper()
	var kcp *memapi.Server
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { kcp.ServeHTTP(w, r) }))
	c := &connections{}
	server.Config.ConnState = c.changed
	server.EnableHTTP2 = true
	server.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1000}
	server.StartTLS()
	t.Cleanup(server.Close)
	kcp = newKCP(t, memapi.Options{URL: server.URL})
	t.Cleanup(kcp.Close) // before the server, which waits for its streams
	config := &rest.Config{Host: server.URL}
	config.CAData = pemOf(server)
	return kcp, config, c
}

// connections counts those of a server.
type connections struct{ opened, open atomic.Int64 }

func (c *connections) changed(_ net.Conn, state http.ConnState) {
	switch state { //nolint:exhaustive // the others neither open nor close
	case http.StateNew:
		c.opened.Add(1)
		c.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		c.open.Add(-1)
	}
}

func workspace(i int) string { return fmt.Sprintf("ws%05d", i) }

// scale is a world with a deployment in each workspace, placed on one of the SyncTargets.
type scale struct {
	*world

	mu     sync.Mutex
	copies map[int]ref.Downstream
	want   []int // ready replicas, by workspace
	absent int   // the first so many workspaces are not served
}

func (s *scale) web(i int) ref.Upstream {
	return ref.Upstream{Workspace: ref.Workspace(workspace(i)), Namespace: "default", Name: "web"}
}

func (s *scale) on(i int) *target { return s.targets[i%len(s.targets)] }

func (s *scale) add(from, to int) {
	for i := from; i < to; i++ {
		consume(s.kcp, workspace(i))
		s.publish(s.kcp, s.web(i), s.on(i))
		copied, err := s.on(i).takeDown(s.web(i))
		s.must(err)
		s.mu.Lock()
		s.copies[i] = copied
		s.want = append(s.want, 0)
		s.mu.Unlock()
		s.report(i, 1)
	}
}

func (s *scale) report(i, ready int) {
	s.mu.Lock()
	s.want[i] = ready
	copied := s.copies[i]
	s.mu.Unlock()
	if err := s.on(i).report(copied, ready); err != nil {
		s.t.Error(err)
	}
}

// settled waits until every served workspace holds the status of its copy.
func (s *scale) settled() {
	s.t.Helper()
	s.eventually(3*time.Minute, func() string {
		missing, one := 0, ""
		for i := s.absent; i < len(s.want); i++ {
			if readyAt(s.kcp, s.web(i)) != s.want[i] {
				missing, one = missing+1, workspace(i)
			}
		}
		if missing == 0 {
			return ""
		}
		return fmt.Sprintf("%d of %d statuses, such as that of %s", missing, len(s.want), one)
	})
}

// figures of a world that is at rest.
type figures struct{ goroutines int }

func (s *scale) figures(workspaces int, c *connections) figures {
	s.t.Helper()
	f := figures{runtime.NumGoroutine()}
	for range 50 { // those of the last calls are on their way out
		time.Sleep(20 * time.Millisecond)
		f.goroutines = min(f.goroutines, runtime.NumGoroutine())
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	s.t.Logf("%5d workspaces, %d SyncTargets: %d goroutines (servers in memory included), %d connections to kcp, %d status patches, %d MiB of heap (servers included)",
		workspaces, len(s.targets), f.goroutines, c.open.Load(), patches(s.kcp), m.HeapAlloc>>20)
	return f
}
