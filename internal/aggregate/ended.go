package aggregate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// EndedType is the condition that remembers the SyncTargets whose copies have ended while others go on: copies are collected after their end.
// It goes when the end is published. Its message is
//
//	generation <n>: <SyncTarget> <outcome> at <time>[ <field>=<JSON scalar>]…[; …]
//
// where the outcome is a condition or a phase that the policy names as an end.
const EndedType = "upstreamd.dev/Ended"

// maxEnded bounds the message, as API servers do. Ends that do not fit are not remembered, so they are claimed only while their copies are there.
const maxEnded = 32 << 10

// recall lets the copies that had ended count with the values that are remembered, whatever became of them: one that was made anew counts
// nothing. Until all have ended, those that have are to be remembered.
func (d *decider) recall() {
	if d.p.Finished == nil || d.in.Unplaced {
		return
	}
	memory := d.memory()
	sources := slices.Clone(d.in.Sources)
	byLabel := slices.ContainsFunc(sources, func(s Source) bool { return !s.Bound })
	for i := range sources {
		if s := &sources[i]; d.hasEnded(s) {
			s.end = d.formatEnd(s)
		}
	}
	for _, m := range memory {
		i := slices.IndexFunc(sources, func(s Source) bool { return s.Target == m.Target })
		switch {
		case i < 0 && !byLabel:
			m.Bound = true
			sources = append(sources, m)
		case i >= 0 && sources[i].end != m.end: // the SyncTarget stays as fresh as it is
			s := &sources[i]
			s.State, s.Contribution, s.CaughtUp, s.Lagging, s.remembered, s.end = m.State, m.Contribution, true, false, true, m.end
		}
	}
	slices.SortFunc(sources, byTarget)
	d.in.Sources, d.in.Withdrawn = sources, d.in.Withdrawn && len(memory) == 0
}

// memory are the copies that the published condition remembers. It counts only as we wrote it, and for the present generation.
func (d *decider) memory() []Source {
	entry := find(d.in.Published, topConditions, EndedType)
	if entry == nil || !d.in.Owned.ItemField(topConditions, entry, "message") {
		return nil
	}
	list, ok := strings.CutPrefix(text(entry, "message"), fmt.Sprintf("generation %d: ", d.in.Generation))
	if !ok {
		return nil
	}
	var memory []Source
	for _, one := range strings.Split(list, "; ") {
		s, ok := d.parseEnd(one)
		if !ok {
			return nil
		}
		memory = append(memory, s)
	}
	return memory
}

// parseEnd reads one copy of the message.
func (d *decider) parseEnd(one string) (Source, bool) {
	words := strings.Split(one, " ")
	if len(words) < 4 || words[0] == "" || words[2] != "at" {
		return Source{}, false
	}
	at, err := time.Parse(time.RFC3339, words[3])
	status, ok := endedBy(d.p.Finished, words[1], words[3])
	if err != nil || !ok {
		return Source{}, false
	}
	for _, pair := range words[4:] {
		field, raw, _ := strings.Cut(pair, "=")
		var value any
		if !d.remembers(policy.ParsePath(field)) || json.Unmarshal([]byte(raw), &value) != nil || !isScalar(value) {
			return Source{}, false
		}
		if n, ok := value.(float64); ok && n == float64(int64(n)) {
			value = int64(n)
		}
		set(status, policy.ParsePath(field), value)
	}
	return Source{
		Target: ref.SyncTarget(words[0]), State: Reporting, CaughtUp: true, remembered: true, end: one,
		Contribution: &Contribution{Status: status, Time: at},
	}, true
}

// remembers reports whether the value of a field is a part of the memory.
func (d *decider) remembers(path policy.Path) bool {
	idle := func(p policy.Path) bool { return slices.Equal(p, path) }
	return !slices.ContainsFunc(d.p.Finished.Idle, idle) && slices.ContainsFunc(d.p.Fields, func(f policy.Field) bool {
		return slices.Equal(f.Path, path) && slices.Contains([]policy.Rule{policy.RuleSum, policy.RuleMin, policy.RuleMax}, f.Rule)
	})
}

func isScalar(v any) bool {
	switch v := v.(type) {
	case string:
		return !strings.ContainsAny(v, " ;")
	case int64, float64:
		return true
	}
	return false
}

// ended is the condition that remembers; nil: nothing is to be remembered, or it is no kind with conditions.
func (c *conditionList) ended(end ending) map[string]any {
	if end.outcome != goesOn || !c.p.Summary && !c.reported && len(c.result) == 0 {
		return nil
	}
	var list []string
	var newest any
	for i := range c.in.Sources {
		if one := c.in.Sources[i].end; one != "" {
			list = append(list, one)
			newest = later(newest, strings.Split(one, " ")[3])
		}
	}
	message := fmt.Sprintf("generation %d: %s", c.in.Generation, strings.Join(list, "; "))
	if len(list) == 0 || len(message) > maxEnded {
		return nil
	}
	published := find(c.in.Published, c.path, EndedType)
	if text(published, "message") == message {
		return published
	}
	if published["lastTransitionTime"] != nil {
		newest = published["lastTransitionTime"]
	}
	return map[string]any{"type": EndedType, "status": "False", "reason": "Partial", "message": message, "lastTransitionTime": newest}
}

// formatEnd writes a copy that has ended for the message; empty: it holds values that the grammar does not.
func (d *decider) formatEnd(s *Source) string {
	f := d.p.Finished
	_, name := outcomeOf(f, s.status())
	at := s.Contribution.Time.UTC().Format(time.RFC3339)
	kind, _, _ := strings.Cut(name, "=")
	if moved, ok := find(s.status(), topConditions, kind)["lastTransitionTime"].(string); ok && !strings.Contains(moved, " ") {
		at = moved
	}
	one := fmt.Sprintf("%s %s at %s", s.Target, name, at)
	for i := range d.p.Fields {
		path := d.p.Fields[i].Path
		value := lookup(s.status(), path)
		if raw, err := json.Marshal(value); err == nil && isScalar(value) && value != int64(0) && d.remembers(path) {
			one += fmt.Sprintf(" %s=%s", path, raw)
		}
	}
	if _, ok := d.parseEnd(one); !ok {
		return ""
	}
	return one
}
