package locator

import (
	"errors"
	"fmt"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Down is an object as the way down makes it, by the first configured style.
type Down struct {
	ref.Downstream
	Labels, Annotations map[string]string // to be set on it
}

// DownNamespace is the downstream Namespace for an upstream one. A name that would not lead back, or that is too long, is an error.
func (r *Resolver) DownNamespace(w ref.Workspace, namespace string) (Namespace, error) {
	if len(r.styles) == 0 {
		return Namespace{}, errors.New("no locator style is configured")
	}
	var ns Namespace
	switch r.styles[0] {
	case NamespaceLocator:
		a := r.annotationFor(w, namespace)
		ns = Namespace{
			Name:        namespaceName(a.String()),
			Labels:      map[string]string{clusterLabel: r.key, tenantLabel: a.tenantID()},
			Annotations: map[string]string{locatorAnnotation: a.String()},
		}
	case Prefix:
		ns.Name = prefixOf(w) + namespace
		if w == "" {
			ns.Name = namespace
		}
	case SyncAgent:
		ns.Name = r.agentNamespace(ref.Upstream{Workspace: w, Namespace: namespace})
	}
	if !validNamespace(ns.Name) {
		return Namespace{}, fmt.Errorf("namespace %q of workspace %q: %q is no name for a Namespace", namespace, w, ns.Name)
	}
	if r.styles[0] == SyncAgent {
		return ns, nil // its objects carry the marks
	}
	if backW, backNamespace, ok := r.Namespace(ns).Upstream(); !ok || backW != w || backNamespace != namespace {
		return Namespace{}, fmt.Errorf("namespace %q of workspace %q: the name %q would not lead back to it", namespace, w, ns.Name)
	}
	return ns, nil
}

// agentNamespace is empty if the style SyncAgent has no name for the Namespace.
func (r *Resolver) agentNamespace(u ref.Upstream) string {
	if !validNamespace(u.Namespace) {
		return ""
	}
	name, err := r.agent.expand(u)
	if err != nil {
		return ""
	}
	return name
}

// DownObject is the downstream object for an upstream one.
func (r *Resolver) DownObject(resource ref.Resource, u ref.Upstream) (Down, error) {
	d := Down{Labels: map[string]string{}, Annotations: map[string]string{}}
	d.Name = u.Name
	if u.Workspace != "" {
		d.Name = NameDown(resource, u.Name)
	}
	if u.Namespace != "" {
		ns, err := r.DownNamespace(u.Workspace, u.Namespace)
		if err != nil {
			return Down{}, err
		}
		d.Namespace = ns.Name
	} else if len(r.styles) == 0 {
		return Down{}, errors.New("no locator style is configured")
	}
	switch r.styles[0] {
	case NamespaceLocator:
		d.Labels[clusterLabel] = r.key
		if u.Namespace == "" {
			d.Annotations[locatorAnnotation] = r.annotationFor(u.Workspace, "").String()
		}
	case SyncAgent:
		d.Name = agentHash(u.Namespace)[:20] + "-" + agentHash(u.Name)[:20]
		d.Labels[agentClusterLabel], d.Labels[agentNameHashLabel] = string(u.Workspace), agentHash(u.Name)
		d.Annotations[agentNameAnnotation] = u.Name
		if u.Namespace != "" {
			d.Labels[agentNamespaceHashLabel] = agentHash(u.Namespace)
			d.Annotations[agentNamespaceAnnotation] = u.Namespace
		}
	}
	return d, r.leadsBack(resource, u, d)
}

func (r *Resolver) leadsBack(resource ref.Resource, u ref.Upstream, d Down) error {
	o := &ref.Object{Namespace: d.Namespace, Name: d.Name, Labels: d.Labels, Annotations: d.Annotations}
	l := r.ClusterScoped(o)
	if u.Namespace != "" {
		ns, err := r.DownNamespace(u.Workspace, u.Namespace)
		if err != nil {
			return err
		}
		l = r.Namespace(ns)
	}
	back, err := r.Object(l, resource, o)
	if err != nil {
		return fmt.Errorf("%s: downstream as %s it would not lead back: %w", u, d, err)
	}
	if back != u {
		return fmt.Errorf("%s: downstream as %s it would lead to %s", u, d, back)
	}
	return nil
}
