package integration

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	typedappsv1 "k8s.io/client-go/kubernetes/typed/apps/v1"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/upstreamd/upstreamd/sandbox/oracle"
)

// growth is a load under which no published counter may fall: each change of a copy reports one more ready replica.
type growth struct {
	w     *world
	names []string
	ready map[string]int32 // by SyncTarget and name
	stop  func()
}

// grow creates Deployments in team-a, reports one replica on all their copies, and waits until that is published.
func (w *world) grow(names ...string) *growth {
	w.t.Helper()
	w.place(teamA, names...)
	g := &growth{w: w, names: names, ready: map[string]int32{}, stop: func() {}}
	for _, target := range w.targets() {
		for _, name := range names {
			w.report(target.Name, teamA, name, 1)
			g.ready[target.Name+"/"+name] = 1
		}
	}
	return g
}

// run changes rate statuses a second, until stop is called or an API server refuses.
func (g *growth) run(rate int) {
	ctx, cancel := context.WithCancel(g.w.t.Context())
	type copies struct {
		target string
		api    typedappsv1.DeploymentInterface
	}
	var targets []copies
	for _, target := range g.w.targets() {
		targets = append(targets, copies{target.Name, g.w.downstream(target.Name).AppsV1().Deployments(g.w.down(target.Name, teamA))})
	}
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			at, name := targets[n%len(targets)], g.names[n/len(targets)%len(g.names)]
			g.ready[at.target+"/"+name]++
			ready := g.ready[at.target+"/"+name]
			body := fmt.Appendf(nil, `{"status":{"replicas":%d,"updatedReplicas":%d,"readyReplicas":%d,"availableReplicas":%d}}`, ready, ready, ready, ready)
			if _, err := at.api.Patch(g.w.t.Context(), name, types.MergePatchType, body, metav1.PatchOptions{}, "status"); err != nil {
				g.w.t.Errorf("reporting from %s: %v", at.target, err)
				return
			}
		}
	})
	g.stop = func() { cancel(); running.Wait() }
	g.w.t.Cleanup(g.stop)
}

// arrives waits until the last reports are published, and then runs the oracle.
func (g *growth) arrives() {
	g.w.t.Helper()
	for _, name := range g.names {
		want := int32(0)
		for _, target := range g.w.targets() {
			want += g.ready[target.Name+"/"+name]
		}
		g.w.wantReady(teamA, name, want)
	}
	workspaces, targets := g.w.Topology()
	g.w.eventually(func() error {
		report, err := oracle.Oracle{Workspaces: workspaces, SyncTargets: targets}.Check(g.w.t.Context())
		g.w.must(err)
		if report.Checked < len(g.names) {
			return fmt.Errorf("the oracle checked %d objects of %d", report.Checked, len(g.names))
		}
		return report.Err()
	})
}

// history records the published statuses of a workspace's Deployments from a watch.
type history struct {
	mu      sync.Mutex
	ready   map[string]int32
	changes int
	falls   []string
}

// follow starts a history. It resumes after an outage of the API server.
func (w *world) follow(workspace string) *history {
	w.t.Helper()
	api := w.upstream(workspace).AppsV1().Deployments(namespace)
	list, err := api.List(w.t.Context(), metav1.ListOptions{})
	w.must(err)
	h := &history{ready: map[string]int32{}}
	for _, d := range list.Items {
		h.ready[d.Name] = d.Status.ReadyReplicas
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	follower, err := watchtools.NewRetryWatcherWithContext(ctx, list.ResourceVersion, &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return api.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return api.Watch(ctx, o)
		},
	})
	w.must(err)
	var running sync.WaitGroup
	running.Go(func() {
		for e := range follower.ResultChan() {
			h.take(w.t, e)
		}
	})
	w.t.Cleanup(func() {
		cancel()
		follower.Stop()
		running.Wait()
	})
	return h
}

func (h *history) take(t *testing.T, e watch.Event) {
	d, ok := e.Object.(*appsv1.Deployment)
	if !ok {
		t.Errorf("the watch of the workspace delivered %s: %v", e.Type, e.Object)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	before, now := h.ready[d.Name], d.Status.ReadyReplicas
	if now < before {
		h.falls = append(h.falls, fmt.Sprintf("%s: from %d to %d", d.Name, before, now))
	}
	if now != before {
		h.changes++
	}
	h.ready[d.Name] = now
}

// rises expects published changes, and no older value after a newer one.
func (h *history) rises(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.changes == 0 {
		t.Error("nothing was published")
	}
	for _, fall := range h.falls {
		t.Errorf("a published counter fell: %s", fall)
	}
	t.Logf("%d published changes of %d objects, %d of them back to an older value", h.changes, len(h.ready), len(h.falls))
}

// published returns the latest published counters, by name.
func (h *history) published() map[string]int32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.ready)
}

// numbered returns n names.
func numbered(prefix string, n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint(prefix, i))
	}
	return slices.Clip(names)
}
