package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	"github.com/upstreamd/upstreamd/sandbox/copier"
	"github.com/upstreamd/upstreamd/sandbox/front"
	"github.com/upstreamd/upstreamd/sandbox/oracle"
	"github.com/upstreamd/upstreamd/sandbox/sandboxtest"
	"github.com/upstreamd/upstreamd/sandbox/simulator"
	"github.com/upstreamd/upstreamd/sandbox/topology"
)

var (
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	services    = schema.GroupVersionResource{Version: "v1", Resource: "services"}
)

// world is a namespace in a workspace with copies in two SyncTargets.
type world struct {
	namespace string
	workspace topology.Workspace
	targets   []topology.SyncTarget
	upstream  kubernetes.Interface
	down      map[string]kubernetes.Interface // by SyncTarget
	copier    *copier.Copier
}

func newWorld(t *testing.T, namespace, style string) *world {
	t.Helper()
	w := &world{namespace: namespace, workspace: shared.Workspace("root:team-a").Topology(), down: map[string]kubernetes.Interface{}}
	_, w.targets = shared.Topology()
	w.upstream = client(t, w.workspace.Config)
	for _, target := range w.targets {
		w.down[target.Name] = client(t, target.Config)
	}
	if _, err := w.upstream.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.create(t)
	var err error
	w.copier, err = copier.Start(t.Context(), copier.Options{
		Workspaces: []topology.Workspace{w.workspace}, SyncTargets: w.targets, Style: style,
		Resources: []schema.GroupVersionResource{deployments, pods, services},
		OnError:   func(err error) { t.Log(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.copier.Stop()
		w.clean(t)
	})
	w.settle(t)
	return w
}

func (w *world) create(t *testing.T) {
	t.Helper()
	placed := copier.Placement(w.targets...)
	placed["app"] = "web"
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}
	_, deploymentErr := w.upstream.AppsV1().Deployments(w.namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: placed, Annotations: map[string]string{"note": "mine"}},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(3)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}, Spec: spec},
		},
	}, metav1.CreateOptions{})
	_, podErr := w.upstream.CoreV1().Pods(w.namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "lone", Labels: placed}, Spec: spec,
	}, metav1.CreateOptions{})
	_, serviceErr := w.upstream.CoreV1().Services(w.namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "lb", Labels: placed},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	_, unplacedErr := w.upstream.CoreV1().Services(w.namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "unplaced"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	if err := errors.Join(deploymentErr, podErr, serviceErr, unplacedErr); err != nil {
		t.Fatal(err)
	}
}

// clean deletes all objects, so that another test's simulator or oracle does not pick them up.
func (w *world) clean(t *testing.T) {
	ctx := context.Background() // the test's context has ended
	all := append([]kubernetes.Interface{w.upstream}, w.down["us-east1"], w.down["eu-west1"])
	for _, c := range all {
		for name := range w.deployments(ctx, t, c) {
			namespace, name, _ := strings.Cut(name, "/")
			if err := c.AppsV1().Deployments(namespace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		}
		found, err := c.CoreV1().Services("").List(ctx, metav1.ListOptions{})
		if err != nil {
			t.Error(err)
			continue
		}
		for _, s := range found.Items {
			if s.Name != "kubernetes" {
				if err := c.CoreV1().Services(s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{}); err != nil {
					t.Error(err)
				}
			}
		}
		lone, err := c.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
		if err != nil {
			t.Error(err)
			continue
		}
		for _, p := range lone.Items {
			if err := c.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		}
	}
}

func (w *world) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := w.copier.Settle(ctx); err != nil {
		t.Fatal(err)
	}
}

func (w *world) deployments(ctx context.Context, t *testing.T, c kubernetes.Interface) map[string]appsv1.Deployment {
	t.Helper()
	list, err := c.AppsV1().Deployments("").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]appsv1.Deployment{}
	for _, d := range list.Items {
		found[d.Namespace+"/"+d.Name] = d
	}
	return found
}

// copyIn returns the only Deployment in a SyncTarget, or nil.
func (w *world) copyIn(t *testing.T, target string) *appsv1.Deployment {
	t.Helper()
	found := w.deployments(t.Context(), t, w.down[target])
	if len(found) > 1 {
		t.Fatalf("%s holds %d Deployments", target, len(found))
	}
	for _, d := range found {
		return &d
	}
	return nil
}

func TestCopierCopiesLikeKCP(t *testing.T) {
	w := newWorld(t, "shop", copier.NamespaceLocator)
	for _, target := range w.targets {
		c := w.copyIn(t, target.Name)
		if c == nil {
			t.Fatalf("%s has no copy", target.Name)
		}
		namespace, err := w.down[target.Name].CoreV1().Namespaces().Get(t.Context(), c.Namespace, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		locator := fmt.Sprintf(`{"syncTarget":{"cluster":"root:infra","name":%q,"uid":%q},"cluster":"root:team-a","namespace":"shop"}`, target.Name, target.UID)
		if got := namespace.Annotations["kcp.io/namespace-locator"]; got != locator {
			t.Errorf("the locator is %s, want %s", got, locator)
		}
		if namespace.Labels["kcp.io/tenant-id"] == "" || len(c.Namespace) != len("kcp-")+12 {
			t.Errorf("the namespace is %+v", namespace.ObjectMeta)
		}
		key := strings.TrimPrefix(copier.PlacementLabel(target), "state.workload.kcp.io/")
		wantLabels := map[string]string{"app": "web", "internal.workload.kcp.io/cluster": key}
		wantAnnotations := map[string]string{"note": "mine", "upstreamd.dev/upstream-generation": "1"}
		if fmt.Sprint(c.Labels, c.Annotations) != fmt.Sprint(wantLabels, wantAnnotations) {
			t.Errorf("labels %v and annotations %v, want %v and %v", c.Labels, c.Annotations, wantLabels, wantAnnotations)
		}
		if *c.Spec.Replicas != 3 {
			t.Errorf("the copy has %d replicas", *c.Spec.Replicas)
		}
		found, err := w.down[target.Name].CoreV1().Services(c.Namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil || len(found.Items) != 1 || found.Items[0].Name != "lb" {
			t.Errorf("Services: %v, %v", found.Items, err)
		}
	}
}

func TestCopierFollowsSpecPlacementAndDeletion(t *testing.T) {
	w := newWorld(t, "follow", copier.Prefix)
	before := w.copyIn(t, "us-east1")
	if before.Namespace != "kcp-root-team-a-follow" {
		t.Errorf("the copy is in namespace %s", before.Namespace)
	}
	// Status is neither copied nor does it cause a write.
	up, err := w.upstream.AppsV1().Deployments("follow").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	up.Status.Replicas = 3
	if up, err = w.upstream.AppsV1().Deployments("follow").UpdateStatus(t.Context(), up, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	up.Spec.Replicas = new(int32(5))
	if _, err := w.upstream.AppsV1().Deployments("follow").Update(t.Context(), up, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.settle(t)
	after := w.copyIn(t, "us-east1")
	if *after.Spec.Replicas != 5 || after.Annotations["upstreamd.dev/upstream-generation"] != "2" || after.Generation != 2 || after.Status.Replicas != 0 {
		t.Errorf("after scaling the copy is %+v", after)
	}

	if err := copier.Place(t.Context(), w.workspace, deployments, "follow", "web", w.targets[0]); err != nil {
		t.Fatal(err)
	}
	w.settle(t)
	for n, target := range w.targets {
		if there := w.copyIn(t, target.Name) != nil; there != (n == 0) {
			t.Errorf("%s has a copy: %v", target.Name, there)
		}
	}

	kept := w.copyIn(t, w.targets[0].Name)
	if err := w.upstream.AppsV1().Deployments("follow").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lone"} {
		if err := w.upstream.CoreV1().Pods("follow").Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"lb", "unplaced"} {
		if err := w.upstream.CoreV1().Services("follow").Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w.create(t) // at once: the copier may miss the deletion
	w.settle(t)
	if again := w.copyIn(t, w.targets[0].Name); again == nil || again.UID == kept.UID {
		t.Errorf("the copy of a new object is the old one: %+v", again)
	}
	if _, err := w.down["us-east1"].CoreV1().Pods("kcp-root-team-a-follow").Get(t.Context(), "lone", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func TestDeadSyncTargetDelaysNoOther(t *testing.T) {
	w := newWorld(t, "delay", copier.NamespaceLocator)
	dead := shared.SyncTarget("eu-west1")
	dead.Kill()
	up, err := w.upstream.AppsV1().Deployments("delay").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	up.Spec.Replicas = new(int32(7))
	if _, err := w.upstream.AppsV1().Deployments("delay").Update(t.Context(), up, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	sandboxtest.Eventually(t, 5*time.Second, func() error {
		if n := *w.copyIn(t, "us-east1").Spec.Replicas; n != 7 {
			return fmt.Errorf("the living SyncTarget has %d replicas", n)
		}
		return nil
	})
	if err := dead.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.settle(t)
	if n := *w.copyIn(t, "eu-west1").Spec.Replicas; n != 7 {
		t.Errorf("the restarted SyncTarget has %d replicas", n)
	}
}

func TestSimulatorMovesAndSettles(t *testing.T) {
	w := newWorld(t, "move", copier.NamespaceLocator)
	s, err := simulator.Start(t.Context(), simulator.Options{SyncTargets: w.targets, Rate: 300, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	sandboxtest.Eventually(t, 30*time.Second, func() error {
		for name, stats := range s.Stats() {
			if stats.Writes < 100 {
				return fmt.Errorf("%s: %+v", name, stats)
			}
		}
		return nil
	})
	s.Pause()
	paused := s.Stats()
	sandboxtest.Always(t, 300*time.Millisecond, func() error {
		if now := s.Stats(); now["us-east1"] != paused["us-east1"] {
			return fmt.Errorf("paused at %+v, now %+v", paused, now)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	settled := s.Stats()
	if err := s.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	if again := s.Stats(); fmt.Sprint(again) != fmt.Sprint(settled) {
		t.Errorf("settled twice: %+v, then %+v", settled, again)
	}
	for _, target := range w.targets {
		d := w.copyIn(t, target.Name)
		if d.Status.ObservedGeneration != d.Generation || d.Status.UpdatedReplicas != 3 || len(d.Status.Conditions) != 2 {
			t.Errorf("%s: settled at %+v", target.Name, d.Status)
		}
		lb, err := w.down[target.Name].CoreV1().Services(d.Namespace).Get(t.Context(), "lb", metav1.GetOptions{})
		if err != nil || len(lb.Status.LoadBalancer.Ingress) != 3 {
			t.Errorf("%s: the Service settled at %+v, %v", target.Name, lb.Status, err)
		}
	}
	s.Resume()
	sandboxtest.Eventually(t, 10*time.Second, func() error {
		if fmt.Sprint(s.Stats()) == fmt.Sprint(settled) {
			return errors.New("nothing moves after Resume")
		}
		return nil
	})
	s.RemoveSyncTarget("us-east1")
	s.Pause() // waits for writes in flight
	if _, there := s.Stats()["us-east1"]; there {
		t.Error("the removed SyncTarget is still counted")
	}
}

func TestFrontInterceptsAndReportsRequests(t *testing.T) {
	defer shared.Front.Intercept(nil)
	defer shared.Front.Observe(nil)
	reported := make(chan front.Request, 10)
	shared.Front.Observe(func(r front.Request) { reported <- r })
	shared.Front.Intercept(conflictOnce())

	config := shared.Workspace("team-b").Config()
	config.UserAgent = "the-test"
	through := client(t, config).CoreV1().ConfigMaps("default")
	_, err := through.Get(t.Context(), "none", metav1.GetOptions{})
	if !apierrors.IsConflict(err) {
		t.Errorf("intercepted: got %v", err)
	}
	if _, err := through.Get(t.Context(), "none", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("let through: got %v", err)
	}
	for _, want := range []int{409, 404} {
		if r := <-reported; r.Code != want || r.Agent != "the-test" || r.Name != "none" || r.Verb != "get" || r.Took <= 0 {
			t.Errorf("observed %+v, want code %d", r, want)
		}
	}
}

func TestOracleFindsWrongFields(t *testing.T) {
	w := newWorld(t, "truth", copier.NamespaceLocator)
	s, err := simulator.Start(t.Context(), simulator.Options{SyncTargets: w.targets, Rate: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	w.makeUnavailable(t, "us-east1")
	o := oracle.Oracle{Workspaces: []topology.Workspace{w.workspace}, SyncTargets: w.targets}

	if fields := wrong(t, o); len(fields) < 8 {
		t.Errorf("nothing is published, and the oracle finds only %v", fields)
	}
	w.publishTruth(t)
	report, err := o.Check(t.Context())
	if err != nil || report.Err() != nil || report.Checked != 3 {
		t.Fatalf("every status is right: %d checked, %v, %v", report.Checked, report.Err(), err)
	}

	for field, spoil := range map[string]func(*appsv1.Deployment){
		"replicas":                                     func(d *appsv1.Deployment) { d.Status.Replicas++ },
		"updatedReplicas":                              func(d *appsv1.Deployment) { d.Status.UpdatedReplicas-- },
		"unavailableReplicas":                          func(d *appsv1.Deployment) { d.Status.UnavailableReplicas++ },
		"observedGeneration":                           func(d *appsv1.Deployment) { d.Status.ObservedGeneration-- },
		"conditions[Available].status":                 func(d *appsv1.Deployment) { d.Status.Conditions[0].Status = "True" },
		"conditions[Available].reason":                 func(d *appsv1.Deployment) { d.Status.Conditions[0].Reason = "Other" },
		"conditions[Available].message":                func(d *appsv1.Deployment) { d.Status.Conditions[0].Message = "other" },
		"conditions[Bogus]":                            func(d *appsv1.Deployment) { d.Status.Conditions[1].Type = "Bogus" },
		"conditions[upstreamd.dev/Aggregated].message": func(d *appsv1.Deployment) { d.Status.Conditions[2].Message = "1/2 SyncTargets reporting" },
		"conditions[upstreamd.dev/Aggregated]":         func(d *appsv1.Deployment) { d.Status.Conditions = d.Status.Conditions[:2] },
	} {
		w.spoilDeployment(t, spoil)
		if fields := wrong(t, o); !strings.Contains(strings.Join(fields, "\n")+"\n", field+"\n") {
			t.Errorf("%s is wrong, the oracle finds %v", field, fields)
		}
		w.publishTruth(t)
	}
	w.namePrimary(t, "eu-west1") // but us-east1's is published
	if fields := wrong(t, o); !slices.Contains(fields, "podIP") {
		t.Errorf("the Pod's status is not the named SyncTarget's, the oracle finds %v", fields)
	}
	w.namePrimary(t, "us-east1")
	w.spoilPodAndService(t)
	if fields := wrong(t, o); len(fields) != 2 || fields[0] != "reason" || fields[1] != "loadBalancer.ingress" {
		t.Errorf("Pod and Service are wrong, the oracle finds %v", fields)
	}
}

func wrong(t *testing.T, o oracle.Oracle) (fields []string) {
	t.Helper()
	report, err := o.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range report.Wrong {
		fields = append(fields, m.Field)
	}
	return fields
}

func TestCopierAndSimulatorLeaveNoGoroutine(t *testing.T) {
	w := newWorld(t, "leak", copier.NamespaceLocator)
	before := goleak.IgnoreCurrent()
	// Idle connections belong to client-go's transports, which outlive their clients.
	idle := []goleak.Option{
		before,
		goleak.IgnoreAnyFunction("net/http.(*http2ClientConn).readLoop"),
		goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"),
		goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*ClientConn).readLoop"),
	}
	c, err := copier.Start(t.Context(), copier.Options{
		Workspaces: []topology.Workspace{w.workspace}, SyncTargets: w.targets, Resources: []schema.GroupVersionResource{deployments},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := simulator.Start(t.Context(), simulator.Options{SyncTargets: w.targets, Rate: 100})
	if err != nil {
		t.Fatal(err)
	}
	sandboxtest.Eventually(t, 20*time.Second, func() error {
		if s.Objects() < 6 || s.Stats()["us-east1"].Writes == 0 {
			return fmt.Errorf("%d objects, %v", s.Objects(), s.Stats())
		}
		return nil
	})
	s.Stop()
	c.Stop()
	goleak.VerifyNone(t, idle...)
}

func TestOracleDoesNotImportTheProduct(t *testing.T) {
	const module = "github.com/upstreamd/upstreamd/"
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./oracle").Output()
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{module + "sandbox/oracle", module + "sandbox/topology"}
	found := 0
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, module) {
			found++
			if !slices.Contains(allowed, line) {
				t.Errorf("the oracle depends on %s", line)
			}
		}
	}
	if found != len(allowed) {
		t.Errorf("%d packages of this repository found, want %d: the test proves nothing", found, len(allowed))
	}
}
