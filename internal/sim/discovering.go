package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/upstreamd/upstreamd/internal/kube/discovery"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/kube/upstream"
)

var (
	syncTargets = schema.GroupVersionResource{Group: "workload.kcp.io", Version: "v1alpha1", Resource: "synctargets"}
	secrets     = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

const (
	computeCluster = "compute" // the logical cluster of computeWorkspace
	registered     = 3         // SyncTarget objects; the last one comes and goes
	surveyEach     = 30 * time.Second
	surveyTimeout  = 10 * time.Second
)

// register makes SyncTarget objects with their Secrets, and has them change. They are not those of the world's SyncTargets, which are given to
// the daemons as a configuration file gives them.
func (w *world) register(p *plan) {
	if w.typed {
		return
	}
	r := w.seed.generator(19)
	w.upstream.AddWorkspace(computeCluster, computeWorkspace)
	at := w.upstream.Cluster(computeCluster).As("user")
	_, _ = at.Create(namespaces, map[string]any{"metadata": map[string]any{"name": "keys"}})
	for i := range registered {
		w.registerOne(i)
		for range r.IntN(4) {
			bound := map[string]any{discovery.WorkspacesAnnotation: fmt.Sprint("root:ws", r.IntN(100))}
			w.after(time.Duration(r.Int64N(int64(p.chaos))), func() {
				_, _ = at.Patch(syncTargets, "", registeredName(i), map[string]any{"metadata": map[string]any{"annotations": bound}})
			})
		}
	}
	w.after(time.Duration(r.Int64N(int64(p.chaos))), func() { _ = at.Delete(syncTargets, "", registeredName(registered-1)) })
	w.after(time.Duration(r.Int64N(int64(p.chaos))), func() { w.registerOne(registered - 1) })
}

func registeredName(i int) string { return fmt.Sprint("registered-", i) }

func (w *world) registerOne(i int) {
	at := w.upstream.Cluster(computeCluster).As("user")
	kubeconfig := `{"current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"users":[{"name":"u","user":{"token":"t"}}],` +
		`"clusters":[{"name":"c","cluster":{"server":"https://cluster.example.com"}}]}`
	_, _ = at.Create(secrets, map[string]any{
		"metadata": map[string]any{"namespace": "keys", "name": registeredName(i)}, "data": map[string]any{"kubeconfig": []byte(kubeconfig)},
	})
	_, _ = at.Create(syncTargets, map[string]any{"metadata": map[string]any{"name": registeredName(i), "annotations": map[string]any{
		discovery.SecretAnnotation: "keys/" + registeredName(i), discovery.WorkspacesAnnotation: "root:wsa",
	}}})
}

// discovering is the part of a daemon that follows SyncTarget objects and surveys the kinds of upstream.
type discovering struct {
	judge *judge
	life  *life
	world *world

	mu    sync.Mutex
	found map[string]discovery.SyncTarget
}

// run follows until ctx ends.
func (d *discovering) run(ctx context.Context, up *upstream.Client) {
	var both sync.WaitGroup
	defer both.Wait()
	both.Go(func() {
		discovery.SyncTargets{Server: up.At(computeCluster), SecretNamespace: "keys", Settings: lean.Settings{Backoff: backoff}}.
			Watch(ctx, d.take, func(error) {})
	})
	for d.survey(ctx, up) {
	}
}

// survey asks for the kinds once, after a pause.
func (d *discovering) survey(ctx context.Context, up *upstream.Client) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(surveyEach):
	}
	began := d.life.plan.now()
	limited, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	of, err := up.Kinds(limited)
	if ctx.Err() != nil || err != nil {
		return true
	}
	for place, found := range of {
		for _, k := range kinds {
			served := slices.ContainsFunc(found, func(f discovery.Kind) bool { return f.Resource == k.resource })
			if !served && !d.life.plan.vanishes("upstream", k, began) {
				d.judge.fail("%s: a survey of %s lacks %s, without an error", d.life.name, place, k.resource.Resource)
			}
		}
	}
	return true
}

// vanishes reports whether a server did not serve a kind at some time since another.
func (p *plan) vanishes(server string, k *kind, since time.Duration) bool {
	return slices.ContainsFunc(p.vanishings, func(v vanishing) bool {
		return v.server == server && v.kind == k && v.from <= p.now() && v.to+time.Second >= since
	})
}

// take judges what the daemon found. The SyncTarget objects that always exist are never missing, and never without their credentials.
func (d *discovering) take(found map[string]discovery.SyncTarget) {
	for i := range registered - 1 {
		if t, ok := found[registeredName(i)]; !ok || t.Config == nil || t.Err != nil {
			d.judge.fail("%s: the SyncTarget object %s is missing or incomplete: %v", d.life.name, registeredName(i), t.Err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.found = maps.Clone(found)
}

// wrong compares what was found with the SyncTarget objects that exist.
func (d *discovering) wrong() (lines []string) {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	objects, err := d.world.upstream.Cluster(computeCluster).List(syncTargets)
	if err != nil || len(objects) != len(d.found) {
		lines = append(lines, fmt.Sprintf("%s knows %d SyncTarget objects of %d: %v", d.life.name, len(d.found), len(objects), err))
	}
	for _, o := range objects {
		want, got := o.Meta.Annotations[discovery.WorkspacesAnnotation], d.found[o.Meta.Name]
		if got.UID != o.Meta.UID || strings.Join(got.Workspaces, ",") != want {
			lines = append(lines, fmt.Sprintf("%s knows the workspaces %v of %s %s, which names %s", d.life.name, got.Workspaces, o.Meta.Name, o.Meta.UID, want))
		}
	}
	return lines
}
