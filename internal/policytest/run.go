package policytest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/patch"
)

// Result is the outcome of a case.
type Result struct {
	Name     string   `json:"name"`
	Comment  string   `json:"comment,omitempty"`
	Passed   bool     `json:"passed"`
	Failures []string `json:"failures,omitempty"` // one difference each

	Decision aggregate.Decision `json:"-"` // the decision
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

// Publish puts a status in the place of the one that is published, as the API server would hold it; all of it is ours but for what the
// case calls foreign.
func (c *Case) Publish(status map[string]any) error {
	if c.Typed {
		status, _ = withoutZeros(status).(map[string]any)
	}
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
	return patch.Diff(in.Published, d.Status, in.Owned, patch.Options{
		Whole: d.Whole, Typed: c.Typed, Ignore: c.Policy.Ignore,
		Keys: func(path []string) []string { return in.Keys(c.Policy, path) },
	})
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

// snapshot is a value as JSON, with keys in order.
func snapshot(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
