package reconcile

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
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

func pick[T any](m *machine, label string, of []T) T { return rapid.SampledFrom(of).Draw(m.t, label) }

func (m *machine) chance(label string) bool { return rapid.Bool().Draw(m.t, label) }

// some is the index of one of n; without any the action is skipped.
func (m *machine) some(label string, n int) int {
	if n == 0 {
		m.t.Skip("none")
	}
	return rapid.IntRange(0, n-1).Draw(m.t, label)
}

func (m *machine) upstream() ref.Upstream {
	return ref.Upstream{Workspace: pick(m, "workspace", machineWorkspaces), Namespace: "default", Name: pick(m, "name", machineNames)}
}

func (m *machine) held(n ref.SyncTarget) (*syncTarget, ref.SyncTarget) {
	if m.targets[n] == nil {
		m.t.Skip("no such SyncTarget")
	}
	return m.targets[n], n
}

func (m *machine) actions() map[string]func(*rapid.T) {
	with := func(action func()) func(*rapid.T) {
		return func(t *rapid.T) {
			m.t = t
			action()
		}
	}
	return map[string]func(*rapid.T){
		"tenant edits":      with(m.tenantEdits),
		"tenant deletes":    with(m.tenantDeletes),
		"other writes":      with(m.otherWrites),
		"copy changes":      with(m.copyChanges),
		"copy changes more": with(m.copyChanges),
		"copy vanishes":     with(m.copyVanishes),
		"SyncTarget":        with(m.syncTargetChanges),
		"SyncTarget lists":  with(m.syncTargetLists),
		"freshness":         with(m.freshness),
		"scope lists":       with(func() { m.list(pick(m, "scope", machineScopes)) }),
		"scope leaves":      with(func() { m.seldom(m.scopeLeaves) }),
		"workspace moves":   with(func() { m.seldom(m.workspaceMoves) }),
		"workspace ends":    with(func() { m.seldom(m.workspaceEnds) }),
		"described":         with(m.described),
		"watch":             with(m.watch),
		"report":            with(func() { m.deliverReport(m.some("report", len(m.reports))) }),
		"answer arrives":    with(func() { m.deliverAnswer(m.some("answer", len(m.answers))) }),
		"send":              with(m.send),
		"send more":         with(m.send),
		"server answers":    with(m.serverAnswers),
		"server answers on": with(m.serverAnswers),
		"read":              with(m.read),
		"time passes":       with(m.timePasses),
		"a second passes":   with(func() { m.passTo(m.now.Add(time.Second)) }),
		"catch up":          with(m.catchUp),
		"policy":            with(func() { m.seldom(m.policyChanges) }),
		"server drops":      with(func() { m.drops = !m.drops }),
		"panic":             with(func() { n := pick(m, "name", machineNames); m.panics[n] = !m.panics[n] }),
		"restart":           with(func() { m.seldom(m.begin) }),
		"writer restarts":   with(func() { m.seldom(m.writerRestarts) }),
	}
}

// seldom runs an action once in five times.
func (m *machine) seldom(action func()) {
	if rapid.IntRange(0, 4).Draw(m.t, "seldom") == 0 {
		action()
	}
}

// catchUp lets all reports and watch events arrive, lists the scopes that are not listed, and has them described.
func (m *machine) catchUp() {
	for _, scope := range machineScopes {
		if !m.known[scope] {
			m.list(scope)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(m.targets)) {
		if !m.targets[n].confirmed {
			m.relist(n, true)
		}
	}
	m.arrive()
}

func (m *machine) tenantEdits() {
	u := m.upstream()
	o := &ref.Object{Workspace: u.Workspace, Namespace: u.Namespace, Name: u.Name, UID: types.UID("u" + m.next()), Generation: 1}
	if before := m.server[u]; before != nil {
		*o = *before
		o.Generation += int64(rapid.IntRange(0, 1).Draw(m.t, "edit"))
	}
	o.ResourceVersion = m.next()
	o.Labels = map[string]string{}
	if m.chance("label") {
		o.Labels["factor"] = "2"
	}
	if rapid.IntRange(0, 3).Draw(m.t, "placed") == 0 {
		for _, n := range append([]ref.SyncTarget{"nowhere"}, machineTargets...) {
			if m.chance("place") {
				o.Labels[locator.PlacementLabel(locator.Key("root", string(n)))] = "Sync"
			}
		}
	}
	m.server[u] = o
	m.changed(u)
}

func (m *machine) tenantDeletes() {
	if o := m.server[m.upstream()]; o != nil {
		m.deleted(o)
	}
}

func (m *machine) otherWrites() {
	if o := m.server[m.upstream()]; o != nil {
		status := maps.Clone(statusOf(o))
		if status == nil {
			status = map[string]any{}
		}
		status["readyReplicas"] = float64(rapid.IntRange(0, 3).Draw(m.t, "ready"))
		m.put(o, "another", status)
	}
}

func (m *machine) copyChanges() {
	t, n := m.held(pick(m, "SyncTarget", machineTargets))
	u := m.upstream()
	d := sourceOf(u)
	if rapid.IntRange(0, 9).Draw(m.t, "second") == 0 {
		d.Namespace = "another-" + d.Namespace
	}
	c := t.copies[d]
	if c == nil {
		c = &downstreamCopy{upstream: u, uid: m.version}
		t.copies[d] = c
	}
	c.version = m.next()
	if rapid.IntRange(0, 7).Draw(m.t, "status") > 0 {
		c.value = &aggregate.Contribution{
			Generation: 1, UpstreamGeneration: int64(rapid.IntRange(0, 2).Draw(m.t, "of")), Time: m.now,
			Status: map[string]any{"readyReplicas": int64(rapid.IntRange(0, 3).Draw(m.t, "ready"))},
		}
	}
	m.report(n, d)
}

func (m *machine) copyVanishes() {
	t, n := m.held(pick(m, "SyncTarget", machineTargets))
	all := slices.SortedFunc(maps.Keys(t.copies), bySource)
	d := all[m.some("copy", len(all))]
	c := t.copies[d]
	delete(t.copies, d)
	if m.chance("unseen") {
		m.relist(n, true) // the watch missed it
		return
	}
	c.version = m.next()
	m.reports = append(m.reports, Withdrew{Target: n, Source: d, Upstream: c.upstream, At: m.position(t, c)})
}

func (m *machine) syncTargetChanges() {
	n := pick(m, "SyncTarget", machineTargets)
	var workspaces []ref.Workspace
	for _, w := range append([]ref.Workspace{locator.All}, machineWorkspaces...) {
		if m.chance("bound") {
			workspaces = append(workspaces, w)
		}
	}
	scheduling := Scheduling{Evicted: rapid.IntRange(0, 4).Draw(m.t, "evicted") == 0}
	t := m.targets[n]
	switch change := rapid.IntRange(0, 3).Draw(m.t, "change"); {
	case t == nil, change == 0:
		m.addTarget(n, workspaces, scheduling)
	case change == 1:
		delete(m.targets, n)
		m.step(SyncTargetRemoved{n})
	default:
		t.added.Target.Workspaces, t.added.Scheduling = workspaces, scheduling
		m.step(SyncTargetChanged{t.added.Target, scheduling})
	}
}

func (m *machine) syncTargetLists() {
	_, n := m.held(pick(m, "SyncTarget", machineTargets))
	m.relist(n, rapid.IntRange(0, 3).Draw(m.t, "confirmed") > 0)
}

func (m *machine) freshness() {
	t, n := m.held(pick(m, "SyncTarget", machineTargets))
	t.stale = !t.stale
	m.step(FreshnessChanged{Target: n, Stale: t.stale, Since: m.now})
}

func (m *machine) scopeLeaves() {
	scope := pick(m, "scope", machineScopes)
	m.streams[scope], m.known[scope] = nil, false
	m.describe = slices.DeleteFunc(m.describe, func(s ref.Workspace) bool { return s == scope })
	m.step(ScopeLeft{scope})
}

// workspaceMoves moves a workspace to the other scope, where its objects get new versions. The watches of both have shown earlier moves.
func (m *machine) workspaceMoves() {
	for _, scope := range machineScopes {
		for len(m.streams[scope]) > 0 {
			m.deliverWatch(scope)
		}
	}
	w := pick(m, "workspace", machineWorkspaces)
	from := m.scopeOf[w]
	m.streams[from] = append(m.streams[from], WorkspaceLeft{Scope: from, Workspace: w, Version: m.next()})
	m.scopeOf[w] = machineScopes[1-slices.Index(machineScopes, from)]
	for _, u := range slices.SortedFunc(maps.Keys(m.server), byName) {
		if u.Workspace == w {
			o := *m.server[u]
			o.ResourceVersion = m.next()
			m.server[u] = &o
			m.changed(u)
		}
	}
}

func (m *machine) workspaceEnds() {
	w := pick(m, "workspace", machineWorkspaces)
	maps.DeleteFunc(m.server, func(u ref.Upstream, _ *ref.Object) bool { return u.Workspace == w })
	scope := m.scopeOf[w]
	m.streams[scope] = append(m.streams[scope], WorkspaceLeft{Scope: scope, Workspace: w, Version: m.next()})
}

func (m *machine) described() {
	i := m.some("scope", len(m.describe))
	scope := m.describe[i]
	m.describe = slices.Delete(m.describe, i, i+1)
	e := ScopeDescribed{Scope: scope, HasStatus: rapid.IntRange(0, 4).Draw(m.t, "status") > 0}
	if rapid.IntRange(0, 4).Draw(m.t, "failed") == 0 {
		e.Err = errors.New("connection refused")
	}
	m.step(e)
}

func (m *machine) watch() {
	scope := pick(m, "scope", machineScopes)
	if len(m.streams[scope]) == 0 {
		m.t.Skip("nothing happened")
	}
	m.deliverWatch(scope)
}

func (m *machine) send() {
	all := slices.SortedFunc(maps.Keys(m.queue), byName)
	u := all[m.some("write", len(all))]
	if _, busy := m.flight[u]; busy {
		m.t.Skip("one at a time")
	}
	m.flight[u] = m.queue[u]
	delete(m.queue, u)
	m.writes++
}

func (m *machine) serverAnswers() {
	all := slices.SortedFunc(maps.Keys(m.flight), byName)
	u := all[m.some("write", len(all))]
	class := Refusal("")
	if m.chance("refused") {
		class = pick(m, "class", []Refusal{OutcomeUnknown, NotServed, Forbidden, TooLarge, Invalid, OutcomeUnknown})
		if class == OutcomeUnknown && m.chance("took place") {
			_, _ = m.patch(m.flight[u])
		}
	}
	m.answer(u, class)
}

func (m *machine) read() {
	i := m.some("read", len(m.fetches))
	if m.chance("failed") {
		m.fetched(i, errors.New("connection refused"))
		return
	}
	m.fetched(i, nil)
}

func (m *machine) timePasses() {
	d := pick(m, "time", []time.Duration{10 * time.Millisecond, 200 * time.Millisecond, time.Second, 10 * time.Second, 3 * time.Minute, 2 * time.Hour})
	m.passTo(m.now.Add(d))
}

func (m *machine) passTo(until time.Time) {
	for !m.wake.IsZero() && !m.wake.After(until) {
		if m.wake.After(m.now) {
			m.now = m.wake
		}
		m.wake = time.Time{}
		m.step(TimePassed{})
	}
	m.now = until
}

func (m *machine) policyChanges() {
	before := Want(m.policies[m.policy])
	m.policy = rapid.IntRange(0, len(m.policies)-1).Draw(m.t, "policy")
	p := m.policies[m.policy]
	reread := len(Want(p).Labels) != len(before.Labels) || Want(p).Labels[0] != before.Labels[0]
	m.step(PolicyChanged{Policy: p, Reread: reread})
	if !reread {
		return
	}
	for scope := range m.known { // the watch is opened anew: events of the old one do not come
		m.streams[scope] = nil
	}
	m.known = map[ref.Workspace]bool{}
}

func (m *machine) writerRestarts() {
	m.queue, m.flight = map[ref.Upstream]Write{}, map[ref.Upstream]Write{}
	m.answers = slices.DeleteFunc(m.answers, func(e Event) bool {
		_, acknowledged := e.(Acknowledged)
		_, refused := e.(Refused)
		return acknowledged || refused
	})
	m.step(WriterRestarted{})
}

// ---- the end

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
func (m *machine) deliverAll() (any bool) {
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
		any = any || more
	}
	return any
}

// arrive delivers all events that are on their way, and reports whether there was any.
func (m *machine) arrive() (any bool) {
	for more := true; more; any = any || more {
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
			m.step(ScopeDescribed{Scope: scope, HasStatus: true})
			more = true
		}
	}
	return any
}

// check compares the published statuses with the result of the policy on the facts of the world.
func (m *machine) check() {
	for _, u := range slices.SortedFunc(maps.Keys(m.server), byName) {
		o := m.server[u]
		in, certain := m.input(o)
		if !certain {
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
		case len(copies) == 1 && copies[0].value == nil:
			held++
			source.State = aggregate.NoStatus
		case len(copies) == 1:
			held++
			source.State, source.Contribution = aggregate.Reporting, copies[0].value
			source.CaughtUp = copies[0].value.UpstreamGeneration == 0 || copies[0].value.UpstreamGeneration >= o.Generation
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
