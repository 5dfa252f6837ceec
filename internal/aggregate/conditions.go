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
	reasonMultiple    = "MultipleReasons"
)

var errNoConditions = errors.New("is no list of conditions, each with a type of its own and a status")

// voice is what one SyncTarget says of one type of condition.
type voice struct {
	kind, status string
	entry        map[string]any // nil: it says nothing of this type
	source       *Source
	reason       string // ours, if status is not what it said
	message      string // for people; filled in where it is needed
}

// conditionList decides one list of conditions.
type conditionList struct {
	*decider
	path   policy.Path
	top    bool   // it is status.conditions, which tells of the end and has the summary
	scope  []view // who is asked
	copied bool   // one SyncTarget speaks for all
	held   bool   // what is published stays; what depends on the unknown becomes Unknown
	result []any

	scratch map[string]any // the entry that is being made
	buffer  []byte         // the message that is being made
}

// conditions decides the list of conditions at a path; nil: none. Where there is something else, it is decided like a field without a
// rule if the policy does not say that conditions are there.
func (d *decider) conditions(f *policy.Field, end ending) (any, error) {
	c := &conditionList{decider: d, path: f.Path, top: len(f.Path) == 1 && f.Path[0] == "conditions", scope: d.views, copied: len(d.in.Sources) == 1,
		held: !f.Implied && d.heldBack()}
	if f.Implied && d.base != nil {
		c.scope, c.copied = []view{*d.base}, true
	}
	if f.Implied && !d.takenOver() {
		c.scope = nil
	}
	list, err := c.decide(end)
	switch {
	case errors.Is(err, errNoConditions) && f.Implied && d.base != nil:
		return lookup(d.base.status, f.Path), nil
	case errors.Is(err, errNoConditions) && f.Implied:
		return d.rule(&policy.Field{Path: f.Path, Rule: d.defaultRule()})
	case err != nil:
		return nil, err
	case len(list) > 0:
		return list, nil
	case d.base != nil && lookup(d.base.status, f.Path) != nil:
		return []any{}, nil
	}
	return nil, nil
}

// heldConditions are the published conditions of ours, Unknown where they depend on SyncTargets that are not known, and a new summary.
func (d *decider) heldConditions(f *policy.Field) any {
	c := &conditionList{decider: d, path: f.Path, top: len(f.Path) == 1 && f.Path[0] == "conditions", held: true}
	for _, v := range d.views {
		if d.blind > 0 && (v.status == nil || !f.Implied || d.takenOver()) {
			c.scope = append(c.scope, v)
		}
	}
	list, err := c.decide(ending{})
	if err != nil || len(list) == 0 {
		return d.published(f.Path)
	}
	return list
}

// decide makes the list: one entry a type, sorted by type.
func (c *conditionList) decide(end ending) ([]any, error) {
	voices, err := c.voices()
	if err != nil {
		return nil, err
	}
	c.undecided(voices)
	slices.SortStableFunc(voices, func(a, b voice) int { return strings.Compare(a.kind, b.kind) })
	for len(voices) > 0 {
		n := 1
		for n < len(voices) && voices[n].kind == voices[0].kind {
			n++
		}
		c.add(c.oneType(voices[:n:n]))
		voices = voices[n:]
	}
	if c.top {
		c.terminal(end)
		c.add(c.summary())
	}
	c.result = append(c.result, c.foreign(c.path, c.result)...)
	slices.SortStableFunc(c.result, func(a, b any) int { return strings.Compare(text(a, "type"), text(b, "type")) })
	return c.result, nil
}

func (c *conditionList) add(entry map[string]any) {
	if entry != nil {
		c.result = append(c.result, entry)
	}
}

// voices are what the SyncTargets in scope say, but for what is ours to say: the end and the summary.
func (c *conditionList) voices() ([]voice, error) {
	n := 0
	for i := range c.scope {
		list, _ := lookup(c.scope[i].status, c.path).([]any)
		n += len(list)
	}
	voices := make([]voice, 0, n)
	for i := range c.scope {
		v := &c.scope[i]
		list, err := conditionsIn(v.status, c.path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.Target, err)
		}
		for _, item := range list {
			entry := item.(map[string]any)
			said := voice{kind: text(entry, "type"), status: text(entry, "status"), entry: entry, source: v.Source}
			if c.reserved(said.kind) {
				continue
			}
			if v.Stale {
				said.status, said.reason = "Unknown", reasonStale
			}
			voices = append(voices, said)
		}
	}
	if !c.held {
		return voices, nil
	}
	published, _ := conditionsIn(c.in.Published, c.path)
	for _, item := range published {
		entry := item.(map[string]any)
		kind := text(entry, "type")
		switch {
		case c.reserved(kind) || !c.ours(c.path, entry):
		case c.blind == 0 && slices.Contains(c.p.Conditions.UnknownWhenAbsent, kind):
			s := &c.in.Sources[0]
			reason := reasonNotReported
			if s.Stale {
				reason = reasonStale
			}
			voices = append(voices, voice{kind: kind, status: "Unknown", entry: entry, source: s, reason: reason})
		case c.blind == 0:
			c.add(entry)
		default: // what the unknown ones would say is what is published, as far as we can know
			i := slices.IndexFunc(c.scope, func(v view) bool { return v.status == nil })
			voices = append(voices, voice{kind: kind, status: "Unknown", entry: entry, source: c.scope[i].Source, reason: reasonStale})
		}
	}
	return voices, nil
}

// reserved says whether a type is ours to say: the end and the summary.
func (c *conditionList) reserved(kind string) bool {
	return c.top && (kind == SummaryType || c.isTerminal(kind))
}

// undecided keeps the published entries of ours that nobody speaks of, where those who are heard are too few to agree that there is none.
func (c *conditionList) undecided(voices []voice) {
	if c.held || c.copied || len(c.scope) == 0 || c.reporting >= c.need() {
		return
	}
	published, _ := conditionsIn(c.in.Published, c.path)
	for _, item := range published {
		entry, kind := item.(map[string]any), text(item, "type")
		if c.reserved(kind) || !c.ours(c.path, entry) || slices.ContainsFunc(voices, func(v voice) bool { return v.kind == kind }) {
			continue
		}
		c.kept = append(c.kept, c.path.String()+"."+kind)
		c.add(entry)
	}
}

// oneType makes one entry of what is said of one type; nil if there is none to be.
func (c *conditionList) oneType(said []voice) map[string]any {
	kind := said[0].kind
	published := find(c.in.Published, c.path, kind)
	for i := range c.scope {
		v := &c.scope[i]
		if v.status == nil && !slices.ContainsFunc(said, func(s voice) bool { return s.source == v.Source }) {
			said = append(said, voice{kind: kind, status: "Unknown", source: v.Source, reason: reasonStale})
		}
	}
	said = append(said, c.missing(kind, said)...)
	status, decided := c.winner(kind, said)
	if !decided {
		c.kept = append(c.kept, c.path.String()+"."+kind)
		return published
	}
	if status == "" {
		return nil
	}
	deciding := said[:0:0]
	if !slices.ContainsFunc(said, func(s voice) bool { return s.status != status }) {
		deciding = said
	} else {
		for _, s := range said {
			if s.status == status {
				deciding = append(deciding, s)
			}
		}
	}
	return c.entry(status, deciding, said, published)
}

// missing are the placed SyncTargets that say nothing of a type that every healthy object has. In a copy there are none.
func (c *conditionList) missing(kind string, said []voice) []voice {
	if c.copied || len(said) >= c.counted || !slices.Contains(c.p.Conditions.UnknownWhenAbsent, kind) {
		return nil
	}
	var missing []voice
	for i := range c.in.Sources {
		s := &c.in.Sources[i]
		if c.counts(s) && !slices.ContainsFunc(said, func(v voice) bool { return v.source == s }) {
			missing = append(missing, voice{kind: kind, status: "Unknown", source: s, reason: reasonNotReported})
		}
	}
	return missing
}

// winner is the status that is published; "" for none. decided is false if what is published stays.
func (c *conditionList) winner(kind string, said []voice) (status string, decided bool) {
	mode := c.p.Conditions.Mode
	if c.copied {
		return said[0].status, true
	}
	var order [3]string // the first one that is there wins
	switch negative := slices.Contains(c.p.Conditions.Negative, kind); {
	case mode == policy.QuorumWins || mode == policy.AllAgree:
		return c.vote(said)
	case mode == policy.BestWins:
		order = [3]string{"True", "False", "Unknown"}
	case mode == policy.WorstWins && negative:
		order = [3]string{"True", "Unknown", "False"}
	default: // WorstWins of positive polarity, and AllTrue of any
		order = [3]string{"False", "Unknown", "True"}
	}
	for _, status := range order {
		if slices.ContainsFunc(said, func(v voice) bool { return v.status == status }) {
			return status, true
		}
	}
	return said[0].status, true // values that Kubernetes does not know
}

// need is how many of the placed SyncTargets have to agree; 0 in modes without a vote.
func (c *conditionList) need() int {
	switch c.p.Conditions.Mode {
	case policy.QuorumWins:
		return len(c.in.Sources)/2 + 1
	case policy.AllAgree:
		return len(c.in.Sources)
	default:
		return 0
	}
}

// vote finds the status that as many SyncTargets give as are needed; that they give none is a result too.
func (c *conditionList) vote(said []voice) (status string, decided bool) {
	need := c.need()
	if len(c.views)-len(said) >= need {
		return "", true
	}
	for _, v := range said {
		n := 0
		for _, other := range said {
			if other.status == v.status {
				n++
			}
		}
		if n >= need {
			return v.status, true
		}
	}
	// Where the votes do not suffice because a SyncTarget is not heard of, that is what is known.
	if slices.ContainsFunc(said, func(v voice) bool { return v.reason == reasonStale }) {
		return "Unknown", true
	}
	return "", false
}

// foreign are the published entries that are neither decided nor ours.
func (d *decider) foreign(path policy.Path, decided []any) []any {
	if d.out.Whole {
		return nil
	}
	var foreign []any
	published, _ := conditionsIn(d.in.Published, path)
	for _, item := range published {
		kind := text(item, "type")
		if !slices.ContainsFunc(decided, func(e any) bool { return text(e, "type") == kind }) && !d.ours(path, item.(map[string]any)) {
			foreign = append(foreign, item)
		}
	}
	return foreign
}

func (d *decider) ours(path policy.Path, entry map[string]any) bool {
	return d.in.Owned.Item(path, map[string]any{"type": entry["type"]})
}

// counts says whether a placed SyncTarget counts under the policy.
func (d *decider) counts(s *Source) bool {
	return d.p.Stale != policy.Exclude || !s.Stale && s.State != Unknown
}

// conditionsIn is the list of conditions at a path of a status; nil if there is none.
func conditionsIn(status map[string]any, path policy.Path) ([]any, error) {
	value := lookup(status, path)
	if value == nil {
		return nil, nil
	}
	list, ok := value.([]any)
	if !ok {
		return nil, errNoConditions
	}
	for i, item := range list {
		kind := text(item, "type")
		if kind == "" || text(item, "status") == "" || slices.ContainsFunc(list[:i], func(e any) bool { return text(e, "type") == kind }) {
			return nil, errNoConditions
		}
	}
	return list, nil
}

func find(status map[string]any, path policy.Path, kind string) map[string]any {
	list, _ := lookup(status, path).([]any)
	for _, item := range list {
		if text(item, "type") == kind {
			return item.(map[string]any)
		}
	}
	return nil
}
