package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// kind is a kind of object that users make. The token of a reported status differs between SyncTargets, so that the SyncTargets behind a
// published status follow from its tokens.
type kind struct {
	resource   schema.GroupVersionResource
	apiVersion string
	name       string
	spec       map[string]any
	report     func(target, value int, generation int64, good bool) map[string]any
	token      func(status []byte) string            // of a reported status; "" is none
	tokens     func(status []byte) map[int]string    // by target, of a published status
	check      func(want []copied, got []byte) error // a published status, against the copies of all placed SyncTargets
}

// maxTargets is how many SyncTargets a run may have: their shares of a sum must fit into 31 bits.
const maxTargets = 4

// weight keeps the shares of SyncTargets in a sum apart; values are below it.
func weight(target int) int64 { return int64(1) << (6 * target) }

var kinds = []*kind{deployments, services, pods}

func kindOf(plural string) *kind {
	i := slices.IndexFunc(kinds, func(k *kind) bool { return k.resource.Resource == plural })
	if i < 0 {
		return nil
	}
	return kinds[i]
}

var deployments = &kind{
	resource:   schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"},
	apiVersion: "apps/v1", name: "Deployment",
	spec: map[string]any{
		"selector": map[string]any{"matchLabels": map[string]any{"app": "a"}},
		"template": map[string]any{
			"metadata": map[string]any{"labels": map[string]any{"app": "a"}},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "c", "image": "i"}}},
		},
	},
	report: func(target, value int, generation int64, good bool) map[string]any {
		n := int64(value) * weight(target)
		return map[string]any{
			"replicas": n, "updatedReplicas": n, "readyReplicas": n, "availableReplicas": n, "observedGeneration": generation,
			"conditions": []any{condition("Available", good, value), condition("Progressing", true, value)},
		}
	},
	token: func(status []byte) string {
		return strings.TrimPrefix(strconv.FormatInt(parse(status).Replicas, 10), "0")
	},
	tokens: func(status []byte) map[int]string {
		tokens, n := map[int]string{}, parse(status).Replicas
		for target := range maxTargets {
			if share := n & (63 * weight(target)); share != 0 {
				tokens[target] = strconv.FormatInt(share, 10)
			}
		}
		return tokens
	},
	check: checkDeployment,
}

var services = &kind{
	resource:   schema.GroupVersionResource{Version: "v1", Resource: "services"},
	apiVersion: "v1", name: "Service",
	spec: map[string]any{"type": "LoadBalancer", "ports": []any{map[string]any{"port": int64(80)}}},
	report: func(target, value int, _ int64, _ bool) map[string]any {
		return map[string]any{"loadBalancer": map[string]any{"ingress": []any{map[string]any{"ip": address(target, value)}}}}
	},
	token: func(status []byte) string {
		if in := parse(status).LoadBalancer.Ingress; len(in) > 0 {
			return in[0].IP
		}
		return ""
	},
	tokens: func(status []byte) map[int]string {
		tokens := map[int]string{}
		for _, in := range parse(status).LoadBalancer.Ingress {
			target := targetOf(in.IP)
			tokens[target] = strings.TrimPrefix(tokens[target]+" "+in.IP, " ")
		}
		return tokens
	},
	check: checkService,
}

var pods = &kind{
	resource:   schema.GroupVersionResource{Version: "v1", Resource: "pods"},
	apiVersion: "v1", name: "Pod",
	spec: map[string]any{"containers": []any{map[string]any{"name": "c", "image": "i"}}},
	report: func(target, value int, _ int64, good bool) map[string]any {
		return map[string]any{
			"phase": "Running", "podIP": address(target, value), "podIPs": []any{map[string]any{"ip": address(target, value)}},
			"conditions": []any{condition("Ready", good, value)},
		}
	},
	token: func(status []byte) string { return parse(status).PodIP },
	tokens: func(status []byte) map[int]string {
		if ip := parse(status).PodIP; ip != "" {
			return map[int]string{targetOf(ip): ip}
		}
		return nil
	},
	check: checkPod,
}

func address(target, value int) string { return fmt.Sprintf("10.%d.0.%d", target+1, value) }

func targetOf(ip string) int {
	var target, value int
	if _, err := fmt.Sscanf(ip, "10.%d.0.%d", &target, &value); err != nil {
		return maxTargets // of no target
	}
	return target - 1
}

func condition(kind string, good bool, value int) map[string]any {
	status := "False"
	if good {
		status = "True"
	}
	return map[string]any{
		"type": kind, "status": status, "reason": "Because", "message": fmt.Sprintf("value %d", value),
		"lastTransitionTime": "2000-01-01T00:00:00Z",
	}
}

// parsed holds the fields of any status that are checked.
type parsed struct {
	Replicas, UpdatedReplicas, ReadyReplicas, AvailableReplicas, ObservedGeneration int64
	Phase, PodIP                                                                    string
	LoadBalancer                                                                    struct{ Ingress []struct{ IP string } }
	Conditions                                                                      []parsedCondition
}

type parsedCondition struct{ Type, Status, Reason, Message, LastTransitionTime string }

func (p parsed) condition(kind string) parsedCondition {
	for _, c := range p.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return parsedCondition{}
}

func parse(status []byte) parsed {
	var p parsed
	_ = json.Unmarshal(status, &p) // nothing, or not ours: zero
	return p
}
