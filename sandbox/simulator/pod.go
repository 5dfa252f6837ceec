package simulator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

type pods struct{}

func (pods) informer(f informers.SharedInformerFactory) cache.SharedIndexInformer {
	return f.Core().V1().Pods().Informer()
}

func (pods) list(ctx context.Context, c kubernetes.Interface, selector string) ([]object, error) {
	list, err := c.CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	return pointers[*corev1.Pod](list.Items), nil
}

func (pods) get(ctx context.Context, c kubernetes.Interface, namespace, name string) (object, error) {
	return c.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (pods) write(ctx context.Context, c kubernetes.Interface, o object) (object, error) {
	return c.CoreV1().Pods(o.GetNamespace()).UpdateStatus(ctx, o.(*corev1.Pod), metav1.UpdateOptions{})
}

// The stages of a Pod, derived from its status.
type stage int

const (
	unscheduled stage = iota
	scheduled         // containers are being created
	started           // running, not ready
	ready
	crashing // CrashLoopBackOff
	finished // Succeeded or Failed
)

// next walks unscheduled → scheduled → started → ready ⇄ crashing. If restartPolicy is not Always, a Pod may finish instead of crashing.
func (pods) next(current object, dice *rand.Rand, now metav1.Time) object {
	p := current.(*corev1.Pod)
	switch at := stageOf(p); at {
	case unscheduled, scheduled, started:
		return podAt(p, at+1, now)
	case ready:
		if p.Spec.RestartPolicy != corev1.RestartPolicyAlways && dice.IntN(2) == 0 {
			return podAt(p, finished, now)
		}
		return podAt(p, crashing, now)
	case crashing:
		return podAt(p, started, now)
	case finished:
	}
	return nil
}

// rest makes a Pod ready, or keeps it finished. Every seventh Pod keeps crashing.
func (pods) rest(current object, now metav1.Time) object {
	before := current.(*corev1.Pod)
	at := stageOf(before)
	want := ready
	switch {
	case at == finished:
		want = finished
	case fate(before, 7) == 0:
		want = crashing
	}
	p := podAt(before, want, now)
	if equality.Semantic.DeepEqual(before.Status, p.Status) {
		return nil
	}
	return p
}

func stageOf(p *corev1.Pod) stage {
	s := p.Status
	switch {
	case s.Phase == corev1.PodSucceeded || s.Phase == corev1.PodFailed:
		return finished
	case !isTrue(s.Conditions, corev1.PodScheduled):
		return unscheduled
	case s.Phase == corev1.PodPending:
		return scheduled
	case slices.ContainsFunc(s.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Waiting != nil }):
		return crashing
	case isTrue(s.Conditions, corev1.PodReady):
		return ready
	}
	return started
}

func isTrue(conditions []corev1.PodCondition, of corev1.PodConditionType) bool {
	return slices.ContainsFunc(conditions, func(c corev1.PodCondition) bool { return c.Type == of && c.Status == corev1.ConditionTrue })
}

// podAt returns the Pod as scheduler and kubelet leave it at a stage; assigned values (addresses, start time) stay.
func podAt(current *corev1.Pod, at stage, now metav1.Time) *corev1.Pod {
	p := current.DeepCopy()
	s := &p.Status
	s.ObservedGeneration = p.Generation
	s.Phase = map[stage]corev1.PodPhase{
		scheduled: corev1.PodPending, started: corev1.PodRunning, ready: corev1.PodRunning, crashing: corev1.PodRunning, finished: corev1.PodSucceeded,
	}[at]
	if s.StartTime == nil {
		s.StartTime = &now
	}
	if at != scheduled && s.PodIP == "" {
		s.HostIP = fmt.Sprintf("192.0.2.%d", 1+fate(p, 4))
		s.HostIPs = []corev1.HostIP{{IP: s.HostIP}}
		s.PodIP = fmt.Sprintf("10.244.%d.%d", fate(p, 250), 1+fate(p, 251))
		s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	}
	s.ContainerStatuses = containersAt(p, at, now)

	status := map[bool]corev1.ConditionStatus{true: corev1.ConditionTrue, false: corev1.ConditionFalse}
	notReady := ""
	switch at {
	case finished:
		notReady = "PodCompleted"
	case ready:
	default:
		notReady = "ContainersNotReady"
	}
	for _, c := range []corev1.PodCondition{
		{Type: corev1.PodReadyToStartContainers, Status: status[at == started || at == ready || at == crashing]},
		{Type: corev1.PodInitialized, Status: corev1.ConditionTrue},
		{Type: corev1.PodReady, Status: status[at == ready], Reason: notReady, Message: unreadyMessage(p, at)},
		{Type: corev1.ContainersReady, Status: status[at == ready], Reason: notReady, Message: unreadyMessage(p, at)},
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
	} {
		c.ObservedGeneration = p.Generation
		setPodCondition(s, c, now)
	}
	return p
}

func unreadyMessage(p *corev1.Pod, at stage) string {
	if at == ready || at == finished {
		return ""
	}
	var names []string
	for _, container := range p.Spec.Containers {
		names = append(names, container.Name)
	}
	return fmt.Sprintf("containers with unready status: %v", names)
}

func containersAt(p *corev1.Pod, at stage, now metav1.Time) []corev1.ContainerStatus {
	var all []corev1.ContainerStatus
	for n, container := range p.Spec.Containers {
		c := corev1.ContainerStatus{Name: container.Name, Image: container.Image}
		var before corev1.ContainerStatus
		if n < len(p.Status.ContainerStatuses) {
			before = p.Status.ContainerStatuses[n]
			c.RestartCount, c.ContainerID, c.ImageID, c.LastTerminationState = before.RestartCount, before.ContainerID, before.ImageID, before.LastTerminationState
		}
		running := at == started || at == ready
		if running && before.State.Running == nil { // a new container
			c.ContainerID = fmt.Sprintf("containerd://%08x%04x%04x", fate(p, 1<<31), n, c.RestartCount)
			c.ImageID = fmt.Sprintf("%s@sha256:%08x", container.Image, fate(p, 1<<31))
		}
		c.Started = new(running)
		c.Ready = at == ready
		switch {
		case running && before.State.Running != nil:
			c.State = before.State
		case running:
			c.State.Running = &corev1.ContainerStateRunning{StartedAt: now}
		case at == scheduled:
			c.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
		case at == crashing:
			c.State.Waiting = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 10s restarting failed container"}
			if before.State.Waiting == nil { // it has just crashed
				c.RestartCount++
				c.LastTerminationState.Terminated = ended(before, now, 1, "Error")
			}
		case before.State.Terminated != nil:
			c.State = before.State
		default:
			c.State.Terminated = ended(before, now, 0, "Completed")
		}
		all = append(all, c)
	}
	return all
}

func ended(c corev1.ContainerStatus, now metav1.Time, code int32, reason string) *corev1.ContainerStateTerminated {
	began := now
	if c.State.Running != nil {
		began = c.State.Running.StartedAt
	}
	return &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, StartedAt: began, FinishedAt: now, ContainerID: c.ContainerID}
}

func setPodCondition(s *corev1.PodStatus, c corev1.PodCondition, now metav1.Time) {
	c.LastTransitionTime = now
	at := slices.IndexFunc(s.Conditions, func(have corev1.PodCondition) bool { return have.Type == c.Type })
	if at < 0 {
		s.Conditions = append(s.Conditions, c)
		return
	}
	if s.Conditions[at].Status == c.Status {
		c.LastTransitionTime = s.Conditions[at].LastTransitionTime
	}
	s.Conditions[at] = c
}
