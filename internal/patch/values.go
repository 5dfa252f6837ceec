package patch

import (
	"math"
	"strconv"
)

// zero says whether v is what a typed API server leaves out: zero, false, "", an empty list, an object of nothing else.
func zero(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case int64:
		return v == 0
	case float64:
		return v == 0
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
	return false
}

// equalScalars compares what is neither a list nor an object. Numbers are compared by value: 1 is 1.0, and no integer loses digits.
func equalScalars(a, b any) bool {
	switch a := a.(type) {
	case string:
		b, ok := b.(string)
		return ok && a == b
	case bool:
		b, ok := b.(bool)
		return ok && a == b
	case int64:
		b, ok := integer(b)
		return ok && a == b
	case float64:
		if i, ok := integer(a); ok {
			b, ok := integer(b)
			return ok && i == b
		}
		b, ok := b.(float64)
		return ok && a == b
	}
	return a == nil && b == nil
}

// integer is v as an integer, if it is one and fits.
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
		key, ok := keyOf(item, keys)
		if _, twice := at[key]; !ok || twice {
			return nil, false
		}
		at[key] = i
	}
	return at, true
}

// keyOf joins an item's key fields. An absent field is the same as "" (a load balancer has an ip or a hostname), but one must be there.
func keyOf(item any, keys []string) (string, bool) {
	m, ok := item.(map[string]any)
	if !ok {
		return "", false
	}
	if len(keys) == 1 {
		s, ok := m[keys[0]].(string)
		if ok && s != "" {
			return s, true
		}
	}
	var key []byte
	found := false
	for _, name := range keys {
		switch v := m[name].(type) {
		case nil:
			key = append(key, `""`...)
		case string:
			key = strconv.AppendQuote(key, v)
			found = found || v != ""
		case bool:
			key, found = strconv.AppendBool(key, v), true
		case int64, float64:
			if i, ok := integer(v); ok {
				key, found = strconv.AppendInt(key, i, 10), true
				break
			}
			key, found = strconv.AppendFloat(key, v.(float64), 'g', -1, 64), true
		default:
			return "", false
		}
		key = append(key, ',')
	}
	return string(key), found
}
