package config

import (
	"slices"
	"strings"

	"github.com/kcp-dev/logicalcluster/v3"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Any is a part of a Resource that stands for all.
const Any = "*"

// Discovery names the place of SyncTarget objects, and the bindings that they may request.
type Discovery struct {
	Workspace       string   `json:"workspace"`       // of the upstream server, that holds the SyncTarget objects; empty on a plain hub
	SecretNamespace string   `json:"secretNamespace"` // there; no Secret of another namespace is read
	Workspaces      []string `json:"workspaces"`      // those that a SyncTarget's annotation may bind it to
	// AllowedServers are the servers that the kubeconfigs of the Secrets may name: hosts, "*.<suffix>" for all hosts below one, addresses
	// and networks. Empty: all but loopback, link-local and metadata addresses, which only a network here allows.
	AllowedServers []string `json:"allowedServers,omitempty"`
}

func (c *Configuration) validateDiscovery(path *field.Path) field.ErrorList {
	d := c.Discovery
	if d == nil {
		return nil
	}
	var errs field.ErrorList
	hub := !c.Upstream.Unlisted() && len(c.Upstream.Workspaces) == 0
	switch {
	case d.Workspace == "" && !hub:
		errs = append(errs, field.Required(path.Child("workspace"), "name the workspace that holds the SyncTarget objects, such as root:infra"))
	case d.Workspace != "" && !logicalcluster.NewPath(d.Workspace).IsValid():
		errs = append(errs, field.Invalid(path.Child("workspace"), d.Workspace, mendWorkspace))
	}
	if d.SecretNamespace == "" {
		errs = append(errs, field.Required(path.Child("secretNamespace"), "name the only namespace whose Secrets may hold kubeconfigs"))
	} else if wrong := validation.IsDNS1123Label(d.SecretNamespace); len(wrong) > 0 {
		errs = append(errs, field.Invalid(path.Child("secretNamespace"), d.SecretNamespace, strings.Join(wrong, "; ")))
	}
	if len(d.Workspaces) > 0 {
		errs = append(errs, c.validateBinding(path.Child("workspaces"), d.Workspaces)...)
	}
	return errs
}

// Wildcard reports whether r stands for many kinds.
func (r Resource) Wildcard() bool { return r.Resource == Any }

// validateWildcard is validate for a resource with a "*" in it.
func (r Resource) validateWildcard(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r.Resource != Any {
		return append(errs, field.Invalid(path.Child("resource"), r.Resource, `write "*" for every kind of the group, or the group and version of this one`))
	}
	if r.Version != Any {
		errs = append(errs, field.Invalid(path.Child("version"), r.Version, `must be "*" with every kind: kinds have versions of their own`))
	}
	if wrong := validation.IsDNS1123Subdomain(r.Group); r.Group != "" && r.Group != Any && len(wrong) > 0 {
		errs = append(errs, field.Invalid(path.Child("group"), r.Group, strings.Join(wrong, "; ")))
	}
	for i, e := range r.Exclude {
		p := path.Child("exclude").Index(i)
		if e.Resource == "" {
			errs = append(errs, field.Required(p.Child("resource"), `write the plural, or "*" for the whole group`))
		}
		if e.Resource == Any && e.Group == Any {
			errs = append(errs, field.Invalid(p, "*", "leaves nothing: remove the resource, or the exclusion"))
		}
		if slices.Contains(r.Exclude[:i], e) {
			errs = append(errs, field.Duplicate(p, e.Resource+"."+e.Group))
		}
	}
	return errs
}
