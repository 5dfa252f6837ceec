package aggregate

import (
	"fmt"
	"strings"
	"time"

	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// baseNamed precedes the name of the SyncTarget that is copied, at the end of the summary's message. The name is read back from there.
var baseNamed = map[policy.Strategy]string{policy.Primary: "; primary: ", policy.Representative: "; details from "}

// SummaryType is the condition that names the SyncTargets that do not report.
const SummaryType = "upstreamd.dev/Aggregated"

// summaryIn is the message of the summary in a status; empty if there is none.
func summaryIn(status map[string]any) string {
	return text(find(status, topConditions, SummaryType), "message")
}

// Lags reports whether a published status names a SyncTarget as not at this generation.
func Lags(published map[string]any, name ref.SyncTarget, generation int64) bool {
	return strings.Contains(summaryIn(published), " "+lagging(name, generation))
}

func lagging(name ref.SyncTarget, generation int64) string {
	return fmt.Sprintf("%s not at generation %d yet", name, generation)
}

// Problems of SyncTargets that hold no share. They are read back from the summary.
const (
	problemAbsent   = "has no copy"
	problemNoStatus = "has no status"
	problemAway     = "is away and had no copy"
)

// reporters is one line on all placed SyncTargets: "2/3 SyncTargets reporting: eu-west1 stale".
func (d *decider) reporters() string {
	var problems []string
	for i := range d.in.Sources {
		switch s := &d.in.Sources[i]; {
		case s.problem() != "":
			problems = append(problems, string(s.Target)+" "+s.problem())
			d.problems++
		case s.Lagging:
			problems = append(problems, lagging(s.Target, d.in.Generation))
		}
	}
	line := fmt.Sprintf("%d/%d SyncTargets reporting", len(d.in.Sources)-d.problems, len(d.in.Sources))
	if len(problems) == 0 {
		return line
	}
	return cut(line + ": " + strings.Join(problems, ", "))
}

// problem is the reason why a SyncTarget does not report; "" if it does.
func (s *Source) problem() string {
	switch {
	case s.State == Unknown:
		return "unknown"
	case s.Stale && s.Over != "":
		return "stale (over limit " + string(s.Over) + ")"
	case s.Stale:
		return "stale"
	case s.NotReporting != "":
		return s.NotReporting
	case s.State == Absent:
		return problemAbsent
	case s.State == NoStatus:
		return problemNoStatus
	}
	return ""
}

// summary is the summary condition, or nil if there is none to be.
func (c *conditionList) summary() map[string]any {
	published := find(c.in.Published, c.path, SummaryType)
	if !c.p.Summary && (!c.p.SummaryAuto || !c.reported && len(c.result) == 0) {
		return nil
	}
	message, status, reason := c.summaryMessage(), "True", "AllReporting"
	if c.problems > 0 {
		status, reason = "False", "NotAllReporting"
	}
	moved := published["lastTransitionTime"]
	if moved == nil || text(published, "status") != status {
		moved = later(moved, c.newest())
	}
	if moved == nil {
		return nil // no SyncTarget was ever in contact
	}
	if text(published, "status") == status && text(published, "message") == message && text(published, "reason") == reason {
		return published
	}
	return map[string]any{"type": SummaryType, "status": status, "reason": reason, "message": message, "lastTransitionTime": moved}
}

// summaryMessage is the report, the fields whose rule failed and the SyncTarget that is copied.
func (d *decider) summaryMessage() string {
	message := d.report
	if len(d.failed) > 0 {
		message += "; failed rules: " + strings.Join(d.failed, ", ")
	}
	prefix := baseNamed[d.p.Strategy]
	if prefix == "" || len(d.in.Sources) < 2 || d.reporting < 2 && d.p.Strategy != policy.Primary {
		return message
	}
	if d.base != nil {
		return message + prefix + string(d.base.Target)
	}
	if name, named := d.publishedBase(); named { // while held, the published one stays
		message += prefix + string(name)
	}
	return message
}

// newest is the newest time of any contribution or staleness; nil: none.
func (d *decider) newest() any {
	var newest time.Time
	for _, s := range d.in.Sources {
		if s.Contribution != nil && s.Contribution.Time.After(newest) {
			newest = s.Contribution.Time
		}
		if s.stale() && s.Since.After(newest) {
			newest = s.Since
		}
	}
	if newest.IsZero() {
		return nil
	}
	return newest.UTC().Format(time.RFC3339)
}
