package aggregate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upstreamd/upstreamd/internal/policy"
)

// primaryNamed stands before the primary's name at the end of the summary's message. It is read back from there.
const primaryNamed = "; primary: "

// SummaryType is the condition that says who reports and who does not.
const SummaryType = "upstreamd.dev/Aggregated"

// report is who reports, in one line: "2/3 SyncTargets reporting: eu-west1 stale".
func (d *decider) report() string {
	reporting := 0
	var not strings.Builder
	for i := range d.in.Sources {
		s := &d.in.Sources[i]
		problem := s.problem()
		if problem == "" {
			reporting++
			continue
		}
		if not.Len() > 0 {
			not.WriteString(", ")
		}
		not.WriteString(string(s.Target) + " " + problem)
	}
	if not.Len() == 0 {
		return fmt.Sprintf("%d/%d SyncTargets reporting", reporting, len(d.in.Sources))
	}
	return cut(fmt.Sprintf("%d/%d SyncTargets reporting: %s", reporting, len(d.in.Sources), &not))
}

// problem says why a SyncTarget does not report; "" if it does.
func (s *Source) problem() string {
	switch {
	case s.State == Unknown:
		return "unknown"
	case s.Stale && s.Over != "":
		return "stale (over limit " + string(s.Over) + ")"
	case s.Stale:
		return "stale"
	case s.State == Absent:
		return "has no copy"
	case s.State == NoStatus:
		return "has no status"
	}
	return ""
}

// summary is the summary condition, or nil if there is none to be.
func (c *conditionList) summary() map[string]any {
	published := find(c.in.Published, c.path, SummaryType)
	if !c.p.Summary && (!c.p.SummaryAuto || len(c.result) == 0) {
		return nil
	}
	message := c.reported
	status, reason := "True", "AllReporting"
	if slices.ContainsFunc(c.in.Sources, func(s Source) bool { return s.problem() != "" }) {
		status, reason = "False", "NotAllReporting"
	}
	if c.p.Strategy == policy.Primary && len(c.in.Sources) > 1 {
		name, named := c.publishedPrimary()
		if c.base != nil {
			name, named = c.base.Target, true
		}
		if named { // held: it stays who it was
			message += primaryNamed + string(name)
		}
	}
	moved := published["lastTransitionTime"]
	if moved == nil || text(published, "status") != status {
		moved = later(moved, c.newest())
	}
	if moved == nil {
		return nil // no SyncTarget was ever heard of
	}
	if text(published, "status") == status && text(published, "message") == message && text(published, "reason") == reason {
		return published
	}
	return map[string]any{"type": SummaryType, "status": status, "reason": reason, "message": message, "lastTransitionTime": moved}
}

// newest is the newest time that the SyncTargets know of; nil: none.
func (d *decider) newest() any {
	var newest time.Time
	for _, s := range d.in.Sources {
		if s.Contribution != nil && s.Contribution.Time.After(newest) {
			newest = s.Contribution.Time
		}
		if s.Stale && s.Since.After(newest) {
			newest = s.Since
		}
	}
	if newest.IsZero() {
		return nil
	}
	return newest.UTC().Format(time.RFC3339)
}
