package oracle

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
)

func deploymentsOf(s *syncTarget) map[string]*appsv1.Deployment { return s.deployments }

// checkDeployment compares the sum of the copies' counters and their merged conditions with the published status.
func checkDeployment(s subject, upstream *appsv1.Deployment, copies []contribution[*appsv1.Deployment], complete bool) {
	var want appsv1.DeploymentStatus
	var terminating, collisions int32
	var conditions []reported
	current := complete
	for _, c := range copies {
		have := c.object.Status
		want.Replicas += have.Replicas
		want.UpdatedReplicas += have.UpdatedReplicas
		want.ReadyReplicas += have.ReadyReplicas
		want.AvailableReplicas += have.AvailableReplicas
		want.UnavailableReplicas += have.UnavailableReplicas
		terminating += value(have.TerminatingReplicas)
		collisions = max(collisions, value(have.CollisionCount))
		for _, condition := range have.Conditions {
			conditions = append(conditions, reported{c.target, string(condition.Type), string(condition.Status), condition.Reason, condition.Message})
		}
		current = current && caughtUp(upstream, c.object, have.ObservedGeneration)
	}

	got := upstream.Status
	s.compare("replicas", want.Replicas, got.Replicas)
	s.compare("updatedReplicas", want.UpdatedReplicas, got.UpdatedReplicas)
	s.compare("readyReplicas", want.ReadyReplicas, got.ReadyReplicas)
	s.compare("availableReplicas", want.AvailableReplicas, got.AvailableReplicas)
	s.compare("unavailableReplicas", want.UnavailableReplicas, got.UnavailableReplicas)
	s.compare("terminatingReplicas", terminating, value(got.TerminatingReplicas))
	s.compare("collisionCount", collisions, value(got.CollisionCount))
	if current {
		s.compare("observedGeneration", upstream.Generation, got.ObservedGeneration)
	}

	var published []reported
	for _, condition := range got.Conditions {
		published = append(published, reported{"", string(condition.Type), string(condition.Status), condition.Reason, condition.Message})
		if condition.LastTransitionTime.IsZero() && condition.Type != summaryType {
			s.compare(fmt.Sprintf("conditions[%s].lastTransitionTime", condition.Type), "a time", "none")
		}
	}
	checkConditions(s, len(copies), conditions, published, []string{string(appsv1.DeploymentAvailable), string(appsv1.DeploymentProgressing)})
	if complete && len(copies) > 1 {
		checkSummary(s, len(copies), published)
	}
}

func value(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}
