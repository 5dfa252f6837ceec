package locator

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// The styles, by the names that the configuration gives them.
const (
	NamespaceLocator = "NamespaceLocator" // kcp's annotation on Namespaces and cluster-scoped objects
	Prefix           = "Prefix"           // namespaces named kcp-<workspace>-<namespace>, and pass-through
	SyncAgent        = "SyncAgent"        // api-syncagent's labels and annotations on objects
)

// Styles are the names of all styles.
func Styles() []string { return []string{NamespaceLocator, Prefix, SyncAgent} }

var (
	// ErrForeign is the error of an object that is not ours. That is normal, and nothing to talk about.
	ErrForeign = errors.New("not an object of any workspace")
	// ErrUnknownNamespace is the error of an object in a Namespace that was not observed yet.
	ErrUnknownNamespace = errors.New("the object's Namespace is not known yet")
)

// IdentityError is a claim that is not taken, because something about it is wrong. Reason is one of a few words, fit for a metric.
type IdentityError struct {
	Reason, Message string
}

// The reasons of an IdentityError.
const (
	Malformed       = "Malformed"       // the locator is not written as locators are
	OtherSyncTarget = "OtherSyncTarget" // it names another SyncTarget than the one that it came from
	NameMismatch    = "NameMismatch"    // the object's or Namespace's name, or its hashes, do not follow from it
	BadName         = "BadName"         // it names a workspace, namespace or object that can't exist
	Ambiguous       = "Ambiguous"       // two workspaces fit equally well
)

func (e *IdentityError) Error() string { return e.Reason + ": " + e.Message }

// Namespace is a downstream Namespace with its marks.
type Namespace struct {
	Name                string
	Labels, Annotations map[string]string
}

// Location is where the objects of one downstream Namespace, or one cluster-scoped object, belong as far as the Namespace or the object's own
// locator says. The zero Location is a Namespace that was not observed yet. It is immutable.
type Location struct {
	known       bool
	style       int // the place in Resolver.styles of the one that speaks for it; beyond the last: none does
	passThrough bool
	workspace   ref.Workspace
	namespace   string
	refusal     IdentityError // Reason empty: none
}

// Equal reports whether objects resolve to the same.
func (l Location) Equal(other Location) bool { return l == other }

// Upstream is the workspace and namespace that the Location names, ok if it does.
func (l Location) Upstream() (w ref.Workspace, namespace string, ok bool) {
	return l.workspace, l.namespace, l.located() && l.refusal.Reason == ""
}

func (l Location) located() bool { return l.workspace != "" || l.namespace != "" || l.passThrough }

// Resolver resolves the objects of one SyncTarget. It is immutable.
type Resolver struct {
	styles []string
	target Target
	key    string
	only   *ref.Workspace // pass-through goes there; nil: there is none
	agent  template       // of the style SyncAgent

	anywhere bool // the one workspace may be claimed from any Namespace
}

// New makes a Resolver with the given styles, tried in order: the first with evidence decides, pass-through comes last. A style is one of
// Styles or the result of SyncAgentIn.
func New(given []string, t Target) (*Resolver, error) {
	styles := slices.Clone(given)
	namespaces, templated := "", false
	for i, s := range styles {
		if name, text, ok := strings.Cut(s, "="); ok && name == SyncAgent {
			styles[i], namespaces, templated = name, text, true
		}
	}
	for i, s := range styles {
		if !slices.Contains(Styles(), s) {
			return nil, fmt.Errorf("unknown locator style %q: use %s", s, strings.Join(Styles(), ", "))
		}
		if slices.Contains(styles[:i], s) {
			return nil, fmt.Errorf("locator style %q is named twice", s)
		}
	}
	t.Workspaces = slices.Clone(t.Workspaces)
	r := &Resolver{styles: styles, target: t, key: t.Key()}
	if slices.Contains(styles, SyncAgent) {
		if err := r.useAgent(namespaces, templated); err != nil {
			return nil, err
		}
	}
	if slices.Contains(styles, Prefix) {
		if err := r.usePrefix(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// usePrefix prepares the style Prefix, with pass-through for a SyncTarget that is bound to one workspace.
func (r *Resolver) usePrefix() error {
	workspaces := r.target.Workspaces
	for _, w := range workspaces {
		if strings.HasPrefix(prefixOf(w), syncerPrefix) {
			return fmt.Errorf("workspace %q can't be served with the style %s: the namespaces %s* are kcp's own", w, Prefix, syncerPrefix)
		}
	}
	if len(workspaces) == 1 && workspaces[0] != All && (len(r.styles) == 1 || workspaces[0] == "") {
		r.only = &workspaces[0]
	}
	return nil
}

// Namespace is the Location of a Namespace's objects. It is computed once per Namespace.
func (r *Resolver) Namespace(ns Namespace) Location {
	for i, style := range r.styles {
		l := Location{known: true, style: i}
		claimed, err := false, error(nil)
		switch style {
		case NamespaceLocator:
			claimed, err = r.fromAnnotation(&l, ns.Annotations)
			if claimed && err == nil && ns.Name != namespaceName(ns.Annotations[locatorAnnotation]) {
				err = refuse(NameMismatch, "the Namespace %q does not have the name that follows from its locator", ns.Name)
			}
			if claimed && err == nil && l.namespace == "" {
				err = refuse(BadName, "the Namespace %q has a locator for cluster-scoped objects", ns.Name)
			}
		case Prefix:
			claimed, err = r.fromPrefix(&l, ns.Name)
		}
		if claimed {
			return l.refused(err)
		}
	}
	if r.only != nil && passesThrough(ns.Name, "kcp-", "kube-") {
		return Location{known: true, style: len(r.styles), passThrough: true, workspace: *r.only, namespace: ns.Name}
	}
	return Location{known: true, style: len(r.styles)}
}

// ClusterScoped is the Location of a cluster-scoped object. Object handles Namespaces themselves.
func (r *Resolver) ClusterScoped(o *ref.Object) Location {
	for i, style := range r.styles {
		if style != NamespaceLocator {
			continue
		}
		l := Location{known: true, style: i}
		claimed, err := r.fromAnnotation(&l, o.Annotations)
		if claimed && err == nil && l.namespace != "" {
			err = refuse(NameMismatch, "the cluster-scoped object %q has the locator of a Namespace", o.Name)
		}
		if claimed {
			return l.refused(err)
		}
	}
	if r.only != nil && passesThrough(o.Name, "kube-", "system:") {
		return Location{known: true, style: len(r.styles), passThrough: true, workspace: *r.only}
	}
	return Location{known: true, style: len(r.styles)}
}

// Object is the upstream object that o stands for; l is the Location of its Namespace, or that of ClusterScoped. The error is ErrForeign,
// ErrUnknownNamespace or an *IdentityError. Whether the SyncTarget may speak for that workspace is not checked here, but for the prefix style,
// which knows only bound workspaces: see Target.Bound and Placed.
func (r *Resolver) Object(l Location, resource ref.Resource, o *ref.Object) (ref.Upstream, error) {
	isNamespace := resource.Group == "" && resource.Resource == "namespaces"
	if isNamespace {
		l = r.Namespace(Namespace{Name: o.Name, Labels: o.Labels, Annotations: o.Annotations})
	}
	if !l.known {
		return ref.Upstream{}, ErrUnknownNamespace
	}
	if agent := slices.Index(r.styles, SyncAgent); agent >= 0 && agent < l.style && r.isAgents(o) {
		return r.fromAgent(o)
	}
	if l.refusal.Reason != "" {
		refusal := l.refusal
		return ref.Upstream{}, &refusal
	}
	if !l.located() {
		return ref.Upstream{}, ErrForeign
	}
	if key, ok := o.Labels[clusterLabel]; ok && key != r.key && slices.Contains(r.styles, NamespaceLocator) {
		return ref.Upstream{}, refuse(OtherSyncTarget, "the object's label %s names another SyncTarget", clusterLabel)
	}
	if isNamespace {
		return ref.Upstream{Workspace: l.workspace, Name: l.namespace}, nil
	}
	name, ours := nameUp(resource, o.Name)
	if l.passThrough {
		name, ours = o.Name, !ofTheClusterItself(o)
	}
	if !ours {
		return ref.Upstream{}, ErrForeign
	}
	return ref.Upstream{Workspace: l.workspace, Namespace: l.namespace, Name: name}, nil
}

// Foreign reports whether no object of a Namespace can be a copy, with any marks.
func (r *Resolver) Foreign(l Location) bool {
	return l.known && !l.located() && l.refusal.Reason == "" && !slices.Contains(r.styles, SyncAgent)
}

func (l Location) refused(err error) Location {
	if e := (*IdentityError)(nil); errors.As(err, &e) {
		l.refusal, l.workspace, l.namespace = *e, "", ""
	}
	return l
}

func refuse(reason, format string, args ...any) error {
	return &IdentityError{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func validNamespace(s string) bool { return len(validation.IsDNS1123Label(s)) == 0 }

func validName(s string) bool {
	return s != "" && len(s) <= validation.DNS1123SubdomainMaxLength && len(content.IsPathSegmentName(s)) == 0
}

// validWorkspace takes names and colon-separated paths. A workspace becomes part of a URL, so nothing else may.
func validWorkspace(w string) bool {
	for segment := range strings.SplitSeq(w, ":") {
		if len(validation.IsDNS1123Label(segment)) > 0 {
			return false
		}
	}
	return true
}

func passesThrough(name string, not ...string) bool {
	return !slices.ContainsFunc(not, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// ofTheClusterItself reports whether each cluster makes such an object for itself.
func ofTheClusterItself(o *ref.Object) bool {
	return o.Name == rootCA || o.Namespace == "default" && o.Name == "kubernetes"
}
