package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/kcp-dev/logicalcluster/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate returns all errors, each with its field and the fix. It reads no file.
func (c *Configuration) Validate() field.ErrorList {
	errs := c.validateVersion()
	errs = append(errs, c.validateUpstream(field.NewPath("upstream"))...)
	errs = append(errs, c.validateSyncTargets(field.NewPath("syncTargets"))...)
	errs = append(errs, c.validateDiscovery(field.NewPath("syncTargetDiscovery"))...)
	errs = append(errs, c.validateResources(field.NewPath("resources"))...)
	errs = append(errs, c.validateLocators(field.NewPath("locators"))...)
	errs = append(errs, c.validateAgent(field.NewPath("syncAgent"))...)
	errs = append(errs, c.Debounce.validate(field.NewPath("debounce"))...)
	errs = append(errs, c.Writer.validate(field.NewPath("writer"))...)
	errs = append(errs, c.Staleness.validate(field.NewPath("staleness"))...)
	errs = append(errs, c.Limits.validate(field.NewPath("limits"))...)
	errs = append(errs, c.Serving.validate(field.NewPath("serving"))...)
	errs = append(errs, between(field.NewPath("shutdown", "timeout"), c.Shutdown.Timeout, time.Millisecond, 10*time.Minute)...)
	errs = append(errs, c.validateLeaderElection(field.NewPath("leaderElection"))...)
	errs = append(errs, validateGates(field.NewPath("featureGates"), Features(), c.FeatureGates)...)
	return errs
}

func (c *Configuration) validateVersion() field.ErrorList {
	var errs field.ErrorList
	for _, f := range []struct{ name, is, want string }{{"apiVersion", c.APIVersion, APIVersion}, {"kind", c.Kind, Kind}} {
		switch f.is {
		case f.want:
		case "":
			errs = append(errs, field.Required(field.NewPath(f.name), "write "+f.want))
		default:
			errs = append(errs, field.NotSupported(field.NewPath(f.name), f.is, []string{f.want}))
		}
	}
	return errs
}

func (c *Configuration) validateSyncTargets(path *field.Path) field.ErrorList {
	if len(c.SyncTargets) == 0 && c.Discovery == nil {
		return field.ErrorList{field.Required(path, "name at least one physical cluster, or where SyncTarget objects are (syncTargetDiscovery)")}
	}
	var errs field.ErrorList
	names, connections := map[string]bool{}, map[string]string{}
	for i, t := range c.SyncTargets {
		p := path.Index(i)
		errs = append(errs, c.validateSyncTarget(p, t)...)
		if t.Name != "" && names[t.Name] {
			errs = append(errs, field.Duplicate(p.Child("name"), t.Name))
		}
		names[t.Name] = true
		connection := t.Kubeconfig + "\x00" + t.Context
		if other, taken := connections[connection]; taken && t.Kubeconfig != "" {
			errs = append(errs, field.Invalid(p.Child("kubeconfig"), t.Kubeconfig,
				fmt.Sprintf("is that of %s already: one cluster under two names would count twice; name another file or context", other)))
		}
		connections[connection] = t.Name
	}
	return errs
}

func (c *Configuration) validateSyncTarget(path *field.Path, t SyncTarget) field.ErrorList {
	var errs field.ErrorList
	if t.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), "give it the name that its SyncTarget object has"))
	} else if wrong := validation.IsDNS1123Subdomain(t.Name); len(wrong) > 0 {
		errs = append(errs, field.Invalid(path.Child("name"), t.Name, strings.Join(wrong, "; ")))
	}
	if t.Kubeconfig == "" {
		errs = append(errs, field.Required(path.Child("kubeconfig"), "name the file that says where this cluster is"))
	}
	switch {
	case t.Cluster == "" && slices.Contains(c.Locators, NamespaceLocator):
		errs = append(errs, field.Required(path.Child("cluster"),
			"name the logical cluster that holds the SyncTarget (locators are checked against it), or take NamespaceLocator out of locators"))
	case t.Cluster != "" && !logicalcluster.NewPath(t.Cluster).IsValid():
		errs = append(errs, field.Invalid(path.Child("cluster"), t.Cluster, "must be the name of a logical cluster or a path (root:infra)"))
	}
	errs = append(errs, c.validatePrefixes(path.Child("workspaces"), t.Workspaces)...)
	return append(errs, c.validateBinding(path.Child("workspaces"), t.Workspaces)...)
}

func (c *Configuration) validateResources(path *field.Path) field.ErrorList {
	if len(c.Resources) == 0 {
		return field.ErrorList{field.Required(path, "name at least one, such as {group: apps, version: v1, resource: deployments}")}
	}
	var errs field.ErrorList
	seen := map[string]string{}
	for i, r := range c.Resources {
		p := path.Index(i)
		errs = append(errs, r.validate(p)...)
		kind := r.Resource + "." + r.Group
		version, twice := seen[kind]
		switch {
		case !twice:
		case version == r.Version:
			errs = append(errs, field.Duplicate(p, strings.TrimSuffix(r.Resource+"."+r.Version+"."+r.Group, ".")))
		default:
			errs = append(errs, field.Invalid(p.Child("version"), r.Version,
				fmt.Sprintf("%s is watched as %s already: two versions of one kind would write against each other; keep one", r.Resource, version)))
		}
		seen[kind] = r.Version
	}
	return errs
}

func (r Resource) validate(path *field.Path) field.ErrorList {
	if slices.Contains([]string{r.Group, r.Version, r.Resource}, Any) {
		return r.validateWildcard(path)
	}
	var errs field.ErrorList
	if len(r.Exclude) > 0 {
		errs = append(errs, field.Forbidden(path.Child("exclude"), `only "*" can leave something out`))
	}
	if wrong := validation.IsDNS1123Subdomain(r.Group); r.Group != "" && len(wrong) > 0 {
		errs = append(errs, field.Invalid(path.Child("group"), r.Group, strings.Join(wrong, "; ")))
	}
	if r.Version == "" {
		errs = append(errs, field.Required(path.Child("version"), "write the version, such as v1"))
	} else if wrong := validation.IsDNS1035Label(r.Version); len(wrong) > 0 {
		errs = append(errs, field.Invalid(path.Child("version"), r.Version, strings.Join(wrong, "; ")))
	}
	switch {
	case r.Resource == "":
		errs = append(errs, field.Required(path.Child("resource"), "write the plural, such as deployments"))
	case strings.Contains(r.Resource, "/"):
		errs = append(errs, field.Invalid(path.Child("resource"), r.Resource, "leave the subresource out: status is what is read and written"))
	case len(validation.IsDNS1123Label(r.Resource)) > 0:
		errs = append(errs, field.Invalid(path.Child("resource"), r.Resource, "must be the plural in lower case, such as deployments"))
	}
	return errs
}

func (d Debounce) validate(path *field.Path) field.ErrorList {
	errs := between(path.Child("quiet"), d.Quiet, time.Millisecond, time.Minute)
	errs = append(errs, between(path.Child("maxWait"), d.MaxWait, time.Millisecond, 5*time.Minute)...)
	if len(errs) == 0 && d.MaxWait.Duration < d.Quiet.Duration {
		errs = append(errs, field.Invalid(path.Child("maxWait"), d.MaxWait.Duration.String(), "must be at least quiet, "+d.Quiet.Duration.String()))
	}
	return errs
}

func (w Writer) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if w.QPS < 0 || w.QPS > math.MaxInt32 || w.QPS > 0 && w.QPS < .01 {
		errs = append(errs, field.Invalid(path.Child("qps"), w.QPS, "must be 0 (no cap) or at least 0.01"))
	}
	switch {
	case w.Burst < 0 || w.Burst > math.MaxInt32:
		errs = append(errs, field.Invalid(path.Child("burst"), w.Burst, "must be 0 (as concurrency) or more"))
	case w.Burst > 0 && w.QPS == 0:
		errs = append(errs, field.Forbidden(path.Child("burst"), "does nothing while qps is 0 (no cap): set qps, or remove burst"))
	}
	if w.Concurrency < 1 || w.Concurrency > 1024 {
		errs = append(errs, field.Invalid(path.Child("concurrency"), w.Concurrency, "must be between 1 and 1024; 16 suits most API servers"))
	}
	return errs
}

func (s Staleness) validate(path *field.Path) field.ErrorList {
	errs := between(path.Child("probe"), s.Probe, time.Second, 10*time.Minute)
	errs = append(errs, between(path.Child("grace"), s.Grace, time.Second, time.Hour)...)
	errs = append(errs, between(path.Child("deadline"), s.Deadline, time.Second, time.Hour)...)
	if len(errs) == 0 && s.Grace.Duration < 2*s.Probe.Duration {
		errs = append(errs, field.Invalid(path.Child("grace"), s.Grace.Duration.String(),
			fmt.Sprintf("must be at least twice the probe's interval (%s), else one lost probe makes a SyncTarget stale", 2*s.Probe.Duration)))
	}
	return errs
}

func between(path *field.Path, d metav1.Duration, least, most time.Duration) field.ErrorList {
	if d.Duration < least || d.Duration > most {
		return field.ErrorList{field.Invalid(path, d.Duration.String(), fmt.Sprintf("must be between %s and %s", least, most))}
	}
	return nil
}
