package aggregate

import (
	"encoding/json"
	"maps"
	"time"
)

// Values are parsed JSON: nil, bool, int64, float64, string, []any, map[string]any. They are shared, and so never modified.

// topConditions is the path of the list that holds the end and the summary.
var topConditions = []string{"conditions"}

// lookup returns the value at a path; nil if there is none.
func lookup(status map[string]any, path []string) any {
	for _, name := range path[:len(path)-1] {
		status, _ = status[name].(map[string]any)
	}
	return status[path[len(path)-1]]
}

// set puts a value at a path of a status that is ours to modify; objects below it may be shared, and are copied. nil removes.
func set(status map[string]any, path []string, value any) {
	if len(path) == 0 {
		return
	}
	name := path[0]
	if len(path) > 1 {
		child, ok := status[name].(map[string]any)
		if !ok && value == nil {
			return
		}
		if child = maps.Clone(child); child == nil {
			child = map[string]any{}
		}
		if set(child, path[1:], value); value == nil && len(child) == 0 {
			delete(status, name) // an object of nothing may lack fields that its schema requires
			return
		}
		value = child
	}
	if value == nil {
		delete(status, name)
		return
	}
	status[name] = value
}

// text returns a string field of an object; "" if v is no object or has no such string.
func text(v any, name string) string {
	m, _ := v.(map[string]any)
	s, _ := m[name].(string)
	return s
}

// setText sets a string field. An empty text adds no field.
func setText(m map[string]any, name, s string) {
	value, there := m[name]
	if before, is := value.(string); is && before == s || !there && s == "" {
		return
	}
	m[name] = s
}

// later returns the later of two timestamps. An invalid one is earlier than any.
func later(a, b any) any {
	sa, _ := a.(string)
	sb, _ := b.(string)
	tb, errB := time.Parse(time.RFC3339, sb)
	ta, errA := time.Parse(time.RFC3339, sa)
	if errB == nil && (errA != nil || tb.After(ta)) {
		return b
	}
	return a
}

// isTime reports whether a string has the form of an RFC 3339 timestamp.
func isTime(s string) bool {
	return len(s) >= len("2006-01-02T15:04:05Z") && s[4] == '-' && s[7] == '-' && s[10] == 'T' && s[13] == ':'
}

// canonical returns the same text for equal values.
func canonical(v any) string {
	data, _ := json.Marshal(v) // parsed JSON always encodes
	return string(data)
}

// object is nil if v is none.
func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}
