package growth

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

const (
	part  = 64    // objects in one message of a list
	scope = "all" // the one scope
	quiet = 200 * time.Millisecond
)

// world is a State in virtual time, with the effects that a case needs.
type world struct {
	state    *reconcile.State
	policy   *policy.Policy
	deciding bool // else each decision is to wait: the set-up of many objects decides on nothing
	now      time.Time
	epoch    uint64
	wake     time.Time         // when the timer fires
	writes   []reconcile.Write // since they were cleared
	cancels  int
	steps    []time.Duration // CPU time of each Step since they were cleared, if timed
	timed    bool
}

func newWorld() (*world, error) {
	policies, err := policy.Builtin()
	if err != nil {
		return nil, err
	}
	w := &world{policy: policies.For(deployments), deciding: true, now: time.Unix(1_700_000_000, 0), epoch: 1}
	w.state = reconcile.New(reconcile.Config{Policy: w.policy, Quiet: quiet, Deadline: time.Minute, Incarnation: 1, Decide: w.decide})
	return w, nil
}

func (w *world) decide(p *policy.Policy, in aggregate.Input) aggregate.Decision {
	if !w.deciding {
		return aggregate.Decision{Reason: aggregate.ReasonWaiting}
	}
	return aggregate.Decide(p, in)
}

// take takes an event, and all Steps that it leads to.
func (w *world) take(e reconcile.Event) {
	for e != nil {
		effects := w.step(e)
		e = nil
		for _, effect := range effects {
			switch f := effect.(type) {
			case reconcile.Write:
				w.writes = append(w.writes, f)
			case reconcile.Cancel:
				w.cancels++
			case reconcile.Wake:
				w.wake = f.At
			case reconcile.Continue:
				e = f
			}
		}
	}
}

func (w *world) step(e reconcile.Event) []reconcile.Effect {
	if !w.timed {
		return w.state.Step(w.now, e)
	}
	from := cpu(unix.CLOCK_THREAD_CPUTIME_ID)
	effects := w.state.Step(w.now, e)
	w.steps = append(w.steps, cpu(unix.CLOCK_THREAD_CPUTIME_ID)-from)
	return effects
}

// target adds a SyncTarget that is bound to workspaces.
func (w *world) target(n int, workspaces ...ref.Workspace) locator.Target {
	t := locator.Target{Name: ref.SyncTarget(fmt.Sprintf("target-%03d", n)), Cluster: "root", Workspaces: workspaces}
	w.take(reconcile.SyncTargetAdded{Target: t, FromEpoch: w.epoch})
	return t
}

// upstream lists n objects.
func (w *world) upstream(n int, object func(int) *ref.Object) {
	for from := 0; from < n; from += part {
		e := reconcile.UpstreamListed{Scope: scope, Version: "1", First: from == 0, Last: from+part >= n}
		for i := from; i < min(from+part, n); i++ {
			e.Objects = append(e.Objects, object(i))
		}
		w.take(e)
	}
	w.take(reconcile.ScopeDescribed{Scope: scope, Description: ref.Description{Typed: true, HasStatus: true}})
}

func object(u ref.Upstream) *ref.Object {
	return &ref.Object{Workspace: u.Workspace, Namespace: u.Namespace, Name: u.Name, UID: "u", ResourceVersion: "1", Generation: 1}
}

// share is what one SyncTarget holds.
type share struct {
	target ref.SyncTarget
	parts  [][]reconcile.Copy
	values []*aggregate.Contribution
}

func (s *share) add(u ref.Upstream, ready int64) {
	if last := len(s.parts) - 1; last < 0 || len(s.parts[last]) == part {
		s.parts = append(s.parts, make([]reconcile.Copy, 0, part))
	}
	last := &s.parts[len(s.parts)-1]
	*last = append(*last, reconcile.Copy{Source: ref.Downstream{Namespace: "kcp-" + string(u.Workspace), Name: u.Name}, Upstream: u})
	s.values = append(s.values, contribution(ready))
}

func contribution(ready int64) *aggregate.Contribution {
	return &aggregate.Contribution{Generation: 1, Time: time.Unix(1_600_000_000, 0), Status: map[string]any{
		"replicas": int64(3), "readyReplicas": ready, "availableReplicas": ready, "observedGeneration": int64(1),
		"conditions": []any{map[string]any{
			"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "lastTransitionTime": "2026-01-01T00:00:00Z",
		}},
	}}
}

// list takes a complete list of a SyncTarget: each copy reports, as it did before, or for the first time.
func (w *world) list(s *share) {
	w.epoch++
	for i, copies := range s.parts {
		for j, c := range copies {
			w.take(reconcile.Reported{
				Target: s.target, Source: c.Source, Upstream: c.Upstream, Contribution: s.values[i*part+j],
				At: ref.Position{Epoch: w.epoch, UID: "copy", ResourceVersion: "1"},
			})
		}
		w.take(reconcile.CopiesListed{Target: s.target, Epoch: w.epoch, Copies: copies, Last: i == len(s.parts)-1})
	}
	w.take(reconcile.ListConfirmed{Target: s.target, Epoch: w.epoch})
}
