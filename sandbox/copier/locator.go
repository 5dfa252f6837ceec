package copier

import (
	"crypto/sha256"
	"encoding/json"
	"math/big"
	"strings"

	"github.com/upstreamd/upstreamd/sandbox/topology"
)

type syncTarget struct {
	Cluster string `json:"cluster"`
	Name    string `json:"name"`
	UID     string `json:"uid"`
}
type loc struct {
	SyncTarget syncTarget `json:"syncTarget"`
	Cluster    string     `json:"cluster"`
	Namespace  string     `json:"namespace"`
}

func hash62(s string, base int) string {
	h := sha256.Sum224([]byte(s))
	return new(big.Int).SetBytes(h[:]).Text(base)
}
func key(t topology.SyncTarget) string { return hash62(t.Cluster+":"+t.Name, 62) }

func (t *target) locatorMarks(workspace, namespace string) (marks, error) {
	l := loc{syncTarget{t.Cluster, t.Name, string(t.UID)}, workspace, namespace}
	j, _ := json.Marshal(l)
	l.Namespace = ""
	tj, _ := json.Marshal(l)
	m := marks{
		objectLabels: map[string]string{"internal.workload.kcp.io/cluster": key(t.SyncTarget)},
	}
	if namespace == "" {
		m.objectAnnotations = map[string]string{"kcp.io/namespace-locator": string(j)}
		return m, nil
	}
	m.namespaceName = "kcp-" + strings.ToLower(hash62(string(j), 36))[:12]
	m.namespaceLabels = map[string]string{"internal.workload.kcp.io/cluster": key(t.SyncTarget), "kcp.io/tenant-id": hash62(string(tj), 62)}
	m.namespaceAnnotations = map[string]string{"kcp.io/namespace-locator": string(j)}
	return m, nil
}
