package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/policytest"
	"github.com/upstreamd/upstreamd/internal/shown"
)

// explanation is a decision with its inputs.
type explanation struct {
	Reason  string         `json:"reason"`
	Message string         `json:"message,omitempty"`
	Publish bool           `json:"publish"` // false: the published status stays
	Errors  []string       `json:"errors,omitempty"`
	Status  map[string]any `json:"status"` // as it is once the decision was applied
	Fields  []fieldReport  `json:"fields,omitempty"`
}

// fieldReport is one field's rule, result and inputs. A list of conditions is reported entry by entry.
type fieldReport struct {
	Path   string         `json:"path"`
	Rule   string         `json:"rule"`
	Result any            `json:"result"`
	Inputs map[string]any `json:"inputs"` // by SyncTarget; a missing copy or status is marked
}

func explain(c *policytest.Case, r policytest.Result) explanation {
	e := explanation{Reason: string(r.Decision.Reason), Message: r.Decision.Message, Publish: r.Decision.Publish, Status: r.Status}
	for _, err := range r.Decision.Errors {
		e.Errors = append(e.Errors, err.Error())
	}
	values := map[string]any{"": r.Status}
	for _, s := range c.Input.Sources {
		if s.Contribution != nil {
			values[string(s.Target)] = s.Contribution.Status
		}
	}
	x := explainer{policy: c.Policy, sources: c.Input.Sources}
	x.walk(nil, values)
	e.Fields = x.fields
	return e
}

type explainer struct {
	policy  *policy.Policy
	sources []aggregate.Source
	fields  []fieldReport
}

// walk goes down to the fields that have a rule. values are those of the result ("") and of each SyncTarget at a path.
func (x *explainer) walk(path policy.Path, values map[string]any) {
	names := map[string]bool{}
	for _, v := range values {
		object, _ := v.(map[string]any)
		for name := range object {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		at := append(slices.Clone(path), name)
		below := map[string]any{}
		for source, v := range values {
			object, _ := v.(map[string]any)
			if field, ok := object[name]; ok {
				below[source] = field
			}
		}
		rule, deeper := x.rule(at)
		switch {
		case deeper:
			x.walk(at, below)
		case rule == string(policy.RuleConditions):
			x.conditions(at, below)
		default:
			x.report(at.String(), rule, below)
		}
	}
}

// rule is the one that decides a field, or deeper if there are rules below it.
func (x *explainer) rule(path policy.Path) (rule string, deeper bool) {
	for _, f := range x.policy.Fields {
		switch {
		case slices.Equal(f.Path, path):
			return string(f.Rule), false
		case len(f.Path) > len(path) && slices.Equal(f.Path[:len(path)], path):
			deeper = true
		}
	}
	switch {
	case deeper:
		return "", true
	case x.policy.Strategy == policy.Merge:
		return string(x.policy.Default) + " (default)", false
	default:
		return string(x.policy.Strategy) + " (strategy)", false
	}
}

// conditions reports each type by itself, with its status and reason.
func (x *explainer) conditions(path policy.Path, values map[string]any) {
	byType := map[string]map[string]any{}
	for source, v := range values {
		entries, _ := v.([]any)
		for _, item := range entries {
			entry, _ := item.(map[string]any)
			kind, _ := entry["type"].(string)
			if byType[kind] == nil {
				byType[kind] = map[string]any{}
			}
			said := fmt.Sprint(entry["status"])
			if reason, _ := entry["reason"].(string); reason != "" {
				said += " " + reason
			}
			byType[kind][source] = said
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(byType)) {
		x.report(fmt.Sprintf("%s[%s]", path, kind), string(policy.RuleConditions), byType[kind])
	}
}

func (x *explainer) report(path, rule string, values map[string]any) {
	f := fieldReport{Path: path, Rule: rule, Result: values[""], Inputs: map[string]any{}}
	for _, s := range x.sources {
		value, said := values[string(s.Target)]
		switch {
		case s.State == aggregate.Absent:
			value = "(no copy)"
		case s.State == aggregate.Unknown:
			value = "(unknown)"
		case s.State == aggregate.NoStatus:
			value = "(no status)"
		case !said:
			value = nil
		}
		f.Inputs[string(s.Target)] = value
	}
	x.fields = append(x.fields, f)
}

// write puts the fields before the status, as comments.
func (e explanation) write(b *strings.Builder) {
	b.WriteString("#\n")
	for _, f := range e.Fields {
		fmt.Fprintf(b, "# %s = %s    %s\n", line(f.Path), compact(f.Result), line(f.Rule))
		for _, target := range slices.Sorted(maps.Keys(f.Inputs)) {
			fmt.Fprintf(b, "#     %s: %s\n", line(target), compact(f.Inputs[target]))
		}
	}
	b.WriteString("#\n")
}

// compact is a value on one line, cut where it gets long.
func compact(v any) string {
	const most = 120
	if v == nil {
		return "-"
	}
	text, isText := v.(string)
	if !isText {
		data, err := json.Marshal(v)
		if err != nil {
			return line(err.Error())
		}
		text = string(data)
	}
	return shown.Line(text, most)
}

// line is a text of a comment: nothing in it ends the comment or the line.
func line(s string) string {
	const most = 1000
	return shown.Line(s, most)
}
