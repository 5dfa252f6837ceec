package aggregate_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/policytest"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// TestNoFalseClaims: under the default modes, no positive condition is True without a fresh True of every placed SyncTarget, no terminal one is
// without an end of a current copy in each, and the generation advances only if each has observed it.
func TestNoFalseClaims(t *testing.T) {
	builtin, err := policy.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	claims := 0
	check := func(t *rapid.T) {
		resource := rapid.SampledFrom([]ref.Resource{{Group: "ray.io", Resource: "rayclusters"}, {Group: "apps", Resource: "deployments"}, {Resource: "services"}}).Draw(t, "kind")
		c := &policytest.Case{Policy: builtin.For(resource)}
		for range rapid.IntRange(1, 3).Draw(t, "steps") {
			drawInput(t, &c.Input)
			heal(t, &c.Input)
			c.Input.Withdrawn, c.Input.Generation = false, c.Input.Generation+1
			before, _ := c.Input.Published["observedGeneration"].(int64)
			wasTrue := map[string]bool{}
			for _, kind := range []string{"Ready", "Synced", "Complete", "Failed"} {
				wasTrue[kind] = isTrue(c.Input.Published, kind)
			}
			r := policytest.Try(c)
			if !r.Decision.Publish {
				continue // the published status stays until more is known
			}
			every := func(holds func(s aggregate.Source) bool) bool {
				return len(c.Input.Sources) > 0 && !slices.ContainsFunc(c.Input.Sources, func(s aggregate.Source) bool { return s.Contribution == nil || !holds(s) })
			}
			for _, kind := range []string{"Ready", "Synced"} {
				if isTrue(r.Status, kind) {
					if claims++; !every(func(s aggregate.Source) bool { return !s.Stale && isTrue(s.Contribution.Status, kind) }) {
						t.Fatalf("%s is True without a fresh True of every SyncTarget: %v from %+v", kind, r.Status, c.Input.Sources)
					}
				}
			}
			for _, kind := range []string{"Complete", "Failed"} {
				if isTrue(r.Status, kind) && !wasTrue[kind] {
					ended := func(s aggregate.Source) bool {
						return s.CaughtUp && (isTrue(s.Contribution.Status, "Complete") || isTrue(s.Contribution.Status, "Failed"))
					}
					if claims++; !every(ended) {
						t.Fatalf("%s is True without an end of a current copy in every SyncTarget: %v from %+v", kind, r.Status, c.Input.Sources)
					}
				}
			}
			if n, _ := r.Status["observedGeneration"].(int64); n > before {
				if claims++; !every(func(s aggregate.Source) bool { return s.CaughtUp }) {
					t.Fatalf("the generation advanced without every SyncTarget: %v from %+v", r.Status, c.Input.Sources)
				}
			}
			if err := c.Publish(r.Status); err != nil {
				t.Fatal(err)
			}
		}
	}
	for round := 0; claims < 20 && round < 50; round++ { // most inputs claim nothing
		rapid.Check(t, check)
	}
	if claims < 20 {
		t.Errorf("%d claims were checked: the test does not reach what it is for", claims)
	}
}

// heal makes most SyncTargets of an input well, so that there is something to claim.
func heal(t *rapid.T, in *aggregate.Input) {
	for i := range in.Sources {
		s := &in.Sources[i]
		if s.Contribution == nil || rapid.IntRange(0, 9).Draw(t, "ill") == 0 {
			continue
		}
		s.Stale, s.CaughtUp = false, true
		status := map[string]any{"observedGeneration": s.Contribution.Generation}
		var conditions []any
		for _, kind := range []string{"Ready", "Synced", "Complete"} {
			conditions = append(conditions, map[string]any{"type": kind, "status": "True", "lastTransitionTime": "2026-03-01T10:00:00Z"})
		}
		status["conditions"] = conditions
		s.Contribution.Status = status
	}
}
