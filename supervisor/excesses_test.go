package supervisor

import (
	"testing"
	"time"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/ref"
)

func TestExcessesEndAGraceAfterTheyWereMended(t *testing.T) {
	pods, jobs := ref.Resource{Version: "v1", Resource: "pods"}, ref.Resource{Group: "batch", Version: "v1", Resource: "jobs"}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	x := excesses{}
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	over := func(r ref.Resource, l ref.Limit) actors.Quarantined {
		return actors.Quarantined{Resource: r, Over: &ref.OverLimit{Limit: l}}
	}
	for _, step := range []struct {
		at       int
		observed actors.Quarantined
		changed  bool
		pods     ref.Limit // after it, as of that time
		jobs     ref.Limit
	}{
		{0, actors.Quarantined{Resource: pods}, false, "", ""},
		{1, over(pods, ref.LimitObjects), true, ref.LimitObjects, ""},
		{2, over(pods, ref.LimitObjects), false, ref.LimitObjects, ""},
		{3, over(pods, ref.LimitKept), true, ref.LimitKept, ""},
		{10, actors.Quarantined{Resource: pods}, false, ref.LimitKept, ""},
		{20, actors.Quarantined{Resource: pods}, false, ref.LimitKept, ""}, // the grace goes on
		{49, over(ref.Resource{}, ref.LimitPages), true, ref.LimitPages, ref.LimitPages},
		{50, actors.Quarantined{Resource: jobs}, false, ref.LimitPages, ref.LimitPages},
		{51, actors.Quarantined{}, false, ref.LimitPages, ref.LimitPages},
		{60, over(ref.Resource{}, ref.LimitPages), false, ref.LimitPages, ref.LimitPages}, // the grace begins anew
		{92, actors.Quarantined{}, false, ref.LimitPages, ref.LimitPages},
		{131, actors.Quarantined{Resource: jobs}, false, ref.LimitPages, ref.LimitPages},
		{132, actors.Quarantined{Resource: jobs}, false, "", ""},
	} {
		if changed := x.observe(at(step.at), step.observed); changed != step.changed {
			t.Errorf("after %d s: changed %v, want %v", step.at, changed, step.changed)
		}
		x.forgive(at(step.at), 40*time.Second)
		for r, want := range map[ref.Resource]ref.Limit{pods: step.pods, jobs: step.jobs} {
			got := ref.Limit("")
			if e := x.of(r); e != nil {
				got = e.limit
			}
			if got != want {
				t.Errorf("after %d s: %s is over %q, want %q", step.at, r.Resource, got, want)
			}
		}
	}
}
