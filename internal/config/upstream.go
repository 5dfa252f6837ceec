package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kcp-dev/logicalcluster/v3"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// AllWorkspaces alone in a SyncTarget's workspaces, binds it to all that are served.
const AllWorkspaces = "*"

// Where the statuses of an APIExport's workspaces are written.
const (
	ViaVirtualWorkspace = "virtualWorkspace" // the APIExport's own; the default
	ViaDirect           = "direct"           // the workspaces at the configured server
)

// MaxWorkspaces is how many may be listed: each costs a stream for each kind, while all of an APIExport share one.
const MaxWorkspaces = 50

// APIExport names an APIExport of a kcp.
type APIExport struct {
	Workspace string `json:"workspace"` // the provider's, name or path
	Name      string `json:"name"`
}

// Unlisted reports that the served workspaces are not listed here: they are those of an APIExport, or all of the server.
func (u Upstream) Unlisted() bool { return u.APIExport != nil || u.Wildcard }

func (c *Configuration) validateUpstream(path *field.Path) field.ErrorList {
	u := c.Upstream
	var errs field.ErrorList
	if u.Kubeconfig == "" {
		errs = append(errs, field.Required(path.Child("kubeconfig"), "name the file that says where statuses are published"))
	}
	errs = append(errs, u.validateMode(path)...)
	if u.APIExport != nil {
		errs = append(errs, u.APIExport.validate(path.Child("apiExport"))...)
	}
	switch {
	case u.WriteVia == "":
	case !slices.Contains([]string{ViaVirtualWorkspace, ViaDirect}, u.WriteVia):
		errs = append(errs, field.NotSupported(path.Child("writeVia"), u.WriteVia, []string{ViaVirtualWorkspace, ViaDirect}))
	case u.APIExport == nil:
		errs = append(errs, field.Forbidden(path.Child("writeVia"), "only with apiExport is there a choice: remove it"))
	}
	if n := len(u.Workspaces); n > MaxWorkspaces {
		errs = append(errs, field.Invalid(path.Child("workspaces"), n,
			fmt.Sprintf("at most %d can be listed, since each costs a stream for each kind: use apiExport or wildcard, where all share one", MaxWorkspaces)))
	}
	return append(errs, validateWorkspaces(path.Child("workspaces"), u.Workspaces)...)
}

// validateMode allows one of the fields that select the served workspaces. None means a plain hub.
func (u Upstream) validateMode(path *field.Path) field.ErrorList {
	var given []string
	for _, f := range []struct {
		name  string
		given bool
	}{{"apiExport", u.APIExport != nil}, {"wildcard", u.Wildcard}, {"workspaces", len(u.Workspaces) > 0}} {
		if f.given {
			given = append(given, f.name)
		}
	}
	if len(given) < 2 {
		return nil
	}
	return field.ErrorList{field.Forbidden(path.Child(given[1]),
		"each of "+strings.Join(given, " and ")+" says which workspaces are served: keep one")}
}

func (e APIExport) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case e.Workspace == "":
		errs = append(errs, field.Required(path.Child("workspace"), "name the workspace that holds the APIExport, such as root:provider"))
	case !logicalcluster.NewPath(e.Workspace).IsValid():
		errs = append(errs, field.Invalid(path.Child("workspace"), e.Workspace, mendWorkspace))
	}
	if e.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), "name the APIExport"))
	} else if wrong := validation.IsDNS1123Subdomain(e.Name); len(wrong) > 0 {
		errs = append(errs, field.Invalid(path.Child("name"), e.Name, strings.Join(wrong, "; ")))
	}
	return errs
}

const mendWorkspace = "must be the name of a logical cluster (10r1v0sg7mfe0frx) or a path (root:team-a)"

func validateWorkspaces(path *field.Path, workspaces []string) field.ErrorList {
	var errs field.ErrorList
	for i, w := range workspaces {
		switch {
		case w == AllWorkspaces:
			errs = append(errs, field.Invalid(path.Index(i), w,
				"workspaces are listed one by one here; with upstream.apiExport or upstream.wildcard, a SyncTarget may be bound to [\"*\"] alone"))
		case !logicalcluster.NewPath(w).IsValid():
			errs = append(errs, field.Invalid(path.Index(i), w, mendWorkspace))
		case slices.Contains(workspaces[:i], w):
			errs = append(errs, field.Duplicate(path.Index(i), w))
		}
	}
	return errs
}

// validateBinding holds a SyncTarget to workspaces that are served: anything else it reports would be dropped unseen.
func (c *Configuration) validateBinding(path *field.Path, bound []string) field.ErrorList {
	switch {
	case c.Upstream.Unlisted():
		return c.validateUnlistedBinding(path, bound)
	case len(bound) == 0 && len(c.Upstream.Workspaces) == 0:
		return nil // a plain hub
	case len(bound) == 0:
		return field.ErrorList{field.Required(path, "list the workspaces that it may report for: "+strings.Join(c.Upstream.Workspaces, ", "))}
	case len(c.Upstream.Workspaces) == 0:
		return field.ErrorList{field.Forbidden(path, "upstream.workspaces is empty (a plain hub): list them there too, or remove them here")}
	}
	errs := validateWorkspaces(path, bound)
	for i, w := range bound {
		if !slices.Contains(c.Upstream.Workspaces, w) {
			mend := "is not in upstream.workspaces; " + suggest(w, c.Upstream.Workspaces)
			errs = append(errs, withoutConsequences(errs, field.ErrorList{field.Invalid(path.Index(i), w, mend)})...)
		}
	}
	return errs
}

// validateUnlistedBinding is for workspaces that the configuration does not list: any, or all.
func (c *Configuration) validateUnlistedBinding(path *field.Path, bound []string) field.ErrorList {
	if len(bound) == 0 {
		return field.ErrorList{field.Required(path, `list the workspaces that it may report for, or write ["*"] for all`)}
	}
	if !slices.Equal(bound, []string{AllWorkspaces}) {
		return validateWorkspaces(path, bound)
	}
	if slices.Contains(c.Locators, Prefix) {
		return field.ErrorList{field.Invalid(path.Index(0), AllWorkspaces, "the locator "+Prefix+
			" tells workspaces apart by names that are listed: list them, or set locators: ["+NamespaceLocator+"]")}
	}
	return nil
}
