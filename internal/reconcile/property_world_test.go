package reconcile

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"pgregory.net/rapid"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// machine is a State in a world of SyncTargets, an API server, a writer and watches that lag. Events arrive in any order that
// the actors allow: in order for one copy, one scope and one object's writes; in any order between them.
type machine struct {
	t     *rapid.T
	state *State
	born  uint64
	now   time.Time
	wake  time.Time

	policies []*policy.Policy
	policy   int
	panics   map[string]bool
	panicked bool // a decision panicked in this run
	drops    bool // the API server does not keep readyReplicas
	version  int
	epoch    uint64

	targets map[ref.SyncTarget]*syncTarget
	server  map[ref.Upstream]*ref.Object
	scopeOf map[ref.Workspace]ref.Workspace

	streams  map[ref.Workspace][]Event // of watches of scopes, in order
	known    map[ref.Workspace]bool    // scopes that were listed since the State began
	reports  []Event                   // of copies; in order for one copy
	describe []ref.Workspace
	fetches  []Fetch
	queue    map[ref.Upstream]Write
	flight   map[ref.Upstream]Write
	answers  []Event // of the writer
	writes   int
}

// syncTarget is one SyncTarget and the copies that it holds.
type syncTarget struct {
	added     SyncTargetAdded
	stale     bool
	listed    uint64 // epoch of its newest list
	confirmed bool   // a list was confirmed
	copies    map[ref.Downstream]*downstreamCopy
}

type downstreamCopy struct {
	upstream ref.Upstream
	uid      int
	value    *aggregate.Contribution
	evidence *evidence.Object
	version  string
}

var (
	machineTargets    = []ref.SyncTarget{"east", "north", "west"}
	machineWorkspaces = []ref.Workspace{"team-a", "team-b"}
	machineNames      = []string{"api", "web"}
	machineScopes     = []ref.Workspace{"shard-1", "shard-2"}
)

func newMachine(t *rapid.T, policies []*policy.Policy) *machine {
	m := &machine{
		t: t, now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), policies: policies, panics: map[string]bool{}, version: 100,
		targets: map[ref.SyncTarget]*syncTarget{}, server: map[ref.Upstream]*ref.Object{},
		scopeOf: map[ref.Workspace]ref.Workspace{"team-a": "shard-1", "team-b": "shard-2"},
	}
	m.begin()
	return m
}

// begin begins a State, as after a restart of its actor: it knows the SyncTargets, and asks for lists.
func (m *machine) begin() {
	m.born++
	m.state = New(Config{
		Policy: m.policies[m.policy], Quiet: 200 * time.Millisecond, Deadline: time.Minute, Incarnation: m.born,
		Decide: func(p *policy.Policy, in aggregate.Input) aggregate.Decision {
			if m.panics[in.Name] {
				m.panicked = true
				panic("a rule of the policy fails")
			}
			return aggregate.Decide(p, in)
		},
	})
	m.wake, m.streams, m.known, m.describe = time.Time{}, map[ref.Workspace][]Event{}, map[ref.Workspace]bool{}, nil
	m.queue = map[ref.Upstream]Write{} // the writer drops those of the State before
	if m.flight == nil {
		m.flight = map[ref.Upstream]Write{}
	}
	for _, n := range slices.Sorted(maps.Keys(m.targets)) {
		m.targets[n].confirmed = false
		m.step(m.targets[n].added)
		if m.targets[n].stale {
			m.step(FreshnessChanged{Target: n, Stale: true, Since: m.now})
		}
	}
}

// step gives an event to the State. Long work goes on in Steps of its own, with others between: see more.
func (m *machine) step(e Event) {
	for _, effect := range slices.Clone(m.state.Step(m.now, e)) {
		m.perform(effect)
	}
	if err := checkIndexes(m.state); err != nil {
		m.t.Fatalf("after %T: %v", e, err)
	}
}

func (m *machine) perform(effect Effect) {
	switch e := effect.(type) {
	case Write:
		m.queue[e.Upstream] = e
		if m.server[e.Upstream] != nil && e.Version == "" {
			m.t.Fatalf("a write of %s without a resourceVersion", e.Upstream)
		}
	case Cancel:
		delete(m.queue, e.Upstream)
	case Fetch:
		m.fetches = append(m.fetches, e)
	case Describe:
		m.describe = append(m.describe, e.Scope)
	case Wake:
		m.wake = e.At
	case Continue:
		m.answers = append(m.answers, e) // among the other messages
	}
}

func (m *machine) next() string { m.version++; return strconv.Itoa(m.version) }

// ---- the API server

// changed has the watch of an object's scope show it, some time.
func (m *machine) changed(u ref.Upstream) {
	scope := m.scopeOf[u.Workspace]
	if m.known[scope] {
		m.streams[scope] = append(m.streams[scope], UpstreamObserved{Scope: scope, Object: m.server[u]})
	}
}

func (m *machine) deleted(o *ref.Object) {
	last := *o
	last.ResourceVersion = m.next()
	delete(m.server, nameOf(o))
	if scope := m.scopeOf[o.Workspace]; m.known[scope] {
		m.streams[scope] = append(m.streams[scope], UpstreamGone{Scope: scope, Object: &last})
	}
}

// list lists a scope in two parts. Changes that its watch has not shown yet are in the list.
func (m *machine) list(scope ref.Workspace) {
	m.streams[scope], m.known[scope] = nil, true
	var all []*ref.Object
	for _, u := range slices.SortedFunc(maps.Keys(m.server), byName) {
		if m.scopeOf[u.Workspace] == scope {
			all = append(all, m.server[u])
		}
	}
	half := len(all) / 2
	version := m.next()
	m.step(UpstreamListed{Scope: scope, Version: version, Objects: all[:half], First: true})
	m.step(UpstreamListed{Scope: scope, Version: version, Objects: all[half:], Last: true})
}

// patch applies a write as the API server does.
func (m *machine) patch(w Write) (*ref.Object, Refusal) {
	o := m.server[w.Upstream]
	switch {
	case o == nil:
		return nil, Gone
	case o.ResourceVersion != w.Version:
		return nil, Conflict
	}
	var body struct{ Status map[string]any }
	if err := json.Unmarshal(w.Body, &body); err != nil {
		m.t.Fatal(err)
	}
	return m.put(o, ref.FieldManager, patch.Apply(statusOf(o), body.Status)), ""
}

func statusOf(o *ref.Object) map[string]any {
	var status map[string]any
	if len(o.Status) > 0 {
		if err := json.Unmarshal(o.Status, &status); err != nil {
			panic(err)
		}
	}
	return status
}

// put stores a status. A manager owns the fields that it changed last.
func (m *machine) put(o *ref.Object, manager string, status map[string]any) *ref.Object {
	if m.drops {
		delete(status, "readyReplicas")
	}
	before := statusOf(o)
	if reflect.DeepEqual(before, status) {
		return o
	}
	owned := map[string]any{}
	for field, value := range status {
		changed := !reflect.DeepEqual(before[field], value)
		if changed && manager == ref.FieldManager || !changed && ours(o, field) {
			owned[field] = value
		}
	}
	next := *o
	next.Status, _ = json.Marshal(status)
	next.ResourceVersion = m.next()
	fields, _ := json.Marshal(map[string]any{"f:status": ownedFields(owned)})
	next.Managers = []ref.Manager{{Name: ref.FieldManager, Time: m.now, Fields: fields}}
	m.server[nameOf(o)] = &next
	m.changed(nameOf(o))
	return &next
}

func ours(o *ref.Object, field string) bool { return ownedBy(o).Field(field) }

func ownedBy(o *ref.Object) *patch.Owned {
	for _, manager := range o.Managers {
		if manager.Name == ref.FieldManager {
			owned, err := patch.ParseOwned(manager.Fields)
			if err != nil {
				panic(err)
			}
			return owned
		}
	}
	return nil
}

// answer answers the write in flight with a refusal, or as the server does; the writer drops the write that waits behind it.
func (m *machine) answer(u ref.Upstream, class Refusal) {
	w := m.flight[u]
	delete(m.flight, u)
	if m.queue[u].Token.incarnation == w.Token.incarnation {
		delete(m.queue, u)
	}
	if class == "" {
		var o *ref.Object
		if o, class = m.patch(w); class == "" {
			m.answers = append(m.answers, Acknowledged{Upstream: u, Token: w.Token, Object: o})
			return
		}
	}
	m.answers = append(m.answers, Refused{Upstream: u, Token: w.Token, Class: class, Err: errors.New(string(class))})
}

func (m *machine) fetched(i int, err error) {
	f := m.fetches[i]
	m.fetches = slices.Delete(m.fetches, i, i+1)
	o := m.server[f.Upstream]
	m.answers = append(m.answers, Fetched{Upstream: f.Upstream, Token: f.Token, Object: o, Gone: o == nil && err == nil, Err: err})
}

// deliver hands the next event of a kind to the State.
func (m *machine) deliverAnswer(i int) {
	e := m.answers[i]
	m.answers = slices.Delete(m.answers, i, i+1)
	m.step(e)
}

func (m *machine) deliverWatch(scope ref.Workspace) {
	e := m.streams[scope][0]
	m.streams[scope] = m.streams[scope][1:]
	m.step(e)
}

// deliverReport delivers the report at i, or an earlier one of the same copy.
func (m *machine) deliverReport(i int) {
	of := func(e Event) string {
		switch e := e.(type) {
		case Reported:
			return fmt.Sprint(e.Target, e.Source)
		case Withdrew:
			return fmt.Sprint(e.Target, e.Source)
		}
		return ""
	}
	source := of(m.reports[i])
	i = slices.IndexFunc(m.reports, func(e Event) bool { return of(e) == source })
	e := m.reports[i]
	m.reports = slices.Delete(m.reports, i, i+1)
	m.step(e)
}
