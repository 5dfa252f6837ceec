package aggregate

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Values are parsed JSON: nil, bool, int64, float64, string, []any, map[string]any. They are shared, and so never modified.

// lookup is the value at a path; nil if there is none.
func lookup(status map[string]any, path []string) any {
	for _, name := range path[:len(path)-1] {
		status, _ = status[name].(map[string]any)
	}
	return status[path[len(path)-1]]
}

// set puts a value at a path of a status that is ours to modify; objects below it may be shared, and are copied. nil removes.
func set(status map[string]any, path []string, value any) {
	name := path[0]
	if len(path) > 1 {
		child, ok := status[name].(map[string]any)
		if !ok && value == nil {
			return
		}
		child = maps.Clone(child)
		if child == nil {
			child = map[string]any{}
		}
		set(child, path[1:], value)
		value = child
	}
	if value == nil {
		delete(status, name)
		return
	}
	status[name] = value
}

// text is a string field of an object; "" if v is no object, or has no such string.
func text(v any, name string) string {
	m, _ := v.(map[string]any)
	s, _ := m[name].(string)
	return s
}

// setText sets a string field, or leaves it out where there is neither a text nor the field.
func setText(m map[string]any, name, s string) {
	value, there := m[name]
	if before, is := value.(string); is && before == s || !there && s == "" {
		return
	}
	m[name] = s
}

func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<63 {
			return int64(v), true
		}
	}
	return 0, false
}

// equal compares values; 1 and 1.0 are the same, and so are null and an absent field.
func equal(a, b any) bool { return same(a, b, func(a, b string) bool { return a == b }) }

// alike compares values but for timestamps: any two of them are the same.
func alike(a, b any) bool {
	return same(a, b, func(a, b string) bool { return a == b || isTime(a) && isTime(b) })
}

func same(a, b any, strings func(a, b string) bool) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok {
			return false
		}
		for name, value := range a {
			if !same(value, b[name], strings) {
				return false
			}
		}
		for name, value := range b {
			if _, both := a[name]; !both && value != nil {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !same(a[i], b[i], strings) {
				return false
			}
		}
		return true
	case string:
		b, ok := b.(string)
		return ok && strings(a, b)
	case int64, float64:
		order, err := compare(a, b)
		return err == nil && order == 0
	}
	return a == b
}

// newer is a, with every timestamp that is newer in b, which is alike, taken from there.
func newer(a, b any) any {
	switch a := a.(type) {
	case map[string]any:
		b := b.(map[string]any)
		merged := make(map[string]any, len(a))
		for name, value := range a {
			merged[name] = newer(value, b[name])
		}
		return merged
	case []any:
		b := b.([]any)
		merged := make([]any, len(a))
		for i := range a {
			merged[i] = newer(a[i], b[i])
		}
		return merged
	case string:
		return later(a, b)
	}
	return a
}

var errNoOrder = errors.New("have no order")

// compare orders numbers, and strings: as timestamps, else as quantities, else as texts.
func compare(a, b any) (int, error) {
	switch a := a.(type) {
	case string:
		if b, ok := b.(string); ok {
			return compareTexts(a, b), nil
		}
	case int64:
		switch b := b.(type) {
		case int64:
			return cmp.Compare(a, b), nil
		case float64:
			return cmp.Compare(float64(a), b), nil
		}
	case float64:
		switch b := b.(type) {
		case int64:
			return cmp.Compare(a, float64(b)), nil
		case float64:
			return cmp.Compare(a, b), nil
		}
	}
	return 0, fmt.Errorf("%s and %s %w", describe(a), describe(b), errNoOrder)
}

func compareTexts(a, b string) int {
	if isTime(a) && isTime(b) {
		ta, erra := time.Parse(time.RFC3339, a)
		tb, errb := time.Parse(time.RFC3339, b)
		if erra == nil && errb == nil {
			return ta.Compare(tb)
		}
	}
	qa, erra := parseQuantity(a)
	qb, errb := parseQuantity(b)
	if erra == nil && errb == nil {
		return qa.Cmp(qb)
	}
	return strings.Compare(a, b)
}

// The longest text that is taken for a quantity, and the longest exponent in it.
const (
	maxQuantity = 64
	maxExponent = len("-99")
)

var errQuantity = fmt.Errorf("one has up to %d characters, of which up to %d follow an e", maxQuantity, maxExponent)

// parseQuantity reads a quantity of a size that somebody may have meant: of "1e999999999", all digits would be computed.
func parseQuantity(s string) (resource.Quantity, error) {
	if e := strings.LastIndexAny(s, "eE"); len(s) > maxQuantity || e >= 0 && len(s)-len("e")-e > maxExponent {
		return resource.Quantity{}, errQuantity
	}
	return resource.ParseQuantity(s)
}

// later is the later of two timestamps. One that is absent or none is earlier than any.
func later(a, b any) any {
	sa, _ := a.(string)
	sb, _ := b.(string)
	switch {
	case !isTime(sb):
		return a
	case !isTime(sa), compareTexts(sb, sa) > 0:
		return b
	}
	return a
}

// isTime says whether a string looks like an RFC 3339 timestamp.
func isTime(s string) bool {
	return len(s) >= len("2006-01-02T15:04:05Z") && s[4] == '-' && s[7] == '-' && s[10] == 'T' && s[13] == ':'
}

// add is the sum of numbers, of quantities (strings), or of objects of these by key.
func add(a, b any) (any, error) {
	switch a := a.(type) {
	case nil:
		return measurable(b)
	case int64:
		if b, ok := b.(int64); ok {
			if (a+b > a) != (b > 0) {
				return nil, fmt.Errorf("%d and %d are too large to be added", a, b)
			}
			return a + b, nil
		}
		if b, ok := b.(float64); ok {
			return addFloats(float64(a), b)
		}
	case float64:
		if b, ok := b.(int64); ok {
			return addFloats(a, float64(b))
		}
		if b, ok := b.(float64); ok {
			return addFloats(a, b)
		}
	case string:
		if b, ok := b.(string); ok {
			return addQuantities(a, b)
		}
	case map[string]any:
		if b, ok := b.(map[string]any); ok {
			return perKey(a, b, add)
		}
	}
	return nil, fmt.Errorf("%s and %s can't be added", describe(a), describe(b))
}

// addFloats fails where JSON has no number for the sum.
func addFloats(a, b float64) (any, error) {
	sum := a + b
	if math.IsInf(sum, 0) {
		return nil, fmt.Errorf("%v and %v are too large to be added", a, b)
	}
	return sum, nil
}

func addQuantities(a, b string) (any, error) {
	qa, err := parseQuantity(a)
	if err != nil {
		return nil, fmt.Errorf("%s is no quantity: %w", describe(a), err)
	}
	qb, err := parseQuantity(b)
	if err != nil {
		return nil, fmt.Errorf("%s is no quantity: %w", describe(b), err)
	}
	qa.Add(qb)
	return qa.String(), nil
}

// extreme is the smaller (sign -1) or larger (sign 1) of two values; of objects, by key.
func extreme(sign int) func(a, b any) (any, error) {
	return func(a, b any) (any, error) {
		if a == nil {
			return measurable(b)
		}
		ma, isMap := a.(map[string]any)
		if mb, ok := b.(map[string]any); ok && isMap {
			return perKey(ma, mb, extreme(sign))
		}
		order, err := compare(b, a)
		if order == sign {
			return b, err
		}
		return a, err
	}
}

// measurable is the first of the values that are added up or compared.
func measurable(v any) (any, error) {
	switch v.(type) {
	case bool, []any:
		return nil, fmt.Errorf("%s is no number, quantity or time", describe(v))
	}
	return v, nil
}

// describe is a value for people: short, whatever a cluster reports.
func describe(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return fmt.Sprintf("%.40q", v)
	}
	return fmt.Sprint(v)
}

// perKey combines two objects by key; what is in one only is taken as it is.
func perKey(a, b map[string]any, combine func(a, b any) (any, error)) (any, error) {
	merged := maps.Clone(a)
	for _, name := range slices.Sorted(maps.Keys(b)) { // in order, for the first error is the one that is told
		before, value := a[name], b[name]
		switch {
		case value == nil:
			continue
		case before == nil:
			merged[name] = value
			continue
		}
		combined, err := combine(before, value)
		if err != nil {
			return nil, err
		}
		merged[name] = combined
	}
	return merged, nil
}

// zeroed is a status of which only numbers and truths remain, at zero and false, and the conditions.
func zeroed(status map[string]any) map[string]any {
	zero := map[string]any{}
	for name, value := range status {
		switch value := value.(type) {
		case int64, float64:
			zero[name] = int64(0)
		case bool:
			zero[name] = false
		case map[string]any:
			zero[name] = zeroed(value)
		case []any:
			if name == "conditions" {
				zero[name] = value
			}
		}
	}
	return zero
}
