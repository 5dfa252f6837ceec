package config

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Agent describes how api-syncagent names the downstream Namespaces.
type Agent struct {
	// Namespace is the template of their names: text with {cluster}, once, and {namespace} or {namespaceHash}. An object speaks for a
	// workspace only from the Namespace that follows from its claim.
	Namespace string `json:"namespace"`
}

func (c *Configuration) validateLocators(path *field.Path) field.ErrorList {
	known := []string{NamespaceLocator, Prefix, SyncAgent}
	if len(c.Locators) == 0 {
		return field.ErrorList{field.Required(path, "name at least one of "+strings.Join(known, ", ")+", or leave the field out for both")}
	}
	var errs field.ErrorList
	for i, l := range c.Locators {
		switch {
		case !slices.Contains(known, l):
			errs = append(errs, field.NotSupported(path.Index(i), l, known))
		case slices.Contains(c.Locators[:i], l):
			errs = append(errs, field.Duplicate(path.Index(i), l))
		}
	}
	return errs
}

// validateAgent refuses the locator SyncAgent where write access to one Namespace would be enough to claim several workspaces.
func (c *Configuration) validateAgent(path *field.Path) field.ErrorList {
	used := slices.Contains(c.Locators, SyncAgent)
	switch {
	case c.Agent != nil && !used:
		return field.ErrorList{field.Forbidden(path, "does nothing without the locator "+SyncAgent+": add it to locators, or remove syncAgent")}
	case c.Agent != nil && c.Agent.Namespace == "":
		return field.ErrorList{field.Required(path.Child("namespace"), `write the template of the Namespaces' names; "{cluster}" is api-syncagent's default`)}
	case c.Agent != nil || !used:
		return nil
	}
	const mend = `with the locator SyncAgent, any Namespace of a cluster could claim any of several workspaces: set syncAgent.namespace ` +
		`("{cluster}" is api-syncagent's default), or bind one workspace`
	var errs field.ErrorList
	for i, t := range c.SyncTargets {
		if len(t.Workspaces) > 1 || slices.Contains(t.Workspaces, AllWorkspaces) {
			errs = append(errs, field.Invalid(field.NewPath("syncTargets").Index(i).Child("workspaces"), strings.Join(t.Workspaces, ", "), mend))
		}
	}
	if d := c.Discovery; d != nil && (len(d.Workspaces) > 1 || slices.Contains(d.Workspaces, AllWorkspaces)) {
		errs = append(errs, field.Invalid(field.NewPath("syncTargetDiscovery", "workspaces"), strings.Join(d.Workspaces, ", "), mend))
	}
	return errs
}

// validatePrefixes refuses workspaces whose Namespaces could have one name, where no other locator tells them apart: such names resolve
// to no workspace.
func (c *Configuration) validatePrefixes(path *field.Path, bound []string) field.ErrorList {
	if !slices.Equal(c.Locators, []string{Prefix}) {
		return nil
	}
	var errs field.ErrorList
	for i, w := range bound {
		for _, other := range bound {
			if w != other && strings.HasPrefix(prefixOf(w), prefixOf(other)) {
				errs = append(errs, field.Invalid(path.Index(i), w, fmt.Sprintf(
					"its Namespaces %s* could also be those of %s: bind the two to different SyncTargets, or use the locator %s", prefixOf(w), other, NamespaceLocator)))
				break
			}
		}
	}
	return errs
}

// prefixOf starts the names of a workspace's Namespaces in the style Prefix.
func prefixOf(w string) string { return "kcp-" + strings.ReplaceAll(w, ":", "-") + "-" }
