package aggregate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// maxMessage bounds the message of a merged condition, in bytes.
const maxMessage = 1024

// heartbeats are fields of a condition that say no more than that somebody looked.
var heartbeats = [...]string{"lastUpdateTime", "lastHeartbeatTime", "lastProbeTime"}

// entry is the condition that the deciding SyncTargets make. It is the published one if nothing changed that counts.
func (c *conditionList) entry(status string, deciding, said []voice, published map[string]any) map[string]any {
	i := max(0, slices.IndexFunc(deciding, func(v voice) bool { return v.entry != nil }))
	if c.scratch == nil {
		c.scratch = make(map[string]any, 8)
	}
	clear(c.scratch)
	entry := c.scratch
	maps.Copy(entry, deciding[i].entry)
	setText(entry, "type", said[0].kind)
	setText(entry, "status", status)
	setText(entry, "reason", c.reasonOf(deciding))
	setText(entry, "message", c.messageOf(deciding, text(published, "message")))
	c.times(entry, status, deciding, said, published)
	if _, ok := entry["observedGeneration"]; ok {
		entry["observedGeneration"] = c.conditionGeneration(deciding, published)
		if entry["observedGeneration"] == nil {
			delete(entry, "observedGeneration")
		}
	}
	if sameCondition(entry, published) {
		return published
	}
	return maps.Clone(entry)
}

func (c *conditionList) reasonOf(deciding []voice) string {
	reason := deciding[0].saysReason()
	for _, v := range deciding[1:] {
		if v.saysReason() != reason {
			return reasonMultiple
		}
	}
	return reason
}

// messageOf is the message of the only deciding SyncTarget, else all messages, each once, with the names of those who say so. It is the
// published string if it is the same.
func (c *conditionList) messageOf(deciding []voice, published string) string {
	switch v := &deciding[0]; {
	case len(deciding) == 1 && v.reason != "":
		return fmt.Sprintf("SyncTarget %s: %s", v.source.Target, v.saysMessage())
	case len(deciding) == 1:
		return cut(v.saysMessage())
	}
	c.buffer = fmt.Appendf(c.buffer[:0], "%d/%d SyncTargets: ", len(deciding), c.counted)
	c.buffer = together(c.buffer, deciding)
	if string(c.buffer) == published {
		return published
	}
	return cut(string(c.buffer))
}

// together appends "a, b: message; c: other message".
func together(b []byte, voices []voice) []byte {
	for i := range voices {
		voices[i].message = voices[i].saysMessage()
	}
	for i := range voices {
		v, message := &voices[i], voices[i].message
		says := func(other voice) bool { return other.message == message }
		if slices.ContainsFunc(voices[:i], says) {
			continue
		}
		if i > 0 {
			b = append(b, "; "...)
		}
		b = append(b, v.source.Target...)
		for _, other := range voices[i+1:] {
			if says(other) {
				b = append(append(b, ", "...), other.source.Target...)
			}
		}
		if message != "" {
			b = append(append(b, ": "...), message...)
		}
	}
	return b
}

func (v *voice) saysReason() string {
	if v.reason != "" {
		return v.reason
	}
	return text(v.entry, "reason")
}

func (v *voice) saysMessage() string {
	switch v.reason {
	case reasonStale:
		return "not heard of"
	case reasonNotReported:
		return "not reported"
	}
	return text(v.entry, "message")
}

// times sets lastTransitionTime: as published while the status is, else the newest of those who decide, never earlier than published.
// Heartbeats are the newest.
func (c *conditionList) times(entry map[string]any, status string, deciding, said []voice, published map[string]any) {
	for _, name := range heartbeats {
		if entry[name] != nil {
			entry[name] = newestOf(deciding, name, false)
		}
	}
	const name = "lastTransitionTime"
	before := published[name]
	if before != nil && text(published, "status") == status {
		entry[name] = before
		return
	}
	if newestOf(said, name, false) == nil && before == nil {
		return // this kind's conditions have no times
	}
	newest := newestOf(deciding, name, true)
	if newest == nil {
		newest = newestOf(said, name, false)
	}
	entry[name] = later(before, newest)
}

// newestOf is the newest time that voices give under a name. since takes the stale ones as of when they became so.
func newestOf(voices []voice, name string, since bool) any {
	var newest any
	for _, v := range voices {
		if since && v.reason == reasonStale && !v.source.Since.IsZero() {
			newest = later(newest, v.source.Since.UTC().Format(time.RFC3339))
			continue
		}
		if v.entry != nil && v.entry[name] != nil {
			newest = later(newest, v.entry[name])
		}
	}
	return newest
}

// conditionGeneration translates a condition's own observedGeneration.
func (c *conditionList) conditionGeneration(deciding []voice, published map[string]any) any {
	for _, v := range deciding {
		observed, ok := integer(v.entry["observedGeneration"])
		if !ok || v.source.Contribution == nil || !v.source.CaughtUp || observed < v.source.Contribution.Generation || c.in.Generation == 0 {
			return published["observedGeneration"]
		}
	}
	return c.in.Generation
}

// sameCondition compares all but heartbeats. null is absent.
func sameCondition(a, b map[string]any) bool {
	if b == nil {
		return false
	}
	covers := func(a, b map[string]any) bool {
		for name, value := range a {
			if !slices.Contains(heartbeats[:], name) && !equal(value, b[name]) {
				return false
			}
		}
		return true
	}
	return covers(a, b) && covers(b, a)
}

func cut(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage-len("…")], "") + "…"
}
