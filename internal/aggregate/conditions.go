package aggregate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/upstreamd/upstreamd/internal/policy"
)

// The reasons of conditions that are ours.
const (
	reasonStale       = "SyncTargetStale"
	reasonNotReported = "NotReported"
	reasonDisagree    = "ClustersDisagree"
	reasonMultiple    = "MultipleReasons"
)

var errNoConditions = errors.New("is no list of conditions with a unique type and a status each")

// vote is the condition of one type in one SyncTarget.
type vote struct {
	kind, status string
	entry        map[string]any // as reported; nil: none of this type
	source       *Source        // nil: a published entry of ours, which no SyncTarget may report any more
	reason       string         // ours, if status is not as reported
}

// conditionList decides one list of conditions.
type conditionList struct {
	*decider
	path     policy.Path
	top      bool      // it is status.conditions, which holds the end and the summary
	scope    []*Source // the SyncTargets that vote
	copied   bool      // one SyncTarget decides alone
	held     bool      // the published entries stay; those that depend on the unknown become Unknown
	needed   int       // the placed SyncTargets that must agree, in modes that count votes
	reported bool      // there are conditions, even if none of them is published
	result   []any
	scratch  map[string]any // the entry in the making
}

// conditions decides the list of conditions at a path; nil: none.
func (d *decider) conditions(f *policy.Field, end ending) any {
	c := &conditionList{decider: d, path: f.Path, top: slices.Equal(f.Path, topConditions), held: d.holding || !f.Implied && d.heldBack()}
	c.scope, c.copied = c.voters(f.Implied)
	c.needed = c.votesNeeded()
	list := c.decide(end)
	switch {
	case len(list) > 0:
		return list
	case d.holding:
		return d.published(f.Path)
	case d.base != nil && lookup(d.base.status(), f.Path) != nil:
		return []any{}
	}
	return nil
}

// voters are the SyncTargets that vote. copied reports whether one of them decides alone.
func (c *conditionList) voters(implied bool) (scope []*Source, copied bool) {
	single := len(c.in.Sources) == 1
	switch {
	case c.holding && c.blind == 0:
		return nil, single && !c.held
	case implied && c.base != nil && (c.p.Strategy != policy.Representative || single):
		return []*Source{c.base}, true
	case implied && !c.publishesAll():
		unknown := slices.DeleteFunc(slices.Clone(c.views), func(s *Source) bool { return s.Contribution != nil })
		return unknown, single && !c.held
	}
	return c.views, single && !c.held
}

// votesNeeded is the number of placed SyncTargets that must agree; 0 in modes that do not count votes.
func (c *conditionList) votesNeeded() int {
	switch mode := c.p.Conditions.Mode; {
	case c.copied || len(c.scope) == 0:
	case mode == policy.QuorumWins:
		return c.need(policy.RuleQuorum)
	case mode == policy.AllAgree:
		return c.need(policy.RuleUnanimous)
	}
	return 0
}

// decide makes the list: one entry per type, sorted by type.
func (c *conditionList) decide(end ending) []any {
	votes := c.votes()
	c.reported = len(votes) > 0
	slices.SortStableFunc(votes, func(a, b vote) int { return strings.Compare(a.kind, b.kind) })
	for len(votes) > 0 {
		n := 1
		for n < len(votes) && votes[n].kind == votes[0].kind {
			n++
		}
		c.add(c.oneType(votes[0].kind, votes[:n:n]))
		votes = votes[n:]
	}
	if c.top {
		c.terminal(end)
		c.add(c.ended(end))
		c.add(c.summary())
	}
	c.result = append(c.result, c.foreign(c.path, c.result)...)
	if most := c.in.Schema.List(c.path).MaxItems; c.top && most > 0 && len(c.result) > most { // the summary is the one that can be left out
		c.result = slices.DeleteFunc(c.result, func(e any) bool { return text(e, "type") == SummaryType })
	}
	slices.SortStableFunc(c.result, byType)
	return c.result
}

func byType(a, b any) int { return strings.Compare(text(a, "type"), text(b, "type")) }

func (c *conditionList) add(entry map[string]any) {
	if entry != nil {
		c.result = append(c.result, entry)
	}
}

// votes are the entries of all SyncTargets in scope, then the published ones that may have to stay; the end and the summary are no votes.
func (c *conditionList) votes() []vote {
	votes := make([]vote, 0, 4*len(c.scope))
	for _, s := range c.scope {
		list, err := conditionsIn(s.status(), c.path)
		if err != nil { // it counts as one without conditions
			c.fail(c.path, fmt.Errorf("%s: %w", s.Target, err))
		}
		votes = c.appendVotes(votes, list, s)
	}
	if c.held || c.needed > 0 {
		published, _ := conditionsIn(c.in.Published, c.path)
		votes = c.appendVotes(votes, published, nil)
	}
	return votes
}

// appendVotes appends the votes of one list. from is nil for the published list, of which only the entries of ours count.
func (c *conditionList) appendVotes(votes []vote, list []any, from *Source) []vote {
	for _, item := range list {
		v := vote{kind: text(item, "type"), status: text(item, "status"), entry: item.(map[string]any), source: from}
		if c.top && (v.kind == SummaryType || v.kind == EndedType || c.isTerminal(v.kind)) || from == nil && !c.in.Owned.Item(c.path, item) {
			continue
		}
		if !c.copied && v.status != "True" && v.status != "False" {
			v.status = "Unknown" // values that Kubernetes does not have among them
		}
		if from != nil && from.stale() {
			v.status, v.reason = "Unknown", reasonStale
		}
		votes = append(votes, v)
	}
	return votes
}

// oneType makes one entry of the votes on one type; nil if there is none to be.
func (c *conditionList) oneType(kind string, votes []vote) map[string]any {
	published, polarity := find(c.in.Published, c.path, kind), c.p.Conditions.Polarity(kind)
	votes = slices.DeleteFunc(votes, func(v vote) bool { return v.source == nil })
	votes = append(votes, c.missing(kind, polarity, votes)...)
	status, decided := c.winner(polarity, votes)
	switch {
	case !decided && !c.held:
		c.kept = append(c.kept, c.path.String()+"."+kind)
		return published
	case !decided:
		return published
	case status == "":
		return nil
	}
	deciding := votes
	if slices.ContainsFunc(votes, func(v vote) bool { return v.status != status }) {
		deciding = slices.DeleteFunc(slices.Clone(votes), func(v vote) bool { return v.status != status })
	}
	return c.entry(kind, status, deciding, votes, published)
}

// missing are the votes of the SyncTargets that count and have no entry of this type, if their silence means something.
func (c *conditionList) missing(kind string, polarity policy.Polarity, votes []vote) []vote {
	if c.copied || len(votes) == c.counted {
		return nil
	}
	var missing []vote
	for i := range c.in.Sources {
		s := &c.in.Sources[i]
		if !c.counts(s) || slices.ContainsFunc(votes, func(v vote) bool { return v.source == s }) {
			continue
		}
		if v, counts := c.absent(kind, polarity, s); counts {
			missing = append(missing, v)
		}
	}
	return missing
}

// absent is the vote of a SyncTarget that has no entry of this type; false if it does not vote.
func (c *conditionList) absent(kind string, polarity policy.Polarity, s *Source) (vote, bool) {
	v := vote{kind: kind, status: "Unknown", source: s, reason: reasonNotReported}
	if s.stale() || s.State == Unknown {
		v.reason = reasonStale
	}
	switch {
	case s.State == Unknown && slices.Contains(c.scope, s):
	case c.needed > 0 || c.healthyIfAbsent(polarity):
		return vote{}, false
	case s.Contribution == nil:
	case c.holding && c.blind == 0 || c.p.Conditions.WhenAbsent[kind] == policy.AbsentIgnore:
		return vote{}, false
	case polarity != policy.Positive && c.p.Conditions.Mode == policy.WorstWins && !s.stale():
		v.status, v.reason = "", "" // absence is an answer
	}
	return v, true
}

// healthyIfAbsent reports whether a SyncTarget without a condition of this polarity is healthy.
func (c *conditionList) healthyIfAbsent(polarity policy.Polarity) bool {
	return polarity == policy.InProgress || polarity == policy.Negative && c.p.Conditions.Mode != policy.AllTrue
}

// winner returns the status to publish; "" for none. decided is false if the published entry stays.
func (c *conditionList) winner(polarity policy.Polarity, votes []vote) (status string, decided bool) {
	mode := c.p.Conditions.Mode
	switch {
	case polarity == policy.Terminal:
		return c.ends(votes)
	case c.needed > 0 && (!c.held || len(votes) > 0):
		return c.count(votes)
	case len(votes) == 0:
		return "", false
	case c.copied:
		return votes[0].status, true
	case mode == policy.WorstWins && polarity == policy.UnknownPolarity:
		return agreed(votes), true
	}
	for _, status := range precedence(mode, polarity) {
		if slices.ContainsFunc(votes, func(v vote) bool { return v.status == status }) {
			return status, true
		}
	}
	return votes[0].status, true
}

// precedence orders the statuses: the first one that has a vote wins.
func precedence(mode policy.ConditionMode, polarity policy.Polarity) [3]string {
	switch bad := polarity == policy.Negative || polarity == policy.InProgress; {
	case mode == policy.BestWins && bad:
		return [...]string{"False", "True", "Unknown"}
	case mode == policy.BestWins:
		return [...]string{"True", "False", "Unknown"}
	case mode == policy.WorstWins && bad:
		return [...]string{"True", "Unknown", "False"}
	}
	return [...]string{"False", "Unknown", "True"}
}

// agreed is the status on which all agree. Else it is Unknown: because of the SyncTargets that do not report if there are any, or because the
// others disagree.
func agreed(votes []vote) string {
	if slices.ContainsFunc(votes, func(v vote) bool { return v.reason != "" }) {
		return "Unknown"
	}
	if !slices.ContainsFunc(votes, func(v vote) bool { return v.status != votes[0].status }) {
		return votes[0].status
	}
	for i := range votes {
		votes[i].status, votes[i].reason = "Unknown", reasonDisagree
	}
	return "Unknown"
}

// count finds the status of as many SyncTargets as are needed; to have no such condition is a result too.
func (c *conditionList) count(votes []vote) (status string, decided bool) {
	counts := map[string]int{"": len(c.views) - len(votes)}
	stale := false
	for _, v := range votes {
		counts[v.status]++
		stale = stale || v.reason == reasonStale
	}
	for status, n := range counts {
		if n >= c.needed {
			return status, true
		}
	}
	return "Unknown", stale // the votes may not suffice because a SyncTarget is away
}

// foreign are the published entries that are neither decided nor ours.
func (d *decider) foreign(path policy.Path, decided []any) []any {
	published, _ := conditionsIn(d.in.Published, path)
	return slices.DeleteFunc(slices.Clone(published), func(item any) bool {
		return d.out.Whole || d.in.Owned.Item(path, item) || slices.ContainsFunc(decided, func(e any) bool { return text(e, "type") == text(item, "type") })
	})
}

// conditionsIn returns the list of conditions at a path of a status; nil if there is none.
func conditionsIn(status map[string]any, path policy.Path) ([]any, error) {
	value := lookup(status, path)
	list, ok := value.([]any)
	if value != nil && !ok || !areConditions(list) {
		return nil, errNoConditions
	}
	return list, nil
}

// areConditions reports whether a list holds conditions, with a unique type each.
func areConditions(list []any) bool {
	types := make([]string, 0, 16)
	for _, item := range list {
		if text(item, "type") == "" || text(item, "status") == "" {
			return false
		}
		types = append(types, text(item, "type"))
	}
	slices.Sort(types)
	return len(slices.Compact(types)) == len(list)
}

// find returns the condition of a type in the list at a path of a status; nil if there is none.
func find(status map[string]any, path policy.Path, kind string) map[string]any {
	list, _ := lookup(status, path).([]any)
	for _, item := range list {
		if kind != "" && text(item, "type") == kind {
			return item.(map[string]any)
		}
	}
	return nil
}
