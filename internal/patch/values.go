package patch

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// zero reports whether a typed API server leaves v out: zero, false, "", an empty list, an object of nothing else.
func zero(v any) bool {
	switch v := v.(type) {
	case []any:
		return len(v) == 0
	case map[string]any:
		for _, member := range v {
			if !zero(member) {
				return false
			}
		}
		return true
	}
	return v == nil || v == false || v == "" || v == int64(0) || v == 0.0
}

// equalScalars compares two values of which b is neither a list nor an object. Numbers are compared by value: 1 is 1.0, and no integer
// loses digits; times by their instant.
func (d *differ) equalScalars(a, b any) bool {
	if s, ok := a.(string); ok && a != b {
		t, ok := b.(string)
		return ok && d.spelling(s) == d.spelling(t)
	}
	x, wholeA := integer(a)
	y, wholeB := integer(b)
	if wholeA || wholeB {
		return wholeA && wholeB && x == y
	}
	return a == b
}

// spelling returns the one spelling of a time, and on typed servers of a quantity, so that two spellings of one value are equal. Other
// texts are returned as they are: without a type, "1.10" may be a version.
func (d *differ) spelling(s string) string {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return s
	}
	if len(s) >= len("2026-03-01T10:00:00Z") && s[4] == '-' && s[10] == 'T' {
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return t.UTC().Format(time.RFC3339Nano)
		}
	}
	if d.Typed && len(s) <= 32 && !strings.ContainsAny(s, "eE") { // an exponent may ask for a billion digits
		if q, err := resource.ParseQuantity(s); err == nil {
			return q.String()
		}
	}
	return s
}

// integer returns v as an integer, if it is one and fits.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case float64:
		if v == math.Trunc(v) && v >= math.MinInt64 && v < math.MaxInt64 { // MaxInt64 as a float is 2^63, one too many
			return int64(v), true
		}
	}
	return 0, false
}

// index maps the key of each item to its place. It is false for a list that is not keyed by these fields: none
// given, an item without them, or two with the same.
func index(list []any, keys []string) (map[string]int, bool) {
	if len(keys) == 0 {
		return nil, false
	}
	at := make(map[string]int, len(list))
	for i, item := range list {
		key, ok := EntryKey(item, keys)
		if _, twice := at[key]; !ok || twice {
			return nil, false
		}
		at[key] = i
	}
	return at, true
}

// EntryKey joins the values of an item's key fields; ok is false if the item has none of them. An absent field is the same as null and "":
// a load balancer has an ip or a hostname.
func EntryKey(item any, keys []string) (key string, ok bool) {
	m, _ := item.(map[string]any)
	if len(keys) == 1 {
		if s, _ := m[keys[0]].(string); s != "" {
			return s, true
		}
	}
	var b []byte
	for _, name := range keys {
		switch v := m[name].(type) {
		case nil:
			b = append(b, `""`...)
		case string:
			b, ok = strconv.AppendQuote(b, v), ok || v != ""
		case []any:
			return "", false
		case map[string]any: // such as parentRef, which tells the parents of a route apart
			object, err := json.Marshal(v)
			b, ok = append(b, object...), ok || err == nil
		default:
			if i, whole := integer(v); whole {
				b, ok = fmt.Appendf(b, "%020d", i), true // in the order of numbers
				break
			}
			b, ok = fmt.Append(b, v), true
		}
		b = append(b, ',')
	}
	return string(b), ok
}
