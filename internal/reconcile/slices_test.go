package reconcile

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// many is a State with many published objects, each with a copy in two SyncTargets.
type many struct {
	t       *testing.T
	state   *State
	now     time.Time
	wake    time.Time
	decided int // in this Step
	writes  map[ref.Upstream]Write
	version int
	objects int
}

func newMany(t *testing.T, objects int) *many {
	t.Helper()
	m := &many{t: t, now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), writes: map[ref.Upstream]Write{}, objects: objects}
	policies := machinePolicies(t)
	m.state = New(Config{
		Policy: policies[1], Quiet: 200 * time.Millisecond, Deadline: time.Minute, Incarnation: 1,
		Decide: func(_ *policy.Policy, in aggregate.Input) aggregate.Decision { // a sum
			m.decided++
			ready := int64(0)
			for _, source := range in.Sources {
				if source.Contribution != nil && !source.Stale {
					ready += source.Contribution.Status["readyReplicas"].(int64)
				}
			}
			return aggregate.Decision{Reason: aggregate.ReasonMerged, Publish: true, Status: map[string]any{"readyReplicas": ready}}
		},
	})
	for i, n := range []ref.SyncTarget{"east", "west"} {
		m.step(SyncTargetAdded{Target: locator.Target{Name: n, Workspaces: []ref.Workspace{locator.All}}, FromEpoch: uint64(i + 1)})
	}
	for i := 0; i < objects; i += slice {
		e := UpstreamListed{Scope: "all", Version: "1", First: i == 0, Last: i+slice >= objects}
		for j := i; j < min(i+slice, objects); j++ {
			u := m.name(j)
			e.Objects = append(e.Objects, &ref.Object{Workspace: u.Workspace, Namespace: u.Namespace, Name: u.Name, UID: "u", ResourceVersion: m.next(), Generation: 1})
		}
		m.step(e)
	}
	m.step(ScopeDescribed{Scope: "all", Description: ref.Description{HasStatus: true}})
	for i, n := range []ref.SyncTarget{"east", "west"} {
		epoch := uint64(10 + i)
		for j := range objects {
			m.report(n, j, epoch, 1)
		}
		m.step(CopiesListed{Target: n, Epoch: epoch, Last: true})
		m.step(ListConfirmed{Target: n, Epoch: epoch})
	}
	m.acknowledgeAll()
	m.pass(time.Hour)
	return m
}

// name spreads the objects over workspaces of very different sizes.
func (m *many) name(i int) ref.Upstream {
	w := ref.Workspace("large")
	if i%2 == 0 {
		w = ref.Workspace(fmt.Sprintf("w%d", i%1000))
	}
	return ref.Upstream{Workspace: w, Namespace: "default", Name: strconv.Itoa(i)}
}

func (m *many) next() string { m.version++; return strconv.Itoa(m.version) }

func (m *many) report(n ref.SyncTarget, i int, epoch uint64, ready int64) {
	u := m.name(i)
	m.step(Reported{Target: n, Source: sourceOf(u), Upstream: u, At: ref.Position{Epoch: epoch, UID: "copy", ResourceVersion: m.next()},
		Contribution: &aggregate.Contribution{Generation: 1, Time: m.now, Status: map[string]any{"readyReplicas": ready}}})
}

// step takes an event, and all Steps that it leads to. None of them decides on more objects than a slice holds.
func (m *many) step(e Event) (steps int) {
	m.t.Helper()
	for again := true; again; steps++ {
		again, m.decided = false, 0
		effects := m.state.Step(m.now, e)
		for _, effect := range effects {
			switch f := effect.(type) {
			case Write:
				m.writes[f.Upstream] = f
			case Cancel:
				delete(m.writes, f.Upstream)
			case Wake:
				m.wake = f.At
			case Continue:
				again = true
			}
		}
		if m.decided > slice || len(effects) > 5*slice {
			m.t.Fatalf("%T: a Step decided on %d objects and had %d effects", e, m.decided, len(effects))
		}
		e = Continue{}
	}
	return steps
}

func (m *many) pass(d time.Duration) (steps int) {
	m.t.Helper()
	for until := m.now.Add(d); ; {
		if m.wake.IsZero() || m.wake.After(until) {
			m.now = until
			return steps
		}
		if m.wake.After(m.now) {
			m.now = m.wake
		}
		m.wake = time.Time{}
		steps += m.step(TimePassed{})
	}
}

func (m *many) acknowledgeAll() {
	for u, w := range m.writes {
		o := &ref.Object{Workspace: u.Workspace, Namespace: u.Namespace, Name: u.Name, UID: "u", ResourceVersion: m.next(), Generation: 1}
		o.Status = w.Body[bytes.Index(w.Body, []byte(`{"readyReplicas"`)) : len(w.Body)-1]
		delete(m.writes, u)
		m.step(Acknowledged{Upstream: u, Token: w.Token, Object: o})
	}
}

// TestLongWorkGoesOnInSlices gives events that concern 10,000 objects. Each is worked off in many short Steps.
func TestLongWorkGoesOnInSlices(t *testing.T) {
	const objects = 10_000
	all := []ref.Workspace{locator.All}
	m := newMany(t, objects)
	for _, event := range []struct {
		name string
		take func() int // the Steps that it took
		half bool       // it concerns half of the objects
	}{
		{"stale", func() int { return m.step(FreshnessChanged{Target: "west", Stale: true, Since: m.now}) }, false},
		{"fresh", func() int { return m.step(FreshnessChanged{Target: "west"}) }, false},
		{"quiet windows end", func() int { m.changeTwice(2); return m.pass(time.Second) }, false},
		{"writer restarted", func() int { return m.step(WriterRestarted{}) }, false},
		{"park ends", func() int { return m.parked() }, true},
		{"flush", func() int { m.acknowledgeAll(); m.pass(time.Second); m.changeTwice(5); return m.step(Flush{}) }, false},
		{"policy changed", func() int { return m.step(PolicyChanged{Policy: machinePolicies(t)[0]}) }, false},
		{"evicted", func() int {
			return m.step(SyncTargetChanged{Target: locator.Target{Name: "west", Workspaces: all}, Scheduling: Scheduling{Evicted: true}})
		}, false},
		{"copies vanished", func() int {
			return m.step(CopiesListed{Target: "west", Epoch: 100, Last: true}) + m.step(ListConfirmed{Target: "west", Epoch: 100})
		}, false},
		{"superseded", func() int {
			return m.step(SyncTargetAdded{Target: locator.Target{Name: "east", Workspaces: all}, FromEpoch: 200})
		}, false},
		{"workspace left", func() int { return m.step(WorkspaceLeft{Scope: "all", Workspace: "large", Version: m.next()}) }, true},
		{"objects vanished", func() int { return m.step(UpstreamListed{Scope: "all", Version: m.next(), First: true, Last: true}) }, true},
	} {
		if steps := event.take(); steps < objects/slice/2 || !event.half && steps < objects/slice {
			t.Errorf("%s: %d Steps for %d objects", event.name, steps, objects)
		}
		if err := checkIndexes(m.state); err != nil {
			t.Errorf("%s: %v", event.name, err)
		}
	}
	if len(m.state.objects) > 0 {
		t.Errorf("%d objects are left", len(m.state.objects))
	}

	m = newMany(t, objects)
	if steps := m.step(SyncTargetRemoved{"west"}); steps < objects/slice {
		t.Errorf("removed: %d Steps", steps)
	}
	if steps := m.step(ScopeLeft{"all"}); steps < objects/slice {
		t.Errorf("scope left: %d Steps", steps)
	}
	if err := checkIndexes(m.state); err != nil {
		t.Error(err)
	}
}

// changeTwice changes a copy of each object, and its other copy within the quiet window.
func (m *many) changeTwice(ready int64) {
	for i := range m.objects {
		m.report("east", i, 10, ready)
	}
	for i := range m.objects {
		m.report("west", i, 11, ready)
	}
}

// parked has the resource refused in the large workspace, all its objects changed meanwhile, and a probe show that it is served again.
func (m *many) parked() (steps int) {
	m.acknowledgeAll()
	m.pass(time.Second)
	m.report("east", 1, 10, 3)
	u := m.name(1)
	m.step(Refused{Upstream: u, Token: m.writes[u].Token, Class: NotServed, Err: errors.New("not served")})
	for i := range m.objects {
		m.report("west", i, 11, 4)
	}
	m.pass(10 * time.Second)
	before := len(m.writes)
	for u, w := range m.writes {
		if u.Workspace == "large" {
			delete(m.writes, u)
			steps += m.step(Refused{Upstream: u, Token: w.Token, Class: Conflict, Err: errors.New("modified")})
			break
		}
	}
	if after := len(m.writes); after < before+m.objects/2-2 {
		m.t.Errorf("%d writes after the park, %d before", after, before)
	}
	return steps
}
