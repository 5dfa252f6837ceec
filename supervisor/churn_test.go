package supervisor_test

import (
	"flag"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/supervisor"
)

var churned = flag.Int("churn", 20_000, "objects that come and go in TestChurn, with 1.2 times as many Namespaces")

// TestChurn: Namespaces, copies, upstream objects and published statuses come and go, and the heap stays the same.
func TestChurn(t *testing.T) {
	const (
		batch = 1000
		grows = 10 << 20 // bytes at most, after a tenth of all: the engine's registry of actors has 32,768 maps, which grow with the first names
	)
	synctest.Test(t, func(t *testing.T) {
		f := &flow{t: t, upstream: newWorkspaces()}
		f.start(nil)
		east := newCluster()
		located := locator.Target{Name: "east", Cluster: "root:infra", UID: "uid-east", Workspaces: []ref.Workspace{"team-a"}}
		f.must(f.system.AddTarget(supervisor.Target{Name: "east", Cluster: located.Cluster, UID: located.UID, Workspaces: []actors.Workspace{"team-a"}}, east))
		f.settle()
		idle, before := f.system.Actors(), uint64(0)
		for n := 0; n < *churned; n += batch {
			churn(f, east, located, n, batch)
			if n >= *churned/10 && before == 0 {
				before = heap()
			}
		}
		f.settle()
		after := heap()
		t.Logf("%d objects: %d KiB of heap after a tenth, %d at the end", *churned, before>>10, after>>10)
		if after > before+grows {
			t.Errorf("the heap grew by %d KiB", (after-before)>>10)
		}
		if n := f.system.Actors(); n != idle {
			t.Errorf("%d actors before, %d after", idle, n)
		}
		f.stop()
	})
}

// churn has objects come, be published and go. Each has a Namespace of its own; one Namespace in six is empty.
func churn(f *flow, east *cluster, located locator.Target, from, many int) {
	f.t.Helper()
	objects, below := make([]ref.Upstream, many), make([]string, many)
	for i := range objects {
		objects[i] = ref.Upstream{Workspace: "team-a", Namespace: fmt.Sprint("ns-", from+i), Name: "web"}
		f.upstream.put(objects[i], 1, nil)
		below[i] = east.located(located, objects[i].Namespace)
		east.put(deployments, deployment(below[i], "web", 1))
		if i%5 == 0 {
			east.put(namespaces, ref.Object{Name: fmt.Sprint("empty-", from+i)})
		}
	}
	f.settle()
	if n := len(f.upstream.patches()); n != many {
		f.t.Fatalf("%d statuses of %d objects were published", n, many)
	}
	f.upstream.forgetCalls()
	for i, u := range objects {
		east.remove(deployments, below[i], "web")
		east.remove(namespaces, "", below[i])
		if i%5 == 0 {
			east.remove(namespaces, "", fmt.Sprint("empty-", from+i))
		}
		f.upstream.remove(u)
	}
	time.Sleep(time.Second)
	synctest.Wait()
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pools keep their content for one more
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
