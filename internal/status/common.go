package status

// common is the shared form of a string that is kept in thousands of statuses, so that each does not keep its own; nil for others. As
// an interface it is shared, too.
func common(s []byte) any { //nolint:gocyclo,funlen // a table, not a decision
	switch string(s) {
	case "conditions":
		return "conditions"
	case "type":
		return "type"
	case "status":
		return "status"
	case "reason":
		return "reason"
	case "message":
		return "message"
	case "lastTransitionTime":
		return "lastTransitionTime"
	case "lastUpdateTime":
		return "lastUpdateTime"
	case "lastProbeTime":
		return "lastProbeTime"
	case "observedGeneration":
		return "observedGeneration"
	case "replicas":
		return "replicas"
	case "updatedReplicas":
		return "updatedReplicas"
	case "readyReplicas":
		return "readyReplicas"
	case "availableReplicas":
		return "availableReplicas"
	case "True":
		return "True"
	case "False":
		return "False"
	case "Unknown":
		return "Unknown"
	case "Available":
		return "Available"
	case "Progressing":
		return "Progressing"
	case "Ready":
		return "Ready"
	case "Initialized":
		return "Initialized"
	case "ContainersReady":
		return "ContainersReady"
	case "PodScheduled":
		return "PodScheduled"
	case "PodReadyToStartContainers":
		return "PodReadyToStartContainers"
	case "MinimumReplicasAvailable":
		return "MinimumReplicasAvailable"
	case "NewReplicaSetAvailable":
		return "NewReplicaSetAvailable"
	case "Deployment has minimum availability.":
		return "Deployment has minimum availability."
	}
	return nil
}
