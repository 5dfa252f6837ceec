package aggregate

import (
	"cmp"
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
	} else if c.held { // an unknown SyncTarget decides: only the published entry tells anything of its condition
		maps.Copy(entry, published)
	}
	setText(entry, "type", kind)
	setText(entry, "status", status)
	setText(entry, "reason", reasonOf(deciding))
	setText(entry, "message", c.messageOf(deciding))
	for _, name := range heartbeats {
		if entry[name] != nil {
			entry[name] = newestOf(deciding, name, false)
		}
	}
	setTransition(entry, deciding, votes, published)
	if entry["observedGeneration"] != nil {
		entry["observedGeneration"] = c.conditionGeneration(deciding, published)
	}
	maps.DeleteFunc(entry, func(_ string, v any) bool { return v == nil })
	if published != nil && sameCondition(entry, published) && sameCondition(published, entry) {
		return published
	}
	return maps.Clone(entry)
}

func reasonOf(deciding []vote) string {
	if known := slices.DeleteFunc(slices.Clone(deciding), func(v vote) bool { return v.source != nil && v.source.remembered }); len(known) > 0 {
		deciding = known
	}
	reason := deciding[0].reasonText()
	if slices.ContainsFunc(deciding, func(v vote) bool { return v.reasonText() != reason }) {
		return reasonMultiple
	}
	return reason
}

// messageOf is the message of the only deciding SyncTarget, else all messages with the names of their SyncTargets.
func (c *conditionList) messageOf(deciding []vote) string {
	switch v := &deciding[0]; {
	case len(deciding) > 1:
		return together(fmt.Sprintf("%d/%d SyncTargets: ", len(deciding), c.counted), deciding)
	case v.reason != "":
		return fmt.Sprintf("SyncTarget %s: %s", v.source.Target, v.message())
	default:
		return cut(v.message())
	}
}

// together joins messages, each once: "a, b: message; c: other message". It ends where a message would be cut.
func together(prefix string, votes []vote) string {
	var b strings.Builder
	b.Grow(maxMessage / 4)
	b.WriteString(prefix)
	for i := 0; i < len(votes) && b.Len() <= maxMessage; i++ {
		message, separator := votes[i].message(), "; "
		same := func(v vote) bool { return v.message() == message }
		switch {
		case slices.ContainsFunc(votes[:i], same):
			continue
		case i == 0:
			separator = ""
		}
		for _, v := range votes[i:] {
			if same(v) {
				b.WriteString(separator)
				b.WriteString(string(v.source.Target))
				separator = ", "
			}
		}
		if message != "" {
			b.WriteString(": ")
			b.WriteString(message)
		}
	}
	return cut(b.String())
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
		return cmp.Or(v.source.NotReporting, "unreachable since its watch broke")
	case reasonNotReported:
		return "not reported"
	case reasonDisagree:
		return cmp.Or(text(v.entry, "status"), "absent")
	}
	return text(v.entry, "message")
}

// setTransition sets lastTransitionTime: as published while the status is, else the newest of the deciding votes, never earlier than published.
func setTransition(entry map[string]any, deciding, votes []vote, published map[string]any) {
	const name = "lastTransitionTime"
	before, newest := published[name], newestOf(votes, name, false)
	switch {
	case before != nil && text(published, "status") == text(entry, "status"):
		entry[name] = before
	case before != nil || newest != nil: // else this kind's conditions have no times
		if decided := newestOf(deciding, name, true); decided != nil {
			newest = decided
		}
		entry[name] = later(before, newest)
	}
}

// newestOf is the newest time that votes have under a name. since takes stale ones as of when they became stale.
func newestOf(votes []vote, name string, since bool) any {
	var newest any
	for _, v := range votes {
		if since && (v.reason == reasonStale || v.reason == reasonNotReported) && !v.source.Since.IsZero() {
			newest = later(newest, v.source.Since.UTC().Format(time.RFC3339))
		} else if t := v.entry[name]; t != nil && t != newest {
			newest = later(newest, t)
		}
	}
	return newest
}

// sameCondition reports whether b has all fields of a but heartbeats.
func sameCondition(a, b map[string]any) bool {
	for name, value := range a {
		if !slices.Contains(heartbeats[:], name) && !patch.Equal(value, b[name]) {
			return false
		}
	}
	return true
}

// cut bounds a message.
func cut(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage-len("…")], "") + "…"
}
