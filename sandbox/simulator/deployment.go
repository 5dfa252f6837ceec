package simulator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

type deployments struct{}

func (deployments) informer(f informers.SharedInformerFactory) cache.SharedIndexInformer {
	return f.Apps().V1().Deployments().Informer()
}

func (deployments) list(ctx context.Context, c kubernetes.Interface, selector string) ([]object, error) {
	list, err := c.AppsV1().Deployments("").List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	return pointers[*appsv1.Deployment](list.Items), nil
}

func (deployments) get(ctx context.Context, c kubernetes.Interface, namespace, name string) (object, error) {
	return c.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (deployments) write(ctx context.Context, c kubernetes.Interface, o object) (object, error) {
	return c.AppsV1().Deployments(o.GetNamespace()).UpdateStatus(ctx, o.(*appsv1.Deployment), metav1.UpdateOptions{})
}

// next takes the next step of a roll-out or of scaling; after the last one it injects a failure.
func (deployments) next(current object, dice *rand.Rand, now metav1.Time) object {
	d := current.(*appsv1.Deployment).DeepCopy()
	want, s := wantedReplicas(d), &d.Status
	switch {
	case s.ObservedGeneration < d.Generation: // the spec changed: in half of the cases the template
		s.ObservedGeneration = d.Generation
		if dice.IntN(2) == 0 {
			s.UpdatedReplicas = 0
		}
	case s.Replicas != want:
		s.Replicas += sign(want - s.Replicas)
		if s.UpdatedReplicas < want {
			s.UpdatedReplicas++
		}
	case s.UpdatedReplicas < want:
		s.UpdatedReplicas++
		s.ReadyReplicas-- // an old Pod is deleted, the new one is not ready yet
	case s.ReadyReplicas < want:
		s.ReadyReplicas++
	case s.AvailableReplicas < want:
		s.AvailableReplicas++
	case want > 0:
		s.ReadyReplicas -= 1 + dice.Int32N(want)
	default:
		return nil
	}
	finishDeployment(d, now)
	return d
}

// rest finishes the roll-out. Every fifth Deployment keeps one replica that does not become ready.
func (deployments) rest(current object, now metav1.Time) object {
	before := current.(*appsv1.Deployment)
	d := before.DeepCopy()
	want, s := wantedReplicas(d), &d.Status
	s.ObservedGeneration = d.Generation
	s.Replicas, s.UpdatedReplicas, s.ReadyReplicas, s.AvailableReplicas = want, want, want, want
	if want > 0 && fate(d, 5) == 0 {
		s.ReadyReplicas, s.AvailableReplicas = want-1, want-1
	}
	finishDeployment(d, now)
	if equality.Semantic.DeepEqual(before.Status, d.Status) {
		return nil
	}
	return d
}

func wantedReplicas(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

// finishDeployment makes the counters consistent and derives the conditions.
func finishDeployment(d *appsv1.Deployment, now metav1.Time) {
	want, s := wantedReplicas(d), &d.Status
	s.UpdatedReplicas = min(s.UpdatedReplicas, s.Replicas)
	s.ReadyReplicas = max(0, min(s.ReadyReplicas, s.Replicas))
	s.AvailableReplicas = min(s.AvailableReplicas, s.ReadyReplicas)
	s.UnavailableReplicas = max(0, want-s.AvailableReplicas)

	available := appsv1.DeploymentCondition{
		Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue,
		Reason: "MinimumReplicasAvailable", Message: "Deployment has minimum availability.",
	}
	if s.AvailableReplicas < want-want/4 { // maxUnavailable 25 %, rounded down
		available.Status = corev1.ConditionFalse
		available.Reason, available.Message = "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
	}
	replicaSet := fmt.Sprintf("%s-%08x", d.Name, fate(d, 1<<31))
	progressing := appsv1.DeploymentCondition{
		Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue,
		Reason: "ReplicaSetUpdated", Message: fmt.Sprintf("ReplicaSet %q is progressing.", replicaSet),
	}
	switch {
	case s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want:
		progressing.Reason, progressing.Message = "NewReplicaSetAvailable", fmt.Sprintf("ReplicaSet %q has successfully progressed.", replicaSet)
	case s.UpdatedReplicas == want && s.Replicas == want && s.ReadyReplicas == 0:
		progressing.Status = corev1.ConditionFalse
		progressing.Reason, progressing.Message = "ProgressDeadlineExceeded", fmt.Sprintf("ReplicaSet %q has timed out progressing.", replicaSet)
	}
	setDeploymentCondition(s, available, now)
	setDeploymentCondition(s, progressing, now)
}

// setDeploymentCondition updates the times as the Deployment controller does: the transition time changes with the status, the
// update time with status or reason.
func setDeploymentCondition(s *appsv1.DeploymentStatus, c appsv1.DeploymentCondition, now metav1.Time) {
	c.LastTransitionTime, c.LastUpdateTime = now, now
	at := slices.IndexFunc(s.Conditions, func(have appsv1.DeploymentCondition) bool { return have.Type == c.Type })
	if at < 0 {
		s.Conditions = append(s.Conditions, c)
		return
	}
	have := s.Conditions[at]
	if have.Status == c.Status {
		c.LastTransitionTime = have.LastTransitionTime
		if have.Reason == c.Reason {
			c.LastUpdateTime = have.LastUpdateTime
		}
	}
	s.Conditions[at] = c
}

func sign(n int32) int32 {
	if n < 0 {
		return -1
	}
	return 1
}

// pointers returns pointers to a list's items.
func pointers[P interface {
	*T
	object
}, T any](items []T) []object {
	all := make([]object, len(items))
	for n := range items {
		all[n] = P(&items[n])
	}
	return all
}
