package growth

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// parks is the end of one workspace's park. Ten States of few workspaces take turns: one of them would fit into the CPU's caches, while the
// parked workspaces of a daemon do not.
func parks(workspaces int) (step func(), err error) {
	ends := make([]func(), max(1, min(10, 10_000/workspaces)))
	for i := range ends {
		if ends[i], err = parked(workspaces); err != nil {
			return nil, err
		}
	}
	n := 0
	return func() {
		n++
		ends[n%len(ends)]()
	}, nil
}

// parked is a State of parked workspaces. A step is the end of one park, and the next park after its probe was refused.
func parked(workspaces int) (step func(), err error) {
	w, err := newWorld()
	if err != nil {
		return nil, err
	}
	names := make([]ref.Upstream, 2*workspaces)
	s := &share{target: w.target(0, locator.All).Name}
	for i := range names {
		names[i] = web(ref.Workspace("ws-"+strconv.Itoa(i/2)), i)
		s.add(names[i], 3)
	}
	w.list(s)
	w.upstream(len(names), func(i int) *ref.Object { return object(names[i]) })
	refuse := func(write reconcile.Write) {
		w.take(reconcile.Refused{Upstream: write.Upstream, Token: write.Token, Class: reconcile.NotServed, Err: errors.New("not served")})
	}
	refused := map[ref.Workspace]bool{}
	for _, write := range slices.Clone(w.writes) {
		if !refused[write.Upstream.Workspace] {
			refused[write.Upstream.Workspace] = true
			w.now = w.now.Add(time.Millisecond / 2)
			refuse(write)
		}
	}
	end := func() (writes int) {
		for w.writes = w.writes[:0]; len(w.writes) == 0; { // the SyncTarget's deadline passes as well, once
			w.now = w.wake
			w.take(reconcile.TimePassed{})
		}
		for _, write := range w.writes {
			refuse(write)
		}
		return len(w.writes)
	}
	for range workspaces {
		if writes := end(); writes != 1 {
			return nil, fmt.Errorf("%d writes at the end of a park", writes)
		}
	}
	return func() { end() }, nil
}

// decide is a decision on an object with three copies in a workspace that many SyncTargets are bound to.
func decide(bound int) (step func(), err error) {
	w, err := newWorld()
	if err != nil {
		return nil, err
	}
	u := web(open, 0)
	var holders []*share
	for i := range bound {
		s := &share{target: w.target(i, open).Name}
		if i%max(1, bound/3) == 0 && len(holders) < 3 {
			s.add(u, 3)
			holders = append(holders, s)
		}
		w.epoch++
		if len(s.values) == 0 {
			w.take(reconcile.CopiesListed{Target: s.target, Epoch: w.epoch, Last: true})
			w.take(reconcile.ListConfirmed{Target: s.target, Epoch: w.epoch})
			continue
		}
		w.list(s)
	}
	w.upstream(1, func(int) *ref.Object { return object(u) })
	values := [...]*aggregate.Contribution{contribution(2), contribution(3)}
	n := 0
	report := func() {
		w.writes = w.writes[:0]
		w.now = w.now.Add(time.Second)
		s := holders[n%len(holders)]
		w.take(reconcile.Reported{
			Target: s.target, Source: s.parts[0][0].Source, Upstream: u, Contribution: values[n/len(holders)%2],
			At: ref.Position{Epoch: w.epoch, UID: "copy", ResourceVersion: strconv.Itoa(n)},
		})
		n++
	}
	for range 2 * len(holders) {
		if report(); len(w.writes) != 1 {
			return nil, fmt.Errorf("%d writes after a report", len(w.writes))
		}
	}
	return report, nil
}
