package locator

import (
	"crypto/sha1" //nolint:gosec // the hash that api-syncagent's labels hold; nothing rests on its strength
	"encoding/hex"
	"fmt"
	"slices"

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

// SyncAgentIn is the style SyncAgent with a template for the names of the downstream Namespaces: text with the fields {cluster}, once,
// and {namespace} or {namespaceHash}.
func SyncAgentIn(template string) string { return SyncAgent + "=" + template }

// useAgent prepares the style SyncAgent. Everybody with write access to a Namespace can set labels and annotations there, so a claim needs
// a proof: the Namespace's name follows from it, or the SyncTarget is bound to one workspace only.
func (r *Resolver) useAgent(text string, given bool) (err error) {
	w := r.target.Workspaces
	if !given {
		if several := len(w) > 1 || slices.Contains(w, All); several {
			return fmt.Errorf("a SyncTarget that is bound to several workspaces needs the template of the Namespaces' names: name it, such as %s, or bind one workspace",
				SyncAgentIn(defaultTemplate))
		}
		r.anywhere, text = len(w) == 1, defaultTemplate
	}
	if r.agent, err = parseTemplate(text); err != nil {
		return fmt.Errorf("locator style %s: %w", SyncAgent, err)
	}
	return nil
}

func (r *Resolver) isAgents(o *ref.Object) bool {
	_, ok := o.Labels[agentClusterLabel]
	return ok
}

// fromAgent reads the labels and annotations of api-syncagent. Names go by templates there and cannot be mapped back; the labels hold
// hashes of the values that the annotations hold in full.
func (r *Resolver) fromAgent(o *ref.Object) (ref.Upstream, error) {
	u := ref.Upstream{
		Workspace: ref.Workspace(o.Labels[agentClusterLabel]),
		Namespace: o.Annotations[agentNamespaceAnnotation],
		Name:      o.Annotations[agentNameAnnotation],
	}
	if !validNamespace(string(u.Workspace)) || !validName(u.Name) || u.Namespace != "" && !validNamespace(u.Namespace) {
		return ref.Upstream{}, refuse(BadName, "the object's annotations name %.100q in the namespace %.100q of the workspace %.100q", u.Name, u.Namespace, u.Workspace)
	}
	namespaceHash, namespaced := o.Labels[agentNamespaceHashLabel]
	if namespaced != (u.Namespace != "") || namespaced && namespaceHash != agentHash(u.Namespace) || o.Labels[agentNameHashLabel] != agentHash(u.Name) {
		return ref.Upstream{}, refuse(NameMismatch, "the object's labels %s* are not the hashes of its annotations", agentPrefix)
	}
	if err := r.agentProof(u, o.Namespace); err != nil {
		return ref.Upstream{}, err
	}
	return u, nil
}

// agentProof checks that a downstream Namespace (empty: the object is cluster-scoped) may claim an upstream object.
func (r *Resolver) agentProof(u ref.Upstream, in string) error {
	w := r.target.Workspaces
	sole := len(w) == 1 && w[0] == u.Workspace
	switch {
	case sole && (r.anywhere || in == ""):
		return nil
	case in == "":
		return refuse(NameMismatch, "the object is cluster-scoped: only in a SyncTarget that is bound to one workspace can it claim that one, not %.100q", u.Workspace)
	}
	want, err := r.agent.expand(u)
	if err != nil {
		return refuse(NameMismatch, "the Namespace %.100q cannot claim %.100q: %v", in, u.Workspace, err)
	}
	if in != want {
		return refuse(NameMismatch, "the object is in the Namespace %.100q; copies of its claim are in %.100q", in, want)
	}
	return nil
}

func agentHash(s string) string {
	hash := sha1.Sum([]byte(s)) //nolint:gosec // see the import
	return hex.EncodeToString(hash[:])
}
