package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var (
	strategies = []Strategy{Merge, Union, Latest, Quorum, All, Primary, Representative}
	defaults   = []Rule{RuleDrop, RuleUnanimous, RuleUnion, RulePrimary}
	rules      = []Rule{RuleSum, RuleMin, RuleMax, RuleUnion, RuleUnanimous, RuleQuorum, RulePrimary, RuleRank, RuleConditions, RuleGeneration, RuleCEL, RuleDrop}
	modes      = []ConditionMode{WorstWins, BestWins, AllTrue, QuorumWins, AllAgree}
	summaries  = []SummaryMode{SummaryAlways, SummaryNever, SummaryAuto}
	stales     = []StaleMode{Hold, Exclude}
	empties    = []EmptyMode{Clear, Keep}
)

// Validate returns every mistake in a document except in its CEL expressions: those are checked when it is compiled.
func (d *Document) Validate() error {
	v := &validator{}
	enum(v, field.NewPath("apiVersion"), d.APIVersion, true, APIVersion)
	enum(v, field.NewPath("kind"), d.Kind, true, Kind)
	name := field.NewPath("metadata", "name")
	for _, problem := range validation.IsDNS1123Subdomain(d.Metadata.Name) {
		v.invalid(name, d.Metadata.Name, problem)
	}
	v.spec(field.NewPath("spec"), &d.Spec)
	return errors.Join(v.errs...)
}

type validator struct{ errs []error }

func (v *validator) add(e *field.Error) { v.errs = append(v.errs, e) }

func (v *validator) invalid(p *field.Path, value any, mend string) {
	v.add(field.Invalid(p, value, mend))
}

// enum checks a value; one that has a default may be left out.
func enum[T ~string](v *validator, p *field.Path, value T, required bool, allowed ...T) {
	switch {
	case slices.Contains(allowed, value) || value == "" && !required:
	case value == "":
		v.add(field.Required(p, "one of "+strings.Join(names(allowed), ", ")))
	default:
		v.add(field.NotSupported(p, value, allowed))
	}
}

func (v *validator) spec(p *field.Path, s *Spec) {
	v.resources(p.Child("resources"), s.Resources)
	enum(v, p.Child("strategy"), s.Strategy, false, strategies...)
	enum(v, p.Child("default"), s.Default, false, defaults...)
	if s.Default != "" && s.Strategy != "" && s.Strategy != Merge {
		v.invalid(p.Child("default"), s.Default, "only the strategy Merge has a default rule: remove it, or use Merge")
	}
	v.fields(p.Child("fields"), s.Fields)
	if s.Conditions != nil {
		v.conditions(p.Child("conditions"), s.Conditions)
	}
	for _, path := range slices.Sorted(maps.Keys(s.Keys)) {
		v.path(p.Child("keys").Key(path), path, true)
		if len(s.Keys[path]) == 0 {
			v.add(field.Required(p.Child("keys").Key(path), "name the fields that tell the list's entries apart"))
		}
	}
	v.finished(p.Child("finished"), s)
	enum(v, p.Child("summary"), s.Summary, false, summaries...)
	enum(v, p.Child("stale"), s.Stale, false, stales...)
	enum(v, p.Child("onEmpty"), s.OnEmpty, false, empties...)
	if d, err := time.ParseDuration(s.SpecSyncGrace); s.SpecSyncGrace != "" && (err != nil || d < 0) {
		v.invalid(p.Child("specSyncGrace"), s.SpecSyncGrace, `must be a duration that is not negative, such as "10s"`)
	}
	v.paths(p.Child("evidence", "ignore"), s.Evidence.Ignore, true)
	v.extract(p.Child("extract"), s.Extract)
	v.paths(p.Child("withhold"), s.Withhold, true)
	v.paths(p.Child("ignore"), s.Ignore, true)
}

func (v *validator) conditions(p *field.Path, c *ConditionsSpec) {
	enum(v, p.Child("mode"), c.Mode, false, modes...)
	for kind, mode := range c.WhenAbsent {
		enum(v, p.Child("whenAbsent").Key(kind), mode, true, AbsentUnknown, AbsentIgnore)
	}
	listed := map[string]bool{}
	for _, types := range c.lists() {
		for _, kind := range types {
			if listed[kind] {
				v.invalid(p, kind, "a condition type has one polarity: name it once in positive, negative, inProgress or terminal")
			}
			listed[kind] = true
		}
	}
}

func (v *validator) resources(p *field.Path, resources []Resource) {
	if len(resources) == 0 {
		v.add(field.Required(p, "name at least one resource, such as {group: apps, resource: deployments}"))
	}
	for i, r := range resources {
		if r.Resource == "" {
			v.add(field.Required(p.Index(i).Child("resource"), "the plural name, such as deployments"))
		}
		if (r.Group == "*") != (r.Resource == "*") || r.Group == "*" && r.Version != "" {
			v.invalid(p.Index(i), fmt.Sprint(r.Group, "/", r.Resource), `"*" stands for all other resources: give it as group and as resource, without a version`)
		}
		if slices.Contains(resources[:i], r) {
			v.add(field.Duplicate(p.Index(i), r.Resource))
		}
	}
}

func (v *validator) fields(p *field.Path, fields map[string]FieldRule) {
	for _, path := range slices.Sorted(maps.Keys(fields)) {
		at, f := p.Key(path), fields[path]
		v.path(at, path, true)
		for _, e := range joined(f.problem) {
			v.add(&field.Error{Type: field.ErrorTypeInvalid, Field: at.String(), BadValue: field.OmitValueType{}, Detail: e.Error()})
		}
		if f.problem != nil {
			continue
		}
		enum(v, at.Child("rule"), f.Rule, true, rules...)
		v.argument(at.Child("keys"), f.Rule, len(f.Keys) > 0, false, RuleUnion)
		v.argument(at.Child("order"), f.Rule, len(f.Order) > 0, true, RuleRank)
		v.argument(at.Child("absent"), f.Rule, f.Absent != "", false, RuleRank)
		v.argument(at.Child("expr"), f.Rule, f.Expr != "", true, RuleCEL)
		v.argument(at.Child("default"), f.Rule, f.Default != nil, false, RuleSum)
		v.argument(at.Child("monotonic"), f.Rule, f.Monotonic, false, RuleSum, RuleMax)
		v.argument(at.Child("requireAll"), f.Rule, f.RequireAll, false, without(RuleConditions, RuleCEL)...)
		v.argument(at.Child("immutable"), f.Rule, f.Immutable, false, without(RuleConditions)...)
		if f.Absent != "" && !slices.Contains(f.Order, f.Absent) {
			v.invalid(at.Child("absent"), f.Absent, "must be one of order")
		}
		for other := range fields {
			if strings.HasPrefix(path, other+".") && fields[other].Rule != RuleDrop {
				v.invalid(at, path, fmt.Sprintf("%s has a rule too: one field has one rule", other))
			}
		}
	}
}

// argument checks that an argument is given only to rules that have it, and to those that require it.
func (v *validator) argument(p *field.Path, r Rule, given, required bool, of ...Rule) {
	switch has := slices.Contains(of, r); {
	case given && !has:
		v.add(field.Forbidden(p, fmt.Sprintf("is for %s, not for %s", strings.Join(names(of), " and "), r)))
	case !given && has && required:
		v.add(field.Required(p, fmt.Sprintf("%s needs it", r)))
	}
}

func (v *validator) finished(p *field.Path, s *Spec) {
	f := s.Finished
	if f == nil {
		return
	}
	if !slices.Contains([]Strategy{"", Merge, Primary, Representative}, s.Strategy) {
		v.invalid(p, s.Strategy, "only the strategies Merge, Primary and Representative know of an end")
	}
	if len(f.Success) == 0 && (f.Phase == nil || len(f.Phase.Success) == 0) {
		v.add(field.Required(p.Child("success"), "the conditions of success, of which the last one ends it, or phase.success"))
	}
	v.ends(p.Child("success"), f.Success)
	v.ends(p.Child("failure"), f.Failure)
	if f.Phase != nil && f.Phase.Path != "" {
		v.path(p.Child("phase", "path"), f.Phase.Path, false)
	}
	v.paths(p.Child("onSuccess"), f.OnSuccess, false)
	v.paths(p.Child("needs"), f.Needs, false)
	v.paths(p.Child("idle"), f.Idle, false)
}

func (v *validator) ends(p *field.Path, ends []string) {
	for i, e := range parseEnds(ends) {
		if e.Type == "" || e.Status != "True" && e.Status != "False" {
			v.invalid(p.Index(i), ends[i], `must be a condition type, or one with its status, such as "Succeeded=False"`)
		}
	}
}

func (v *validator) extract(p *field.Path, e *ExtractSpec) {
	if e == nil {
		return
	}
	v.paths(p.Child("fields"), e.Fields, false)
	for _, name := range slices.Sorted(maps.Keys(e.Add)) {
		v.path(p.Child("add").Key(name), e.Add[name], false)
		if len(ParsePath(name)) != 1 {
			v.invalid(p.Child("add").Key(name), name, "must be the name of one field, directly below status")
		}
	}
}

func (v *validator) paths(p *field.Path, paths []string, wildcards bool) {
	for i, path := range paths {
		v.path(p.Index(i), path, wildcards)
	}
}

func (v *validator) path(p *field.Path, path string, wildcards bool) {
	names := ParsePath(path)
	switch {
	case path == "":
		v.add(field.Required(p, "field names joined by dots, below status"))
	case slices.Contains(names, ""):
		v.invalid(p, path, "a field name is empty: join the names by single dots")
	case !wildcards && slices.Contains(names, "*"):
		v.invalid(p, path, `"*" is not allowed here: name the field, or the list as a whole`)
	}
}

// without are all rules but some.
func without(some ...Rule) []Rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool { return slices.Contains(some, r) })
}

func names[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, value := range values {
		out[i] = string(value)
	}
	return out
}
