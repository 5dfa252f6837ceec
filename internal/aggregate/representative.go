package aggregate

import (
	"cmp"
	"slices"
	"strings"

	"github.com/upstreamd/upstreamd/internal/policy"
)

// healthTypes are the conditions by which SyncTargets are compared: the first one that any of them has.
var healthTypes = [...]string{"Ready", "Available", "Healthy", "Programmed", "Accepted", "Synced"}

// representative is the view whose status is published with the conditions of all: the worst one. It changes only if another one is strictly
// worse by a condition or a phase, or if the published one is not fresh any more. It is nil if only ends are known.
func (d *decider) representative() *Source {
	candidates := d.candidates()
	if len(candidates) == 0 {
		return nil
	}
	if fresh := slices.DeleteFunc(slices.Clone(candidates), (*Source).stale); len(fresh) > 0 {
		candidates = fresh
	}
	health := ""
	for _, kind := range healthTypes {
		if health == "" && slices.ContainsFunc(candidates, func(s *Source) bool { return find(s.status(), topConditions, kind) != nil }) {
			health = kind
		}
	}
	worst := slices.MinFunc(candidates, func(a, b *Source) int {
		return cmp.Or(d.compareHealth(a, b, health), cmp.Compare(boolean(a.CaughtUp), boolean(b.CaughtUp)))
	})
	name, named := d.publishedBase()
	if i := slices.IndexFunc(candidates, func(s *Source) bool { return named && s.Target == name }); i >= 0 && d.compareHealth(worst, candidates[i], health) >= 0 {
		return candidates[i]
	}
	return worst
}

// counters adds up the replica counters of the schema.
func (d *decider) counters() {
	for _, path := range d.in.Schema.Counters() {
		if !slices.ContainsFunc(d.p.Fields, func(f policy.Field) bool { return slices.Equal(f.Path, path) }) {
			d.field(&policy.Field{Path: path, FieldRule: policy.FieldRule{Rule: policy.RuleSum}}, ending{})
		}
	}
}

// compareHealth orders the worse SyncTarget first.
func (d *decider) compareHealth(a, b *Source, health string) int {
	rank := func(s *Source) int {
		return map[string]int{"False": -1, "True": 1}[text(find(s.status(), topConditions, health), "status")] // Unknown and absent: 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(boolean(d.alarmed(b)), boolean(d.alarmed(a))), cmp.Compare(boolean(failing(b)), boolean(failing(a))))
}

// alarmed reports whether a negative condition is True.
func (d *decider) alarmed(s *Source) bool {
	list, _ := conditionsIn(s.status(), topConditions)
	return slices.ContainsFunc(list, func(item any) bool {
		return text(item, "status") == "True" && d.p.Conditions.Polarity(text(item, "type")) == policy.Negative
	})
}

// failing reports whether a phase or state tells of a failure.
func failing(s *Source) bool {
	for _, path := range [][]string{{"phase"}, {"state"}, {"health", "status"}} {
		word, _ := lookup(s.status(), path).(string)
		for _, bad := range []string{"fail", "error", "degraded", "unhealthy", "crash", "lost", "broken", "evicted", "abort", "invalid", "denied", "reject"} {
			if strings.Contains(strings.ToLower(word), bad) {
				return true
			}
		}
	}
	return false
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}
