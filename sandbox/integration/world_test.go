package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/copier"
	"github.com/upstreamd/upstreamd/sandbox/daemon"
	"github.com/upstreamd/upstreamd/sandbox/front"
	"github.com/upstreamd/upstreamd/sandbox/sandboxtest"
	"github.com/upstreamd/upstreamd/sandbox/topology"
)

var (
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	services    = schema.GroupVersionResource{Version: "v1", Resource: "services"}
)

const (
	teamA     = "root:team-a"
	namespace = "shop"
)

// world is a sandbox with one namespace in each workspace, a copier that creates copies, and a daemon that publishes their
// statuses.
type world struct {
	*sandbox.Sandbox
	t      *testing.T
	copier *copier.Copier
	copies copier.Options
	config *config.Configuration
	daemon *daemon.Daemon
	flags  []string // additional flags of the daemon
	starts int
}

func newWorld(t *testing.T, o sandbox.Options, resources ...schema.GroupVersionResource) *world {
	t.Helper()
	return newWorldWith(t, o, copier.Options{Resources: resources}, func(*world) {})
}

// newWorldWith is newWorld with copier options; prepare runs before any other client uses the API servers.
func newWorldWith(t *testing.T, o sandbox.Options, c copier.Options, prepare func(*world)) *world {
	t.Helper()
	w := &world{Sandbox: sandboxtest.Start(t, o), t: t}
	prepare(w)
	workspaces, targets := w.Topology()
	for _, workspace := range workspaces {
		_, err := client(t, workspace.Config).CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
		w.must(err)
	}
	c.Workspaces, c.SyncTargets, c.Style = workspaces, targets, copier.NamespaceLocator
	c.OnError = func(err error) {
		if t.Context().Err() == nil {
			t.Log("copier:", err)
		}
	}
	w.copies = c
	w.startCopier()
	t.Cleanup(func() { w.copier.Stop() })
	var configured []config.Resource
	for _, r := range c.Resources {
		configured = append(configured, config.Resource{Group: r.Group, Version: r.Version, Resource: r.Resource})
	}
	w.config = daemon.Configure(w.Sandbox, configured...)
	t.Cleanup(func() {
		if w.daemon != nil {
			w.daemon.Kill()
			if t.Failed() {
				t.Log("the daemon's log tail:\n" + w.daemon.Tail(6000))
			}
		}
	})
	return w
}

// startCopier starts the copier, for the first time or after a stop.
func (w *world) startCopier() {
	w.t.Helper()
	var err error
	w.copier, err = copier.Start(w.t.Context(), w.copies)
	w.must(err)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func client(t testing.TB, c *rest.Config) kubernetes.Interface {
	t.Helper()
	c = rest.CopyConfig(c)
	c.QPS = -1
	out, err := kubernetes.NewForConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (w *world) upstream(workspace string) kubernetes.Interface {
	return client(w.t, w.Workspace(workspace).Topology().Config)
}

func (w *world) downstream(target string) kubernetes.Interface {
	return client(w.t, w.SyncTarget(target).Config())
}

func (w *world) targets() []topology.SyncTarget {
	_, targets := w.Topology()
	return targets
}

// start starts the daemon, and returns when it is ready.
func (w *world) start() {
	w.t.Helper()
	w.startUnready()
	w.eventually(func() error { return w.daemon.Ready(w.t.Context()) })
}

func (w *world) startUnready() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	w.starts++
	var err error
	w.daemon, err = daemon.Start(ctx, binary, w.Dir(), fmt.Sprintf("upstreamd-%d", w.starts), w.config, w.flags...)
	w.must(err)
}

// stop stops the daemon with SIGTERM, and expects exit status 0.
func (w *world) stop() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	w.daemon.Stop(ctx)
	if err := w.daemon.Err(); err != nil {
		w.t.Errorf("the daemon exited with %v:\n%s", err, w.daemon.Tail(4000))
	}
}

func (w *world) metrics() daemon.Metrics {
	w.t.Helper()
	m, err := w.daemon.Metrics(w.t.Context())
	w.must(err)
	return m
}

func (w *world) eventually(check func() error) {
	w.t.Helper()
	sandboxtest.Eventually(w.t, time.Minute, check)
}

// patches counts the status patches that reached the workspaces since an earlier snapshot.
func (w *world) patches(since front.Calls) int {
	return w.Calls().Since(since).Count(front.Call{Verb: "patch", Subresource: "status"})
}

// writes counts all calls but reads since an earlier snapshot.
func (w *world) writes(since front.Calls) int { return w.Calls().Since(since).Writes().Total() }

// place creates a Deployment that is placed on all SyncTargets, and waits for its copies.
func (w *world) place(workspace string, names ...string) {
	w.t.Helper()
	for _, name := range names {
		labels := copier.Placement(w.targets()...)
		labels["app"] = name
		_, err := w.upstream(workspace).AppsV1().Deployments(namespace).Create(w.t.Context(), &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
			Spec: appsv1.DeploymentSpec{
				Replicas: new(int32(3)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}}, Spec: podSpec},
			},
		}, metav1.CreateOptions{})
		w.must(err)
	}
	w.must(w.copier.Settle(w.t.Context()))
}

var podSpec = corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}

// down returns the SyncTarget's namespace for a workspace's.
func (w *world) down(target, workspace string) string {
	w.t.Helper()
	return w.downNamespace(target, workspace, namespace).Name
}

// downNamespace returns the Namespace that the copier creates in a SyncTarget for one of a workspace.
func (w *world) downNamespace(target, workspace, name string) locator.Namespace {
	w.t.Helper()
	t := w.SyncTarget(target)
	resolver, err := locator.New([]string{locator.NamespaceLocator}, locator.Target{Name: ref.SyncTarget(t.Name), Cluster: t.Cluster, UID: string(t.UID)})
	w.must(err)
	ns, err := resolver.DownNamespace(ref.Workspace(workspace), name)
	w.must(err)
	return ns
}

// report writes the ready replicas to a SyncTarget's copy of a Deployment, as its controller would.
func (w *world) report(target, workspace, name string, ready int32) {
	w.t.Helper()
	w.must(w.tryReport(target, workspace, name, ready))
}

func (w *world) tryReport(target, workspace, name string, ready int32) error {
	api := w.downstream(target).AppsV1().Deployments(w.down(target, workspace))
	for {
		d, err := api.Get(w.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		available := corev1.ConditionFalse
		if ready > 0 {
			available = corev1.ConditionTrue
		}
		d.Status = appsv1.DeploymentStatus{
			ObservedGeneration: d.Generation, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: ready, AvailableReplicas: ready,
			Conditions: []appsv1.DeploymentCondition{{
				Type: appsv1.DeploymentAvailable, Status: available, Reason: "Counted", Message: "as counted",
				LastTransitionTime: metav1.Now(), LastUpdateTime: metav1.Now(),
			}},
		}
		_, err = api.UpdateStatus(w.t.Context(), d, metav1.UpdateOptions{})
		if !apierrors.IsConflict(err) {
			return err
		}
	}
}

func (w *world) published(workspace, name string) appsv1.DeploymentStatus {
	w.t.Helper()
	d, err := w.upstream(workspace).AppsV1().Deployments(namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	w.must(err)
	return d.Status
}

// wantReady waits until the published ready replicas equal want.
func (w *world) wantReady(workspace, name string, want int32) {
	w.t.Helper()
	w.eventually(func() error {
		if got := w.published(workspace, name).ReadyReplicas; got != want {
			return fmt.Errorf("%s|%s has %d ready replicas published, want %d", workspace, name, got, want)
		}
		return nil
	})
}

// quiet waits until no status patch has arrived for a while.
func (w *world) quiet() {
	w.t.Helper()
	last, since := w.patches(nil), time.Now()
	w.eventually(func() error {
		if now := w.patches(nil); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) < 3*time.Second {
			return errors.New("status patches keep arriving")
		}
		return nil
	})
}

// count returns the number of objects of the tests' resources in a workspace.
func (w *world) count(workspace *sandbox.Workspace) int {
	w.t.Helper()
	c, ctx := client(w.t, workspace.APIServer.Config()), w.t.Context()
	d, err := c.AppsV1().Deployments("").List(ctx, metav1.ListOptions{})
	w.must(err)
	p, err := c.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	w.must(err)
	s, err := c.CoreV1().Services("").List(ctx, metav1.ListOptions{})
	w.must(err)
	return len(d.Items) + len(p.Items) + len(s.Items)
}
