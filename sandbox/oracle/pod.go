package oracle

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

func podsOf(s *syncTarget) map[string]*corev1.Pod { return s.pods }

// primaryAnnotation, on an upstream object, names its primary SyncTarget.
const primaryAnnotation = "upstreamd.dev/primary"

// checkPod expects the whole status of one SyncTarget: the named one, else any, since the primary may be any that was healthy
// when it was chosen. If none matches, it reports the differences from the most similar one.
func checkPod(s subject, upstream *corev1.Pod, copies []contribution[*corev1.Pod], complete bool) {
	got := withoutSummary(upstream.Status)
	named := slices.DeleteFunc(slices.Clone(copies), func(c contribution[*corev1.Pod]) bool {
		return c.target != upstream.Annotations[primaryAnnotation]
	})
	if len(named) == 0 {
		named = copies
	}
	var fewest []difference
	for n, c := range named {
		want := translated(upstream, c.object)
		takeTransitions(&want, got, copies)
		found := differences("", generic(want), generic(got))
		if n == 0 || len(found) < len(fewest) {
			fewest = found
		}
	}
	for _, d := range fewest {
		s.compare(d.path, d.want, d.got)
	}
	if complete && len(copies) > 1 {
		var published []reported
		for _, condition := range upstream.Status.Conditions {
			published = append(published, reported{"", string(condition.Type), string(condition.Status), condition.Reason, condition.Message})
		}
		checkSummary(s, len(copies), published)
	}
}

// translated converts a copy's status to its upstream form: the upstream object's generation for the copy's, conditions by type.
func translated(upstream, down *corev1.Pod) corev1.PodStatus {
	status := withoutSummary(down.Status)
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

// takeTransitions accepts published transition times that are possible. A condition that changed and changed back between two writes
// keeps the time at which its status was first published, and so does one after a change of the primary: a published time may be
// older than the copy's, but not newer than all copies'.
func takeTransitions(want *corev1.PodStatus, published corev1.PodStatus, copies []contribution[*corev1.Pod]) {
	for n := range want.Conditions {
		c := &want.Conditions[n]
		newest := c.LastTransitionTime
		for _, other := range copies {
			if has := conditionOf(other.object.Status, c.Type); has != nil && newest.Before(&has.LastTransitionTime) {
				newest = has.LastTransitionTime
			}
		}
		if got := conditionOf(published, c.Type); got != nil && got.Status == c.Status && !got.LastTransitionTime.IsZero() && !newest.Before(&got.LastTransitionTime) {
			c.LastTransitionTime = got.LastTransitionTime
		}
	}
}

// conditionOf returns the condition of a type, or nil.
func conditionOf(status corev1.PodStatus, of corev1.PodConditionType) *corev1.PodCondition {
	for n := range status.Conditions {
		if status.Conditions[n].Type == of {
			return &status.Conditions[n]
		}
	}
	return nil
}

func withoutSummary(status corev1.PodStatus) corev1.PodStatus {
	status = *status.DeepCopy()
	status.Conditions = slices.DeleteFunc(status.Conditions, func(c corev1.PodCondition) bool { return c.Type == summaryType })
	slices.SortFunc(status.Conditions, func(a, b corev1.PodCondition) int { return strings.Compare(string(a.Type), string(b.Type)) })
	return status
}
