package reconcile

import (
	"errors"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/ref"
)

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
	c.evidence = &evidence.Object{UID: "unknown", Generation: int64(rapid.IntRange(0, 2).Draw(m.t, "of"))}
	if o := m.server[u]; o != nil && !m.chance("earlier") {
		c.evidence.UID = o.UID
	}
	if rapid.IntRange(0, 7).Draw(m.t, "status") > 0 {
		c.value = &aggregate.Contribution{
			Generation: 1, Time: m.now,
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
	e := ScopeDescribed{Scope: scope, Description: ref.Description{HasStatus: rapid.IntRange(0, 4).Draw(m.t, "status") > 0}}
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
