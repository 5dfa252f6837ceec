package status

// shared holds one instance, boxed once, of strings that occur in thousands of statuses. It is never modified.
var shared = box(
	"conditions", "type", "status", "reason", "message", "lastTransitionTime", "lastUpdateTime", "lastProbeTime", "observedGeneration",
	"replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "True", "False", "Unknown", "Available", "Progressing", "Ready",
	"Initialized", "ContainersReady", "PodScheduled", "PodReadyToStartContainers", "MinimumReplicasAvailable", "NewReplicaSetAvailable",
	"Deployment has minimum availability.",
)

func box(texts ...string) map[string]any {
	m := make(map[string]any, len(texts))
	for _, s := range texts {
		m[s] = s
	}
	return m
}
