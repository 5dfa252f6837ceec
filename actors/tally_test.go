package actors

import (
	"testing"

	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

func TestTally(t *testing.T) {
	type step struct {
		epoch           uint64
		resent          bool
		vanished, known int // in each of four buckets
		want            verdict
	}
	for name, steps := range map[string][]step{
		"nothing vanished":                         {{1, false, 0, 10, confirmed}},
		"half of the copies":                       {{1, false, 10, 20, confirmed}},
		"few":                                      {{1, false, 5, 5, confirmed}},
		"most, over all buckets: a second list":    {{1, false, 6, 10, doubtful}, {2, false, 6, 10, confirmed}},
		"the second list has them":                 {{1, false, 6, 10, doubtful}, {2, false, 0, 10, confirmed}, {3, false, 6, 10, doubtful}},
		"an inventory that is sent again is none":  {{1, false, 6, 10, doubtful}, {2, true, 6, 10, undecided}, {3, false, 6, 10, confirmed}},
		"an inventory alone":                       {{1, true, 6, 10, doubtful}, {2, false, 6, 10, confirmed}},
		"the doubt ends with a list that has them": {{1, false, 6, 10, doubtful}, {2, true, 0, 10, confirmed}, {3, false, 6, 10, doubtful}},
	} {
		t.Run(name, func(t *testing.T) {
			ts := tallies{}
			for _, s := range steps {
				ts.listed(Listed{CopiesListed: reconcile.CopiesListed{Target: "east", Epoch: s.epoch}, Resent: s.resent})
				ts.listed(Listed{CopiesListed: reconcile.CopiesListed{Target: "east", Epoch: s.epoch, Last: true}, Resent: s.resent})
				for bucket := range 4 {
					_, got := ts.counted(reconcile.Tallied{Target: "east", Epoch: s.epoch, Vanished: s.vanished, Known: s.known}, 4)
					want := undecided
					if bucket == 3 {
						want = s.want
					}
					if got != want {
						t.Errorf("epoch %d, bucket %d: verdict %v, want %v", s.epoch, bucket, got, want)
					}
				}
				if _, got := ts.counted(reconcile.Tallied{Target: "east", Epoch: s.epoch - 1}, 4); got != undecided {
					t.Errorf("a count of an older list leads to %v", got)
				}
			}
			if last := steps[len(steps)-1]; last.want == confirmed && len(ts) != 0 {
				t.Errorf("%d tallies are left", len(ts))
			}
		})
	}
}

func TestReadiness(t *testing.T) {
	announce := func(scopes ...ref.Workspace) func(*readiness) { return func(r *readiness) { r.announce(scopes) } }
	ready := func(scope ref.Workspace, buckets ...int) func(*readiness) {
		return func(r *readiness) {
			for _, b := range buckets {
				r.ready(scope, b)
			}
		}
	}
	for name, c := range map[string]struct {
		steps    []func(*readiness)
		complete int // after which step it is; -1: never
	}{
		"nothing":                        {nil, -1},
		"one of two buckets":             {[]func(*readiness){announce("a"), ready("a", 0, 0, 0)}, -1},
		"all buckets":                    {[]func(*readiness){announce("a"), ready("a", 0), ready("a", 1)}, 2},
		"one of two scopes":              {[]func(*readiness){announce("a", "b"), ready("a", 0, 1)}, -1},
		"two scopes":                     {[]func(*readiness){announce("a", "b"), ready("a", 0, 1), ready("b", 1, 0)}, 2},
		"no scopes":                      {[]func(*readiness){announce()}, 0},
		"announces nothing":              {[]func(*readiness){ready("a", 0), ready("a", 1)}, 1},
		"ready before it is announced":   {[]func(*readiness){ready("a", 0), announce("a", "b"), ready("a", 1), ready("b", 0, 1)}, 3},
		"a scope leaves":                 {[]func(*readiness){announce("a", "b"), ready("a", 0, 1), func(r *readiness) { r.left("b") }}, 2},
		"a late report of one that left": {[]func(*readiness){announce("a", "b"), ready("a", 0, 1), announce("a", "c"), ready("b", 0, 1)}, -1},
		"a bucket restarts":              {[]func(*readiness){announce("a"), ready("a", 0), func(r *readiness) { r.restarted(0) }, ready("a", 1), ready("a", 0)}, 4},
		"only once":                      {[]func(*readiness){announce("a"), ready("a", 0, 1), announce("b"), ready("b", 0, 1)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReadiness(2)
			got := -1
			for i, step := range c.steps {
				step(&r)
				if r.complete() {
					if got >= 0 {
						t.Errorf("complete again after step %d", i)
					}
					got = i
				}
			}
			if got != c.complete {
				t.Errorf("complete after step %d, want %d", got, c.complete)
			}
			if got >= 0 && len(r.scopes) != 0 {
				t.Errorf("%d scopes are remembered", len(r.scopes))
			}
		})
	}
}
