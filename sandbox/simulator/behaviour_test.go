package simulator

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
)

// For any random choices and user edits, an API server accepts a Deployment's status and a controller could have written it.
func TestDeploymentStatusIsAlwaysValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &appsv1.Deployment{}
		d.Name, d.UID, d.Generation = "web", types.UID(rapid.String().Draw(t, "uid")), 1
		d.Spec.Replicas = new(rapid.Int32Range(0, 12).Draw(t, "replicas"))
		dice := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		for n := range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.IntRange(0, 9).Draw(t, "event") == 0 {
				d.Spec.Replicas = new(rapid.Int32Range(0, 12).Draw(t, "scaled"))
				d.Generation++
			}
			before := d.DeepCopy()
			if next := (deployments{}).next(d, dice, at(n)); next != nil {
				d = next.(*appsv1.Deployment)
			} else if *d.Spec.Replicas != 0 {
				t.Fatalf("a Deployment with replicas has no next step: %+v", d.Status)
			}
			possible(t, before, d)
		}
		before := d.DeepCopy()
		if rest := (deployments{}).rest(d, at(100)); rest != nil {
			d = rest.(*appsv1.Deployment)
		}
		possible(t, before, d)
		if d.Status.ObservedGeneration != d.Generation || d.Status.UpdatedReplicas != *d.Spec.Replicas {
			t.Fatalf("at rest and not rolled out: %+v", d.Status)
		}
		if again := (deployments{}).rest(d, at(200)); again != nil {
			t.Fatalf("rest is not at rest: %+v", again)
		}
	})
}

func possible(t *rapid.T, before, after *appsv1.Deployment) {
	s := after.Status
	if s.AvailableReplicas < 0 || s.AvailableReplicas > s.ReadyReplicas || s.ReadyReplicas > s.Replicas ||
		s.UpdatedReplicas < 0 || s.UpdatedReplicas > s.Replicas || s.UnavailableReplicas < 0 {
		t.Fatalf("impossible counters: %+v", s)
	}
	if s.ObservedGeneration < before.Status.ObservedGeneration || s.ObservedGeneration > after.Generation {
		t.Fatalf("observedGeneration went from %d to %d of %d", before.Status.ObservedGeneration, s.ObservedGeneration, after.Generation)
	}
	for _, had := range before.Status.Conditions {
		for _, has := range s.Conditions {
			if has.Type != had.Type {
				continue
			}
			if moved := !has.LastTransitionTime.Equal(&had.LastTransitionTime); moved != (has.Status != had.Status) {
				t.Fatalf("from %+v to %+v: the transition time does not follow the status", had, has)
			}
		}
	}
}

func TestDeploymentRollsOutAndFails(t *testing.T) {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: "1", Generation: 1}, Spec: appsv1.DeploymentSpec{Replicas: new(int32(3))}}
	dice := rand.New(rand.NewPCG(1, 1))
	observed := map[string]bool{}
	for n := range 200 {
		d = (deployments{}).next(d, dice, at(n)).(*appsv1.Deployment)
		for _, c := range d.Status.Conditions {
			observed[fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason)] = true
		}
	}
	for _, want := range []string{
		"Available=True MinimumReplicasAvailable", "Available=False MinimumReplicasUnavailable",
		"Progressing=True ReplicaSetUpdated", "Progressing=True NewReplicaSetAvailable", "Progressing=False ProgressDeadlineExceeded",
	} {
		if !observed[want] {
			t.Errorf("never observed %s, only %v", want, observed)
		}
	}
}

func TestPodLifecycle(t *testing.T) {
	for policy, wantEnd := range map[corev1.RestartPolicy]bool{corev1.RestartPolicyAlways: false, corev1.RestartPolicyNever: true} {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "lone", UID: "u", Generation: 3},
			Spec:       corev1.PodSpec{RestartPolicy: policy, Containers: []corev1.Container{{Name: "a", Image: "i"}, {Name: "b", Image: "j"}}},
		}
		p.Status.Phase = corev1.PodPending
		dice := rand.New(rand.NewPCG(1, 1))
		reached := map[stage]bool{}
		for n := range 50 {
			next := (pods{}).next(p, dice, at(n))
			if next == nil {
				break
			}
			before := p
			p = next.(*corev1.Pod)
			reached[stageOf(p)] = true
			checkPodStep(t, before, p)
		}
		for s := scheduled; s <= crashing; s++ {
			if !reached[s] && policy == corev1.RestartPolicyAlways {
				t.Errorf("%s: stage %d was never reached", policy, s)
			}
		}
		if reached[finished] != wantEnd {
			t.Errorf("%s: finished is %v, want %v", policy, reached[finished], wantEnd)
		}
		if rest := (pods{}).rest(p, at(60)); rest != nil {
			p = rest.(*corev1.Pod)
		}
		if again := (pods{}).rest(p, at(70)); again != nil {
			t.Errorf("%s: rest is not at rest: %+v", policy, again)
		}
	}
}

func checkPodStep(t *testing.T, before, after *corev1.Pod) {
	t.Helper()
	s := after.Status
	if s.ObservedGeneration != after.Generation || len(s.ContainerStatuses) != len(after.Spec.Containers) {
		t.Errorf("incomplete: %+v", s)
	}
	if before.Status.PodIP != "" && before.Status.PodIP != s.PodIP || before.Status.StartTime != nil && !before.Status.StartTime.Equal(s.StartTime) {
		t.Errorf("address or start time moved: %+v → %+v", before.Status, s)
	}
	for n, c := range s.ContainerStatuses {
		if n < len(before.Status.ContainerStatuses) && c.RestartCount < before.Status.ContainerStatuses[n].RestartCount {
			t.Errorf("the restart count fell: %+v", c)
		}
		if c.Ready != isTrue(s.Conditions, corev1.PodReady) {
			t.Errorf("container and Pod differ about being ready: %+v", s)
		}
	}
}

func TestServiceGainsAndLosesAddresses(t *testing.T) {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: "u"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}
	counts := map[int]bool{}
	for n := range 10 {
		s = (services{}).next(s, nil, at(n)).(*corev1.Service)
		counts[len(s.Status.LoadBalancer.Ingress)] = true
	}
	if !counts[1] || !counts[2] || !counts[3] {
		t.Errorf("observed numbers of addresses: %v", counts)
	}
	if rest := (services{}).rest(s, at(11)); rest != nil {
		s = rest.(*corev1.Service)
	}
	if len(s.Status.LoadBalancer.Ingress) != 3 || (services{}).rest(s, at(12)) != nil {
		t.Errorf("at rest: %+v", s.Status)
	}
	s.Spec.Type = corev1.ServiceTypeClusterIP
	if (services{}).next(s, nil, at(13)) != nil || (services{}).rest(s, at(13)) != nil {
		t.Error("a Service without a load balancer has a status to simulate")
	}
}

func at(second int) metav1.Time { return metav1.NewTime(time.Unix(1_800_000_000+int64(second), 0)) }
