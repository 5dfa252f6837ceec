package policytest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/policy"
)

// Result is what came of a case.
type Result struct {
	Name     string   `json:"name"`
	Comment  string   `json:"comment,omitempty"`
	Passed   bool     `json:"passed"`
	Failures []string `json:"failures,omitempty"` // one difference each

	Decision aggregate.Decision `json:"-"` // what was decided
	Status   map[string]any     `json:"-"` // the status once that was applied
}

// maxPermuted is up to how many SyncTargets every order is tried; of more, each rotation.
const maxPermuted = 5

// Run decides a case: what it wants must come out; with the SyncTargets in any order; and once that is published, nothing may change.
func Run(c *Case) Result {
	r := Try(c)
	r.Failures = append(c.check(r.Decision, r.Status), r.Failures...)
	r.Passed = len(r.Failures) == 0
	return r
}

// Try decides a case whatever it wants, and checks what holds for every decision: nothing changes once it is published, the order of the
// SyncTargets does not matter, and its input is as it was.
func Try(c *Case) Result {
	before := snapshot(c.Input)
	decision, published := c.decide(c.Input)
	r := Result{Name: c.Name, Comment: c.Comment, Decision: decision, Status: published}
	r.Failures = append(r.Failures, c.again(published)...)
	r.Failures = append(r.Failures, c.reordered(decision)...)
	if snapshot(c.Input) != before {
		r.Failures = append(r.Failures, "the decision modified its input")
	}
	r.Passed = len(r.Failures) == 0
	return r
}

// Publish puts a status in the place of the one that is published; all of it is ours but for what the case calls foreign.
func (c *Case) Publish(status map[string]any) error {
	owned, err := owns(status, nil, c.Foreign)
	c.Input.Published, c.Input.Owned = status, owned
	return err
}

// decide gives the decision, and the status as it is once the decision was applied.
func (c *Case) decide(in aggregate.Input) (aggregate.Decision, map[string]any) {
	decision := aggregate.Decide(c.Policy, in)
	if !decision.Publish {
		return decision, in.Published
	}
	return decision, patch.Apply(in.Published, c.diff(in, decision))
}

func (c *Case) diff(in aggregate.Input, d aggregate.Decision) map[string]any {
	return patch.Diff(in.Published, d.Status, in.Owned, patch.Options{Whole: d.Whole, Typed: c.Typed, Ignore: c.Policy.Ignore, Keys: c.Policy.Keys})
}

func (c *Case) check(d aggregate.Decision, published map[string]any) []string {
	failures := differences("status", c.Want, published)
	reason := string(d.Reason)
	if strings.Contains(c.WantReason, ":") {
		reason += ": " + d.Message
	}
	if c.WantReason != "" && reason != c.WantReason {
		failures = append(failures, fmt.Sprintf("reason: want %q, got %q", c.WantReason, reason))
	}
	for i := range max(len(d.Errors), len(c.WantErrors)) {
		switch {
		case i >= len(c.WantErrors):
			failures = append(failures, fmt.Sprintf("error: %v", d.Errors[i]))
		case i >= len(d.Errors) || !strings.Contains(d.Errors[i].Error(), c.WantErrors[i]):
			failures = append(failures, fmt.Sprintf("errors: want %q, got %v", c.WantErrors[i], d.Errors))
		}
	}
	return failures
}

// again decides once more, with the result published. That must change nothing, nor if the API server left zeros out.
func (c *Case) again(published map[string]any) []string {
	failures := c.onceMore(published)
	if normalised, _ := withoutZeros(published).(map[string]any); c.Typed {
		failures = append(failures, c.onceMore(normalised)...)
	}
	return failures
}

// withoutZeros is a value as a typed API server gives it back; nil for nothing.
func withoutZeros(v any) any {
	switch v := v.(type) {
	case map[string]any:
		kept := map[string]any{}
		for name, value := range v {
			if value = withoutZeros(value); value != nil {
				kept[name] = value
			}
		}
		if len(kept) > 0 {
			return kept
		}
		return nil
	case []any:
		if len(v) == 0 {
			return nil
		}
		kept := make([]any, len(v))
		for i, item := range v {
			if kept[i] = withoutZeros(item); kept[i] == nil {
				kept[i] = item
			}
		}
		return kept
	case nil, bool, int64, float64, string:
		if v == nil || v == false || v == int64(0) || v == float64(0) || v == "" {
			return nil
		}
	}
	return v
}

func (c *Case) onceMore(published map[string]any) []string {
	in := c.Input
	in.Published = published
	owned, err := owns(published, c.Input.Published, c.Foreign)
	if err != nil {
		return []string{err.Error()}
	}
	in.Owned = owned
	decision := aggregate.Decide(c.Policy, in)
	if !decision.Publish {
		return nil
	}
	if p := c.diff(in, decision); p != nil {
		return []string{fmt.Sprintf("not stable: with the result published, the next decision (%s) would write %s", decision.Reason, snapshot(p))}
	}
	return nil
}

// reordered decides with the SyncTargets in other orders.
func (c *Case) reordered(want aggregate.Decision) []string {
	wanted := snapshot(want.Status)
	for _, order := range orders(len(c.Input.Sources)) {
		in := c.Input
		in.Sources = make([]aggregate.Source, len(order))
		for i, j := range order {
			in.Sources[i] = c.Input.Sources[j]
		}
		got := aggregate.Decide(c.Policy, in)
		if got.Reason != want.Reason || got.Message != want.Message || got.Publish != want.Publish || snapshot(got.Status) != wanted {
			return []string{fmt.Sprintf("the order of the SyncTargets matters: with %v it is %s %q %s", order, got.Reason, got.Message, snapshot(got.Status))}
		}
	}
	return nil
}

// orders are the permutations of n indices, or their rotations if there are too many.
func orders(n int) [][]int {
	identity := make([]int, n)
	for i := range identity {
		identity[i] = i
	}
	if n > maxPermuted {
		var rotations [][]int
		for i := 1; i < n; i++ {
			rotations = append(rotations, slices.Concat(identity[i:], identity[:i]))
		}
		return rotations
	}
	all := [][]int{{}}
	for i := range n {
		var longer [][]int
		for _, order := range all {
			for at := range len(order) + 1 {
				longer = append(longer, slices.Insert(slices.Clone(order), at, i))
			}
		}
		all = longer
	}
	return all
}

// owns is what of a status is ours: all but what is foreign and still as it was before (nil: foreign whatever it was).
func owns(published, before map[string]any, foreign []string) (*patch.Owned, error) {
	o := ownership{foreign: foreign, now: before != nil}
	set, err := json.Marshal(map[string]any{"f:status": o.fields(nil, published, before)})
	if err != nil {
		return nil, fmt.Errorf("managedFields: %w", err)
	}
	return patch.ParseOwned(set)
}

type ownership struct {
	foreign []string
	now     bool // what is foreign may have been taken over since
}

// fields is the fieldsV1 form of an object: fields by name, conditions by type, other lists whole.
func (o *ownership) fields(path policy.Path, m, before map[string]any) map[string]any {
	fields := map[string]any{}
	for name, value := range m {
		at := append(slices.Clip(path), name)
		if o.isForeign(at, value, before[name]) {
			continue
		}
		switch value := value.(type) {
		case map[string]any:
			was, _ := before[name].(map[string]any)
			if below := o.fields(at, value, was); len(below) > 0 || len(value) == 0 {
				fields["f:"+name] = below
			}
		case []any:
			if entries := o.conditions(at, value, before); entries != nil {
				fields["f:"+name] = entries
			}
		default:
			fields["f:"+name] = map[string]any{}
		}
	}
	return fields
}

// conditions is the fieldsV1 form of a list; nil if none of it is ours.
func (o *ownership) conditions(path policy.Path, list []any, before map[string]any) map[string]any {
	entries := map[string]any{}
	for _, item := range list {
		kind := typeOf(item)
		if kind == "" || path[len(path)-1] != "conditions" {
			return map[string]any{} // owned whole
		}
		if !o.isForeign(append(slices.Clip(path), kind), item, conditionOf(before, kind)) {
			entries[fmt.Sprintf(`k:{"type":%q}`, kind)] = map[string]any{".": map[string]any{}}
		}
	}
	if len(entries) == 0 && len(list) > 0 {
		return nil
	}
	return entries
}

func (o *ownership) isForeign(path policy.Path, value, was any) bool {
	return slices.Contains(o.foreign, path.String()) && (!o.now || snapshot(value) == snapshot(was))
}

func typeOf(condition any) string {
	m, _ := condition.(map[string]any)
	kind, _ := m["type"].(string)
	return kind
}

func conditionOf(status map[string]any, kind string) any {
	list, _ := status["conditions"].([]any)
	if i := slices.IndexFunc(list, func(item any) bool { return typeOf(item) == kind }); i >= 0 {
		return list[i]
	}
	return nil
}

// snapshot is a value as JSON, with keys in order.
func snapshot(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
