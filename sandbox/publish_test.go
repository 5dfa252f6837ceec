package sandbox_test

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/upstreamd/upstreamd/sandbox/front"
)

// conflictOnce answers the first call with 409 and passes all others on.
func conflictOnce() front.Interceptor {
	var answered atomic.Bool
	return func(w http.ResponseWriter, _ *http.Request, _ front.Call) bool {
		if answered.Swap(true) {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusConflict)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Conflict","code":409}`))
		return true
	}
}

// makeUnavailable writes a status to each copy; one of them decides the merged conditions.
func (w *world) makeUnavailable(t *testing.T, target string) {
	t.Helper()
	now := metav1.Now()
	for name, c := range w.down {
		d := w.copyIn(t, name)
		d.Status = appsv1.DeploymentStatus{
			ObservedGeneration: d.Generation, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 3,
			Conditions: []appsv1.DeploymentCondition{
				{Type: "Available", Status: "True", Reason: "Fine", Message: "fine", LastTransitionTime: now},
				{Type: "Progressing", Status: "True", Reason: "Done", Message: "done", LastTransitionTime: now},
			},
		}
		if name == target {
			d.Status.ReadyReplicas, d.Status.AvailableReplicas, d.Status.UnavailableReplicas = 1, 1, 2
			d.Status.Conditions[0] = appsv1.DeploymentCondition{Type: "Available", Status: "False", Reason: "Bad", Message: "bad", LastTransitionTime: now}
		}
		if _, err := c.AppsV1().Deployments(d.Namespace).UpdateStatus(t.Context(), d, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// publishTruth writes, by hand, the status that is due after makeUnavailable.
func (w *world) publishTruth(t *testing.T) {
	t.Helper()
	now := metav1.Now()
	w.spoilDeployment(t, func(d *appsv1.Deployment) {
		d.Status = appsv1.DeploymentStatus{
			ObservedGeneration: d.Generation, Replicas: 6, UpdatedReplicas: 6, ReadyReplicas: 4, AvailableReplicas: 4, UnavailableReplicas: 2,
			Conditions: []appsv1.DeploymentCondition{
				{Type: "Available", Status: "False", Reason: "Bad", Message: "bad", LastTransitionTime: now},
				{Type: "Progressing", Status: "True", Reason: "Any", Message: "2/2 SyncTargets: …", LastTransitionTime: now},
				{Type: "upstreamd.dev/Aggregated", Status: "True", Reason: "AllReporting", Message: "2/2 SyncTargets reporting", LastTransitionTime: now},
			},
		}
	})
	namespace := w.copyIn(t, "us-east1").Namespace
	pod, err := w.down["us-east1"].CoreV1().Pods(namespace).Get(t.Context(), "lone", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	up, err := w.upstream.CoreV1().Pods(w.namespace).Get(t.Context(), "lone", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	up.Status = pod.Status
	slices.Reverse(up.Status.Conditions) // their order is irrelevant
	up.Status.Conditions = append(up.Status.Conditions, corev1.PodCondition{
		Type: "upstreamd.dev/Aggregated", Status: "True", Message: "2/2 SyncTargets reporting",
	})
	if _, err := w.upstream.CoreV1().Pods(w.namespace).UpdateStatus(t.Context(), up, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}

	union := map[string]corev1.LoadBalancerIngress{}
	for name, c := range w.down {
		lb, err := c.CoreV1().Services(w.copyIn(t, name).Namespace).Get(t.Context(), "lb", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, ingress := range lb.Status.LoadBalancer.Ingress {
			union[ingress.Hostname+ingress.IP] = ingress
		}
	}
	w.updateService(t, func(s *corev1.Service) {
		s.Status.LoadBalancer.Ingress = nil
		for _, ingress := range union {
			s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, ingress)
		}
	})
}

func (w *world) spoilDeployment(t *testing.T, spoil func(*appsv1.Deployment)) {
	t.Helper()
	d, err := w.upstream.AppsV1().Deployments(w.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spoil(d)
	if _, err := w.upstream.AppsV1().Deployments(w.namespace).UpdateStatus(t.Context(), d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) namePrimary(t *testing.T, target string) {
	t.Helper()
	p, err := w.upstream.CoreV1().Pods(w.namespace).Get(t.Context(), "lone", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.Annotations = map[string]string{"upstreamd.dev/primary": target}
	if _, err := w.upstream.CoreV1().Pods(w.namespace).Update(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) spoilPodAndService(t *testing.T) {
	t.Helper()
	p, err := w.upstream.CoreV1().Pods(w.namespace).Get(t.Context(), "lone", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.Status.Reason = "Spoilt"
	if _, err := w.upstream.CoreV1().Pods(w.namespace).UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.updateService(t, func(s *corev1.Service) { s.Status.LoadBalancer.Ingress = s.Status.LoadBalancer.Ingress[1:] })
}

func (w *world) updateService(t *testing.T, change func(*corev1.Service)) {
	t.Helper()
	s, err := w.upstream.CoreV1().Services(w.namespace).Get(t.Context(), "lb", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	change(s)
	if _, err := w.upstream.CoreV1().Services(w.namespace).UpdateStatus(t.Context(), s, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}
