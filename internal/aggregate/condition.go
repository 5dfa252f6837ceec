package aggregate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/upstreamd/upstreamd/internal/patch"
)

// maxMessage bounds the message of a merged condition, in bytes.
const maxMessage = 1024

// heartbeats are fields of a condition that tell only that its writer is alive.
var heartbeats = [...]string{"lastUpdateTime", "lastHeartbeatTime", "lastProbeTime"}

// entry makes the condition of the deciding votes. It is the published one if nothing that counts changed.
func (c *conditionList) entry(kind, status string, deciding, votes []vote, published map[string]any) map[string]any {
	if c.scratch == nil {
		c.scratch = make(map[string]any, 8)
	}
	clear(c.scratch)
	entry := c.scratch
	if i := slices.IndexFunc(deciding, func(v vote) bool { return v.entry != nil }); i >= 0 {
		maps.Copy(entry, deciding[i].entry)
	} else if c.held { // an unknown SyncTarget decides: the published entry is all that is known of its condition
		maps.Copy(entry, published)
	}
	setText(entry, "type", kind)
	setText(entry, "status", status)
	setText(entry, "reason", reasonOf(deciding))
	setText(entry, "message", c.messageOf(deciding, text(published, "message")))
	for _, name := range heartbeats {
		if entry[name] != nil {
			entry[name] = newestOf(deciding, name, false)
		}
	}
	c.transition(entry, deciding, votes, published)
	if _, ok := entry["observedGeneration"]; ok {
		if entry["observedGeneration"] = c.conditionGeneration(deciding, published); entry["observedGeneration"] == nil {
			delete(entry, "observedGeneration")
		}
	}
	if published != nil && sameCondition(entry, published) {
		return published
	}
	return maps.Clone(entry)
}

func reasonOf(deciding []vote) string {
	reason := deciding[0].reasonText()
	for i := range deciding[1:] {
		if deciding[i+1].reasonText() != reason {
			return reasonMultiple
		}
	}
	return reason
}

// messageOf is the message of the only deciding SyncTarget, else all messages, each once, with the names of their SyncTargets. It is the
// published string if it is equal.
func (c *conditionList) messageOf(deciding []vote, published string) string {
	switch v := &deciding[0]; {
	case len(deciding) == 1 && v.reason != "":
		return fmt.Sprintf("SyncTarget %s: %s", v.source.Target, v.message())
	case len(deciding) == 1:
		return cut(v.message())
	}
	c.buffer = fmt.Appendf(c.buffer[:0], "%d/%d SyncTargets: ", len(deciding), c.counted)
	c.buffer = together(c.buffer, deciding)
	if string(c.buffer) == published {
		return published
	}
	return cut(string(c.buffer))
}

// together appends "a, b: message; c: other message".
func together(b []byte, votes []vote) []byte {
	for i := range votes {
		message := votes[i].message()
		same := func(other vote) bool { return other.message() == message }
		if slices.ContainsFunc(votes[:i], same) {
			continue
		}
		if i > 0 {
			b = append(b, "; "...)
		}
		b = append(b, votes[i].source.Target...)
		for _, other := range votes[i+1:] {
			if same(other) {
				b = append(append(b, ", "...), other.source.Target...)
			}
		}
		if message != "" {
			b = append(append(b, ": "...), message...)
		}
	}
	return b
}

func (v *vote) reasonText() string {
	if v.reason != "" {
		return v.reason
	}
	return text(v.entry, "reason")
}

func (v *vote) message() string {
	switch v.reason {
	case reasonStale:
		return "unreachable since its watch broke"
	case reasonNotReported:
		return "not reported"
	}
	return text(v.entry, "message")
}

// transition sets lastTransitionTime: as published while the status is, else the newest of the deciding votes, never earlier than published.
func (c *conditionList) transition(entry map[string]any, deciding, votes []vote, published map[string]any) {
	const name = "lastTransitionTime"
	before, reported := published[name], newestOf(votes, name, false)
	if before != nil && text(published, "status") == text(entry, "status") {
		entry[name] = before
		return
	}
	if reported == nil && before == nil {
		return // this kind's conditions have no times
	}
	newest := newestOf(deciding, name, true)
	if newest == nil {
		newest = reported
	}
	entry[name] = later(before, newest)
}

// newestOf is the newest time that votes have under a name. since takes the stale ones as of when they became so.
func newestOf(votes []vote, name string, since bool) any {
	var newest any
	for _, v := range votes {
		if since && v.reason == reasonStale && !v.source.Since.IsZero() {
			newest = later(newest, v.source.Since.UTC().Format(time.RFC3339))
		} else if t := v.entry[name]; t != nil && t != newest {
			newest = later(newest, t)
		}
	}
	return newest
}

// conditionGeneration translates a condition's own observedGeneration.
func (c *conditionList) conditionGeneration(deciding []vote, published map[string]any) any {
	for _, v := range deciding {
		observed, ok := integer(v.entry["observedGeneration"])
		if !ok || v.source.Contribution == nil || !v.source.CaughtUp || observed < v.source.Contribution.Generation || c.in.Generation == 0 {
			return published["observedGeneration"]
		}
	}
	return c.in.Generation
}

// sameCondition compares all fields but heartbeats. null is absent.
func sameCondition(a, b map[string]any) bool {
	covers := func(a, b map[string]any) bool {
		for name, value := range a {
			if !slices.Contains(heartbeats[:], name) && !patch.Equal(value, b[name]) {
				return false
			}
		}
		return true
	}
	return covers(a, b) && covers(b, a)
}

// cut bounds a message.
func cut(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage-len("…")], "") + "…"
}
