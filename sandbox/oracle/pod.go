package oracle

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

func podsOf(s *syncTarget) map[string]*corev1.Pod { return s.pods }

// checkPod wants the whole status of one SyncTarget, whichever: the primary may be any that was healthy when it was chosen.
func checkPod(s subject, upstream *corev1.Pod, copies []contribution[*corev1.Pod], _ bool) {
	var first corev1.PodStatus
	for n, c := range copies {
		want := translated(upstream, c.object)
		if equality.Semantic.DeepEqual(want, upstream.Status) {
			return
		}
		if n == 0 {
			first = want
		}
	}
	s.compare(fmt.Sprintf("status (of %s or any other)", copies[0].target), asJSON(first), asJSON(upstream.Status))
}

// translated is a copy's status with the copy's generation replaced by the upstream object's.
func translated(upstream, down *corev1.Pod) corev1.PodStatus {
	status := *down.Status.DeepCopy()
	generation := func(observed int64) int64 {
		if observed == 0 || !caughtUp(upstream, down, observed) {
			return observed
		}
		return upstream.Generation
	}
	status.ObservedGeneration = generation(status.ObservedGeneration)
	for n := range status.Conditions {
		status.Conditions[n].ObservedGeneration = generation(status.Conditions[n].ObservedGeneration)
	}
	return status
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
