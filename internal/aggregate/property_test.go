package aggregate_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/policytest"
	"github.com/upstreamd/upstreamd/internal/ref"
)

var (
	start  = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	fields = []string{"a", "b", "n", "list", "phase", "nested", "replicas", "ready", "observedGeneration", "active", "startTime", "completionTime", "capacity"}
)

// TestAnyDecision takes any policy through any history of what SyncTargets say, and checks after every step what holds for every decision.
func TestAnyDecision(t *testing.T) {
	rapid.Check(t, anyDecision(t))
}

// FuzzDecide does the same, led by what the fuzzer finds to lead to new code.
func FuzzDecide(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(anyDecision(f)))
}

func anyDecision(tb testing.TB) func(t *rapid.T) {
	tb.Helper()
	builtin, err := policy.Builtin()
	if err != nil {
		tb.Fatal(err)
	}
	return func(t *rapid.T) {
		c := &policytest.Case{Policy: drawPolicy(t, builtin), Typed: rapid.Bool().Draw(t, "typed")}
		c.Foreign = []string{"foreign", "conditions.Foreign"}
		theirs := map[string]any{"foreign": "theirs", "conditions": []any{map[string]any{"type": "Foreign", "status": "True"}}}
		if err := c.Publish(theirs); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			drawInput(t, &c.Input)
			r := policytest.Try(c)
			if !r.Passed {
				input, _ := json.MarshalIndent(c.Input, "", " ")
				spec, _ := json.Marshal(c.Policy.Document.Spec)
				t.Fatalf("policy %s: %s\ninput %s", spec, strings.Join(r.Failures, "\n"), input)
			}
			if r.Decision.Whole || slices.ContainsFunc(c.Policy.Fields, func(f policy.Field) bool { return f.Path[0] == "conditions" && f.Rule != policy.RuleConditions }) {
				return // foreign fields may be gone
			}
			if r.Status["foreign"] != "theirs" {
				t.Fatalf("policy %s: a foreign field was touched: %v", c.Policy.Name, r.Status)
			}
			if slices.ContainsFunc(c.Input.Sources, oddConditions) {
				return // the list may have given way to something else
			}
			if !reflect.DeepEqual(condition(r.Status, "Foreign"), condition(theirs, "Foreign")) {
				t.Fatalf("policy %s: a foreign condition was touched: %v", c.Policy.Name, r.Status)
			}
			if err := c.Publish(r.Status); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func condition(status map[string]any, kind string) any {
	list, _ := status["conditions"].([]any)
	for _, item := range list {
		if c, _ := item.(map[string]any); c["type"] == kind {
			return item
		}
	}
	return nil
}

// oddConditions says whether a SyncTarget has something else than conditions under that name.
func oddConditions(s aggregate.Source) bool {
	if s.Contribution == nil || s.Contribution.Status["conditions"] == nil {
		return false
	}
	list, isList := s.Contribution.Status["conditions"].([]any)
	return !isList || slices.ContainsFunc(list, func(item any) bool { c, _ := item.(map[string]any); return c["type"] == nil })
}

// drawPolicy is a built-in policy, or one of any strategy with any rules.
func drawPolicy(t *rapid.T, builtin *policy.Set) *policy.Policy {
	if rapid.Bool().Draw(t, "builtin") {
		return rapid.SampledFrom(builtin.All()).Draw(t, "policy")
	}
	doc := &policy.Document{APIVersion: policy.APIVersion, Kind: policy.Kind}
	doc.Metadata.Name = "drawn"
	s := &doc.Spec
	s.Resources = []policy.Resource{{Group: "*", Resource: "*"}}
	s.Strategy = rapid.SampledFrom([]policy.Strategy{policy.Merge, policy.Union, policy.Latest, policy.Quorum, policy.All, policy.Primary, policy.Representative}).Draw(t, "strategy")
	if s.Strategy == policy.Merge {
		s.Default = rapid.SampledFrom([]policy.Rule{policy.RuleDrop, policy.RuleUnanimous, policy.RuleUnion, policy.RulePrimary}).Draw(t, "default")
	}
	s.Fields = map[string]policy.FieldRule{}
	for _, rule := range []policy.Rule{policy.RuleSum, policy.RuleMin, policy.RuleMax, policy.RuleUnion, policy.RuleUnanimous, policy.RuleQuorum,
		policy.RulePrimary, policy.RuleDrop} {
		if rapid.IntRange(0, 4).Draw(t, string(rule)) > 0 {
			continue
		}
		name := rapid.SampledFrom([]string{"a", "b", "n", "list", "nested.a", "nested.list", "phase", "replicas"}).Draw(t, "field")
		f := policy.FieldRule{Rule: rule}
		f.RequireAll, f.Immutable = rapid.Bool().Draw(t, "requireAll"), rapid.Bool().Draw(t, "immutable")
		if rule == policy.RuleSum || rule == policy.RuleMax {
			f.Monotonic = rapid.Bool().Draw(t, "monotonic")
		}
		if rule == policy.RuleUnion {
			f.Keys = []string{"name"}
		}
		s.Fields[name] = f
	}
	s.Conditions = &policy.ConditionsSpec{
		Mode:     rapid.SampledFrom([]policy.ConditionMode{"", policy.WorstWins, policy.BestWins, policy.AllTrue, policy.QuorumWins, policy.AllAgree}).Draw(t, "mode"),
		Negative: []string{"Stalled"}, Positive: []string{"Ready"},
	}
	s.Keys = map[string][]string{"list": {"name"}}
	s.Summary = rapid.SampledFrom([]policy.SummaryMode{policy.SummaryAlways, policy.SummaryNever, policy.SummaryAuto}).Draw(t, "summary")
	s.Stale = rapid.SampledFrom([]policy.StaleMode{policy.Hold, policy.Exclude}).Draw(t, "stale")
	s.OnEmpty = rapid.SampledFrom([]policy.EmptyMode{policy.Clear, policy.Keep}).Draw(t, "onEmpty")
	set, err := policy.Compile(doc)
	if err != nil {
		t.Skip("rules that exclude each other")
	}
	return set.All()[0]
}

// drawInput draws what is known of up to four SyncTargets; what is published stays.
func drawInput(t *rapid.T, in *aggregate.Input) {
	in.Generation = rapid.Int64Range(0, 3).Draw(t, "generation")
	in.Withdrawn = rapid.IntRange(0, 20).Draw(t, "withdrawn") == 0
	in.Overdue = rapid.Bool().Draw(t, "overdue")
	in.Annotations = nil
	if rapid.IntRange(0, 5).Draw(t, "named") == 0 {
		in.Annotations = map[string]string{aggregate.PrimaryAnnotation: "target-1"}
	}
	in.Sources = nil
	for i := range rapid.IntRange(0, 4).Draw(t, "targets") {
		s := aggregate.Source{Target: ref.SyncTarget(fmt.Sprintf("target-%d", i)), CaughtUp: rapid.Bool().Draw(t, "caughtUp")}
		s.State = rapid.SampledFrom([]aggregate.State{aggregate.Reporting, aggregate.Reporting, aggregate.Reporting, aggregate.Reporting, aggregate.NoStatus, aggregate.Absent, aggregate.Unknown}).Draw(t, "state")
		if rapid.IntRange(0, 3).Draw(t, "stale") == 0 {
			s.Stale, s.Since = true, drawTime(t)
		}
		if s.State == aggregate.Reporting {
			s.Contribution = &aggregate.Contribution{Status: drawStatus(t), Generation: rapid.Int64Range(0, 3).Draw(t, "own generation"), Time: drawTime(t)}
		}
		in.Sources = append(in.Sources, s)
	}
}

func drawTime(t *rapid.T) time.Time {
	return start.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "minute")) * time.Minute)
}

func drawStatus(t *rapid.T) map[string]any {
	status := map[string]any{}
	for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom(fields), rapid.ID).Draw(t, "fields") {
		status[name] = drawValue(t, 0)
	}
	if rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
		status["conditions"] = drawValue(t, 0)
	} else if rapid.Bool().Draw(t, "has conditions") {
		status["conditions"] = drawConditions(t)
	}
	return status
}

func drawConditions(t *rapid.T) []any {
	list := []any{}
	for _, kind := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"Ready", "Stalled", "Synced", "Complete", "Failed", "FailureTarget", "SuccessCriteriaMet", aggregate.SummaryType}), rapid.ID).Draw(t, "types") {
		c := map[string]any{"type": kind, "status": rapid.SampledFrom([]string{"True", "False", "Unknown", "Odd"}).Draw(t, "status")}
		for _, name := range []string{"reason", "message"} {
			if rapid.Bool().Draw(t, name) {
				c[name] = rapid.SampledFrom([]string{"one", "two"}).Draw(t, "text")
			}
		}
		for _, name := range []string{"lastTransitionTime", "lastUpdateTime"} {
			if rapid.Bool().Draw(t, name) {
				c[name] = drawTime(t).Format(time.RFC3339)
			}
		}
		if rapid.IntRange(0, 3).Draw(t, "has generation") == 0 {
			c["observedGeneration"] = rapid.Int64Range(0, 3).Draw(t, "observed")
		}
		list = append(list, c)
	}
	return list
}

func drawValue(t *rapid.T, depth int) any {
	kinds := 9
	if depth > 1 {
		kinds = 6
	}
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2, 3:
		return rapid.Int64Range(0, 3).Draw(t, "int")
	case 4:
		return float64(rapid.IntRange(0, 4).Draw(t, "half")) / 2
	case 5:
		return rapid.SampledFrom([]string{"", "A", "B", "1Gi", "500m", "Bound"}).Draw(t, "text")
	case 6:
		return drawTime(t).Format(time.RFC3339)
	case 7:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			list = append(list, drawValue(t, depth+1))
		}
		return list
	case 8:
		list := []any{}
		for range rapid.IntRange(0, 2).Draw(t, "entries") {
			list = append(list, map[string]any{"name": rapid.SampledFrom([]string{"x", "y"}).Draw(t, "name"), "v": drawValue(t, depth+1)})
		}
		return list
	default:
		m := map[string]any{}
		for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "list"}), rapid.ID).Draw(t, "keys") {
			m[name] = drawValue(t, depth+1)
		}
		return m
	}
}

// TestSums: for any counters of any Deployments, what is published is the total, and an API server that accepts each cluster's
// status accepts the total too.
func TestSums(t *testing.T) {
	builtin, err := policy.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	p := builtin.For(ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"})
	rapid.Check(t, func(t *rapid.T) {
		in := aggregate.Input{Generation: 1}
		total := map[string]int64{}
		for i := range rapid.IntRange(1, 12).Draw(t, "targets") {
			replicas := rapid.Int64Range(0, 1000).Draw(t, "replicas")
			ready := rapid.Int64Range(0, replicas).Draw(t, "ready")
			available := rapid.Int64Range(0, ready).Draw(t, "available")
			counters := map[string]int64{"replicas": replicas, "readyReplicas": ready, "availableReplicas": available, "unavailableReplicas": replicas - available}
			status := map[string]any{}
			for name, n := range counters {
				if total[name] += n; n > 0 || rapid.Bool().Draw(t, "zeros") {
					status[name] = n
				}
			}
			in.Sources = append(in.Sources, aggregate.Source{Target: ref.SyncTarget(fmt.Sprintf("target-%02d", i)), Stale: rapid.Bool().Draw(t, "stale"), Since: start,
				Contribution: &aggregate.Contribution{Status: status, Time: start}})
		}
		published := aggregate.Decide(p, in).Status
		for name, want := range total {
			if got, _ := published[name].(int64); got != want {
				t.Fatalf("%s = %d, want %d", name, got, want)
			}
		}
		ready, _ := published["readyReplicas"].(int64)
		if available, _ := published["availableReplicas"].(int64); available > ready {
			t.Fatalf("%d available of %d ready: an API server would refuse that", available, ready)
		}
	})
}

// TestJobSteps takes Jobs in up to four clusters, whose clocks differ and which come and go, from start to end, and checks each step of
// what is published against the rules by which a kube-apiserver accepts a Job's status.
func TestJobSteps(t *testing.T) {
	builtin, err := policy.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	p := builtin.For(ref.Resource{Group: "batch", Version: "v1", Resource: "jobs"})
	finished := 0
	rapid.Check(t, func(t *rapid.T) {
		c := &policytest.Case{Policy: p, Typed: true}
		jobs := make([]*job, rapid.IntRange(1, 4).Draw(t, "clusters"))
		for i := range jobs {
			jobs[i] = &job{clock: time.Duration(rapid.IntRange(-90, 90).Draw(t, "skew")) * time.Second}
		}
		for step := range 12 {
			c.Input.Sources = nil
			for i, j := range jobs {
				j.step(t, start.Add(time.Duration(step)*time.Minute))
				if s, placed := j.source(t, i); placed {
					c.Input.Sources = append(c.Input.Sources, s)
				}
			}
			before := c.Input.Published
			r := policytest.Try(c)
			if refused := refusedJob(before, r.Status); !r.Passed || len(refused) > 0 {
				t.Fatalf("step %d: %v %v\nfrom %v\nto %v", step, r.Failures, refused, before, r.Status)
			}
			if err := c.Publish(r.Status); err != nil {
				t.Fatal(err)
			}
		}
		if isTrue(c.Input.Published, "Complete") || isTrue(c.Input.Published, "Failed") {
			finished++
		}
	})
	if finished < 10 {
		t.Errorf("%d Jobs came to their end: the test does not reach what it is for", finished)
	}
}

// job is a Job in one cluster, moved as the Job controller does.
type job struct {
	clock                     time.Duration
	active, succeeded, failed int64
	started, ended            string
	end                       string // Complete or Failed
	old                       bool   // of a version that sets the last condition only
	terminating               int64
}

func (j *job) step(t *rapid.T, now time.Time) {
	stamp := now.Add(j.clock).Format(time.RFC3339)
	switch move := rapid.IntRange(0, 4).Draw(t, "move"); {
	case j.end != "":
		j.terminating = 0
	case j.started == "":
		if move > 0 {
			j.started, j.active = stamp, rapid.Int64Range(1, 3).Draw(t, "pods")
		}
	case move < 2 && j.active > 0:
		j.active--
		j.succeeded++
	case move == 2 && j.active > 0:
		j.active--
		j.failed++
	case j.active == 0 && move > 2:
		j.end, j.ended, j.old = rapid.SampledFrom([]string{"Complete", "Failed"}).Draw(t, "end"), stamp, rapid.Bool().Draw(t, "old")
		if j.end == "Failed" {
			j.terminating = rapid.Int64Range(0, 1).Draw(t, "terminating")
		}
	}
}

func (j *job) source(t *rapid.T, i int) (s aggregate.Source, placed bool) {
	s = aggregate.Source{Target: ref.SyncTarget(fmt.Sprintf("target-%d", i)), CaughtUp: true}
	switch rapid.IntRange(0, 12).Draw(t, "seen") {
	case 0:
		return s, false
	case 1:
		s.State = aggregate.Absent
		return s, true
	case 2:
		s.State, s.Stale, s.Since = aggregate.Unknown, true, start
		return s, true
	case 3:
		s.Stale, s.Since = true, start
	}
	status := map[string]any{"active": j.active, "ready": j.active, "succeeded": j.succeeded, "failed": j.failed, "terminating": j.terminating, "uncountedTerminatedPods": map[string]any{}}
	if j.started != "" {
		status["startTime"] = j.started
	}
	kinds := map[string][]string{"Complete": {"SuccessCriteriaMet", "Complete"}, "Failed": {"FailureTarget", "Failed"}}[j.end]
	if j.end == "Complete" {
		status["completionTime"] = j.ended
	}
	if j.old && len(kinds) > 0 {
		kinds = kinds[1:]
	}
	conditions := []any{}
	for _, kind := range kinds {
		conditions = append(conditions, map[string]any{"type": kind, "status": "True", "reason": "Because", "lastTransitionTime": j.ended})
	}
	status["conditions"] = conditions
	s.Contribution = &aggregate.Contribution{Status: status, Time: start}
	return s, true
}

func isTrue(status map[string]any, kind string) bool {
	c, _ := condition(status, kind).(map[string]any)
	return c["status"] == "True"
}

// refusedJob says by which rules a kube-apiserver (1.37, batch/v1, not suspended, not indexed) would refuse this step.
func refusedJob(before, after map[string]any) []string {
	n := func(status map[string]any, name string) int64 { v, _ := status[name].(int64); return v }
	at := func(status map[string]any, name string) string { s, _ := status[name].(string); return s }
	complete, failed := isTrue(after, "Complete"), isTrue(after, "Failed")
	started, ended := at(after, "startTime"), at(after, "completionTime")
	parse := func(s string) time.Time { v, _ := time.Parse(time.RFC3339, s); return v }
	rules := map[string]bool{
		"succeeded falls":                            n(after, "succeeded") < n(before, "succeeded"),
		"failed falls":                               n(after, "failed") < n(before, "failed"),
		"startTime changes":                          at(before, "startTime") != "" && at(before, "startTime") != started,
		"completionTime changes":                     at(before, "completionTime") != "" && ended != "" && at(before, "completionTime") != ended,
		"completionTime before startTime":            ended != "" && parse(ended).Before(parse(started)),
		"completionTime but not Complete":            ended != "" && !complete,
		"Complete but no completionTime":             complete && ended == "",
		"Complete and Failed":                        complete && failed,
		"Complete and FailureTarget":                 complete && isTrue(after, "FailureTarget"),
		"SuccessCriteriaMet and Failed":              isTrue(after, "SuccessCriteriaMet") && failed,
		"SuccessCriteriaMet and FailureTarget":       isTrue(after, "SuccessCriteriaMet") && isTrue(after, "FailureTarget"),
		"Complete without SuccessCriteriaMet":        complete && !isTrue(after, "SuccessCriteriaMet"),
		"Failed without FailureTarget":               failed && !isTrue(after, "FailureTarget"),
		"finished and active":                        (complete || failed) && n(after, "active") > 0,
		"finished and terminating":                   (complete || failed) && n(after, "terminating") > 0,
		"finished without startTime":                 (complete || failed) && started == "",
		"more ready than active":                     n(after, "ready") > n(after, "active"),
		"Pods that are not counted in a status seen": after["uncountedTerminatedPods"] != nil,
	}
	for _, kind := range []string{"Complete", "Failed", "FailureTarget", "SuccessCriteriaMet"} {
		rules[kind+" taken back"] = isTrue(before, kind) && !isTrue(after, kind)
	}
	maps.DeleteFunc(rules, func(_ string, broken bool) bool { return !broken })
	return slices.Sorted(maps.Keys(rules))
}
