package reconcile

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// TestAnyOrderOfEventsEndsTrue plays random events in random order. The indexes agree with the objects after each Step. When all is listed,
// answered and quiet, the published statuses are the policy's result, and a restart writes nothing.
func TestAnyOrderOfEventsEndsTrue(t *testing.T) {
	policies := machinePolicies(t)
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t, policies)
		m.addTarget("east", machineWorkspaces, Scheduling{})
		m.addTarget("west", machineWorkspaces[:1], Scheduling{})
		for range 4 {
			m.tenantEdits()
			m.copyChanges()
		}
		m.catchUp()
		t.Repeat(m.actions())
		m.settle()
		m.check()
		before := m.writes
		m.begin()
		m.settle()
		if m.writes != before {
			t.Fatalf("%d writes after a restart over unchanged objects", m.writes-before)
		}
		m.check()
	})
}

// machinePolicies are the built-in policy of Deployments, and others that differ from it in the result and in the metadata that they need.
func machinePolicies(t testing.TB) []*policy.Policy {
	t.Helper()
	resource := ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"}
	builtin, err := policy.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	policies := []*policy.Policy{builtin.For(resource)}
	for _, rule := range []string{"Max", `{rule: CEL, expr: 'has(upstream.metadata.labels.factor) ? 2 * size(targets) : size(targets)'}`} {
		docs, err := policy.Parse("policy.yaml", []byte(`
apiVersion: upstreamd.dev/v1alpha1
kind: StatusPolicy
metadata: {name: deployments}
spec:
  resources: [{group: apps, resource: deployments}]
  fields: {readyReplicas: `+rule+`, conditions: Conditions}
  summary: Always
`))
		if err != nil {
			t.Fatal(err)
		}
		set, err := policy.Compile(docs...)
		if err != nil {
			t.Fatal(err)
		}
		policies = append(policies, set.For(resource))
	}
	return policies
}

// settle lets all arrive and all be answered: SyncTargets list and are fresh, scopes list, the API server accepts all writes.
func (m *machine) settle() {
	clear(m.panics)
	m.drops = false
	for _, n := range slices.Sorted(maps.Keys(m.targets)) {
		if t := m.targets[n]; t.stale {
			t.stale = false
			m.step(FreshnessChanged{Target: n})
		}
		m.relist(n, true)
	}
	for _, scope := range machineScopes {
		if !m.known[scope] {
			m.list(scope)
		}
	}
	if m.panicked {
		m.step(PolicyChanged{Policy: m.policies[m.policy]}) // their inputs change
	}
	end := m.now.Add(3 * time.Hour)
	for round := 0; m.deliverAll() || !m.wake.IsZero() && m.wake.Before(end); round++ {
		if round > 5000 {
			m.t.Fatalf("no end: %d writes wait, %d reads, due %s", len(m.queue), len(m.fetches), m.wake)
		}
		m.passTo(maxTime(m.now, m.wake))
	}
	m.now = end
}

func maxTime(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// deliverAll delivers all events, answers and reads that are under way, and reports whether there was any.
func (m *machine) deliverAll() (some bool) {
	for more := true; more; {
		more = m.arrive()
		for len(m.fetches) > 0 {
			m.fetched(0, nil)
			more = true
		}
		for _, u := range slices.SortedFunc(maps.Keys(m.flight), byName) {
			m.answer(u, "")
			more = true
		}
		for _, u := range slices.SortedFunc(maps.Keys(m.queue), byName) {
			m.flight[u] = m.queue[u]
			delete(m.queue, u)
			m.writes++
			more = true
		}
		some = some || more
	}
	return some
}

// arrive delivers all events that are on their way, and reports whether there was any.
func (m *machine) arrive() (some bool) {
	for more := true; more; some = some || more {
		more = false
		for len(m.answers) > 0 {
			m.deliverAnswer(0)
			more = true
		}
		for len(m.reports) > 0 {
			m.deliverReport(0)
			more = true
		}
		for _, scope := range machineScopes {
			for len(m.streams[scope]) > 0 {
				m.deliverWatch(scope)
				more = true
			}
		}
		for len(m.describe) > 0 {
			scope := m.describe[0]
			m.describe = m.describe[1:]
			m.step(ScopeDescribed{Scope: scope, Description: ref.Description{HasStatus: true}})
			more = true
		}
	}
	return some
}

// check compares the published statuses with the result of the policy on the facts of the world.
func (m *machine) check() {
	for _, u := range slices.SortedFunc(maps.Keys(m.server), byName) {
		o := m.server[u]
		in, certain := m.input(o)
		if !certain {
			if len(m.targets) > 0 && in.Owned.Field() {
				m.t.Fatalf("%s: no SyncTarget can hold it, and %s is published", u, o.Status)
			}
			continue
		}
		p := m.policies[m.policy]
		d := aggregate.Decide(p, in)
		x := m.state.Explain(m.now, u)
		if x.Reason != d.Reason {
			m.t.Fatalf("%s: decided %s, want %s: %s", u, x.Reason, d.Reason, d.Message)
		}
		if !d.Publish {
			continue
		}
		if diff := patch.Diff(in.Published, d.Status, in.Owned, patch.Options{Whole: d.Whole, Keys: p.Keys}); diff != nil {
			m.t.Fatalf("%s: published %s, missing %v; decided %s, %q; %+v", u, o.Status, diff, d.Reason, x.Suppressed, in)
		}
	}
}

// input puts together the facts about an object, without the State. It is uncertain for an object that no SyncTarget can hold: whether one
// held it before decides about its status.
func (m *machine) input(o *ref.Object) (in aggregate.Input, certain bool) {
	in = aggregate.Input{
		Generation: o.Generation, Labels: o.Labels, Workspace: o.Workspace, Namespace: o.Namespace, Name: o.Name,
		Published: statusOf(o), Owned: ownedBy(o), Overdue: true,
	}
	byLabel := len(locator.PlacedKeys(o.Labels)) > 0
	held, possible := 0, false
	for _, n := range machineTargets {
		t := m.targets[n]
		placed := locator.Placed(o.Labels, locator.Key("root", string(n)))
		switch {
		case t != nil && t.added.Scheduling.Evicted:
			continue
		case byLabel && !placed, !byLabel && (t == nil || !t.added.Target.Bound(o.Workspace)):
			continue
		}
		possible = true
		if t == nil { // placed on a SyncTarget that is not configured
			in.Sources = append(in.Sources, aggregate.Source{Target: ref.SyncTarget(locator.Key("root", string(n))), State: aggregate.Unknown, Stale: true})
			continue
		}
		var copies []*downstreamCopy
		for _, c := range t.copies {
			if c.upstream == nameOf(o) {
				copies = append(copies, c)
			}
		}
		source := aggregate.Source{Target: n, State: aggregate.Absent}
		switch {
		case len(copies) > 1:
			in.Ambiguous = append(in.Ambiguous, n)
			continue
		case len(copies) == 0 && !byLabel:
			continue
		case len(copies) == 1 && copies[0].evidence.UID != o.UID:
			held++
			source.State, source.NotReporting = aggregate.NoStatus, "holds a copy of an earlier object"
		case len(copies) == 1 && copies[0].value == nil:
			held++
			source.State = aggregate.NoStatus
		case len(copies) == 1:
			held++
			source.State, source.Contribution = aggregate.Reporting, copies[0].value
			source.CaughtUp = o.Generation <= 1 || copies[0].evidence.Generation == o.Generation
			source.Lagging = !source.CaughtUp
		}
		in.Sources = append(in.Sources, source)
	}
	if locator.Placed(o.Labels, locator.Key("root", "nowhere")) {
		possible = true
		in.Sources = append(in.Sources, aggregate.Source{Target: ref.SyncTarget(locator.Key("root", "nowhere")), State: aggregate.Unknown, Stale: true})
	}
	unknown := slices.ContainsFunc(in.Sources, func(s aggregate.Source) bool { return s.State == aggregate.Unknown })
	in.Withdrawn = held == 0 && !unknown && len(in.Ambiguous) == 0 && possible
	return in, possible
}
