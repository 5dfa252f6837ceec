package oracle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// summaryType is the type of the summary condition.
const summaryType = "upstreamd.dev/Aggregated"

// reported is one condition as a SyncTarget reports it, or as published.
type reported struct{ target, kind, status, reason, message string }

// checkConditions compares conditions merged by WorstWins (False, then Unknown, then True; for ReplicaFailure True is worst) with
// the published ones. For the types in always, absence counts as Unknown. With one copy its conditions are expected unchanged; with
// more, the reason and message of the deciding SyncTarget, if there is exactly one.
func checkConditions(s subject, copies int, contributed, published []reported, always []string) {
	byType := map[string][]reported{}
	for _, c := range contributed {
		byType[c.kind] = append(byType[c.kind], c)
	}
	got := map[string]reported{}
	for _, c := range published {
		got[c.kind] = c
	}
	for _, kind := range slices.Sorted(maps.Keys(byType)) {
		entries := byType[kind]
		if len(entries) < copies && slices.Contains(always, kind) {
			entries = append(entries, reported{kind: kind, status: "Unknown"})
		}
		worst := slices.MinFunc(entries, func(a, b reported) int { return rank(a) - rank(b) })
		field := fmt.Sprintf("conditions[%s].", kind)
		s.compare(field+"status", worst.status, got[kind].status)

		deciding := slices.DeleteFunc(slices.Clone(entries), func(c reported) bool { return c.status != worst.status })
		if len(deciding) == 1 && worst.target != "" {
			s.compare(field+"reason", worst.reason, got[kind].reason)
			s.compare(field+"message", worst.message, got[kind].message)
		}
	}
	for _, c := range published {
		if _, known := byType[c.kind]; !known && c.kind != summaryType {
			s.compare(fmt.Sprintf("conditions[%s]", c.kind), "none", c.status)
		}
	}
}

func rank(c reported) int {
	if c.kind == "ReplicaFailure" {
		return slices.Index([]string{"True", "Unknown", "False"}, c.status)
	}
	return slices.Index([]string{"False", "Unknown", "True"}, c.status)
}

// checkSummary expects a summary in which all SyncTargets report.
func checkSummary(s subject, copies int, published []reported) {
	want := fmt.Sprintf("%d/%d SyncTargets reporting", copies, copies)
	at := slices.IndexFunc(published, func(c reported) bool { return c.kind == summaryType })
	if at < 0 {
		s.compare("conditions["+summaryType+"]", want, "none")
		return
	}
	if !strings.HasPrefix(published[at].message, want) {
		s.compare("conditions["+summaryType+"].message", want, published[at].message)
	}
}
