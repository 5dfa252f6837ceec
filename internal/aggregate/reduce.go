package aggregate

import (
	"maps"
	"slices"

	"github.com/upstreamd/upstreamd/internal/policy"
)

const reasonRefused = "Refused"

// Refusal is the API server's answer to a status that it does not accept.
type Refusal struct {
	Message string
	Fields  []string // directly below status, that it names as the cause
}

// Reductions of a refused decision, from the one that publishes most.
const (
	WithoutFields  = 1 + iota // the fields that the refusal names stay as published
	ConditionsOnly            // conditions; positive ones are Unknown, as what would have justified them is not published
	SummaryOnly
)

// Reduce makes the status that tells the owner of a refusal; its summary does. ok is false where such a reduction is none.
func Reduce(p *policy.Policy, in Input, d Decision, r Refusal, reduction int) (status map[string]any, ok bool) {
	status = map[string]any{}
	maps.Copy(status, in.Published)
	decided, _ := conditionsIn(d.Status, topConditions)
	conditions, _ := conditionsIn(in.Published, topConditions)
	switch reduction {
	case WithoutFields:
		if len(r.Fields) == 0 || slices.Contains(r.Fields, "conditions") {
			return nil, false
		}
		maps.Copy(status, d.Status)
		for _, name := range r.Fields {
			set(status, []string{name}, in.Published[name])
		}
		conditions = decided
	case ConditionsOnly:
		conditions = slices.Clone(decided)
		for i, item := range conditions {
			if p.Conditions.Polarity(text(item, "type")) == policy.Positive && text(item, "status") == "True" {
				entry := maps.Clone(item.(map[string]any))
				entry["status"], entry["reason"], entry["message"] = "Unknown", reasonRefused, "the status was refused"
				conditions[i] = entry
			}
		}
	}
	summary := find(d.Status, topConditions, SummaryType)
	if summary == nil {
		return status, reduction == WithoutFields
	}
	summary = maps.Clone(summary)
	summary["status"], summary["reason"], summary["message"] = "False", reasonRefused, cut("the API server refused the status: "+r.Message)
	if published := find(in.Published, topConditions, SummaryType); published["lastTransitionTime"] != nil {
		summary["lastTransitionTime"] = published["lastTransitionTime"]
	}
	conditions = slices.DeleteFunc(slices.Clone(conditions), func(e any) bool { return text(e, "type") == SummaryType })
	conditions = append(conditions, summary)
	slices.SortStableFunc(conditions, byType)
	status["conditions"] = conditions
	return status, true
}
