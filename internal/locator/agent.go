package locator

import (
	"crypto/sha1" //nolint:gosec // the hash that api-syncagent's labels hold; nothing rests on its strength
	"encoding/hex"

	"github.com/upstreamd/upstreamd/internal/ref"
)

const (
	agentPrefix              = "syncagent.kcp.io/"
	agentClusterLabel        = agentPrefix + "remote-object-cluster"
	agentNamespaceHashLabel  = agentPrefix + "remote-object-namespace-hash"
	agentNameHashLabel       = agentPrefix + "remote-object-name-hash"
	agentNamespaceAnnotation = agentPrefix + "remote-object-namespace"
	agentNameAnnotation      = agentPrefix + "remote-object-name"
)

func (r *Resolver) isAgents(o *ref.Object) bool {
	_, ok := o.Labels[agentClusterLabel]
	return ok
}

// fromAgent reads what api-syncagent noted on the object. Names go by templates there and can't be mapped back; the labels hold hashes of
// what the annotations hold in full.
func (r *Resolver) fromAgent(o *ref.Object) (ref.Upstream, error) {
	u := ref.Upstream{
		Workspace: ref.Workspace(o.Labels[agentClusterLabel]),
		Namespace: o.Annotations[agentNamespaceAnnotation],
		Name:      o.Annotations[agentNameAnnotation],
	}
	if !validNamespace(string(u.Workspace)) || !validName(u.Name) || u.Namespace != "" && !validNamespace(u.Namespace) {
		return ref.Upstream{}, lie(BadName, "the object's annotations name %.100q in the namespace %.100q of the workspace %.100q", u.Name, u.Namespace, u.Workspace)
	}
	namespaceHash, namespaced := o.Labels[agentNamespaceHashLabel]
	if namespaced != (u.Namespace != "") || namespaced && namespaceHash != agentHash(u.Namespace) || o.Labels[agentNameHashLabel] != agentHash(u.Name) {
		return ref.Upstream{}, lie(NameMismatch, "the object's labels %s* are not the hashes of its annotations", agentPrefix)
	}
	return u, nil
}

func agentHash(s string) string {
	hash := sha1.Sum([]byte(s)) //nolint:gosec // see the import
	return hex.EncodeToString(hash[:])
}
