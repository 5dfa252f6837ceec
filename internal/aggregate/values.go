package aggregate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Values are parsed JSON: nil, bool, int64, float64, string, []any, map[string]any. They are shared, and so never modified.

// lookup returns the value at a path; nil if there is none.
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
		if child = maps.Clone(child); child == nil {
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

// fold is an operation that makes one value of many.
type fold int

const (
	smallest fold = -1
	sum      fold = 0
	largest  fold = 1
)

// of applies the operation to the values that are there: by key if they are objects, else by the first form that all of them have.
func (op fold) of(vals []any) (any, error) {
	if objects(vals) {
		return perField(namesIn(vals), vals, func(_ string, vals []any) (any, error) { return op.of(vals) })
	}
	for _, form := range forms {
		if value, err := form.apply(op, vals); value != nil || err != nil {
			return value, err
		}
	}
	if !slices.ContainsFunc(vals, func(v any) bool { return v != nil }) {
		return nil, nil
	}
	return nil, fmt.Errorf("can't combine %s: they are not all numbers, quantities, durations or times", short(canonical(vals)))
}

// form is a kind of scalar that has an order and, if add is set, a sum.
type form[T any] struct {
	parse   func(v any) (T, bool)
	compare func(a, b T) int
	add     func(a, b T) (T, bool) // false: too large
	value   func(T) any
}

// forms are tried in this order.
var forms = []interface {
	apply(fold, []any) (any, error)
}{
	form[int64]{typed[int64], cmp.Compare[int64], addIntegers[int64], func(n int64) any { return n }},
	form[float64]{parseFloat, cmp.Compare[float64], addFloats, func(f float64) any { return f }},
	form[time.Time]{parse: parseTime, compare: time.Time.Compare},
	form[resource.Quantity]{parseQuantity, func(a, b resource.Quantity) int { return a.Cmp(b) }, addQuantities, func(q resource.Quantity) any { return q.String() }},
	form[time.Duration]{parseDuration, cmp.Compare[time.Duration], addIntegers[time.Duration], func(d time.Duration) any { return d.String() }},
	form[string]{parse: typed[string], compare: cmp.Compare[string]},
}

// apply is nil without an error if a value has not this form. The smallest and the largest value keep their spelling.
func (f form[T]) apply(op fold, vals []any) (any, error) {
	if op == sum && f.add == nil {
		return nil, nil
	}
	var result T
	var best any
	for _, v := range vals {
		if v == nil {
			continue
		}
		x, ok := f.parse(v)
		switch {
		case !ok:
			return nil, nil
		case best == nil || op != sum && f.compare(x, result) == int(op):
			result, best = x, v
		case op == sum:
			if result, ok = f.add(result, x); !ok {
				return nil, fmt.Errorf("the sum with %s is too large", short(canonical(v)))
			}
		}
	}
	if op == sum && best != nil {
		return f.value(result), nil
	}
	return best, nil
}

func typed[T any](v any) (T, bool) {
	x, ok := v.(T)
	return x, ok
}

func parseFloat(v any) (float64, bool) {
	if n, ok := v.(int64); ok {
		return float64(n), true
	}
	return typed[float64](v)
}

func parseTime(v any) (time.Time, bool) {
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339, s)
	return t, err == nil
}

func parseDuration(v any) (time.Duration, bool) {
	s, _ := v.(string)
	d, err := time.ParseDuration(s)
	return d, err == nil
}

// parseQuantity reads a quantity of plausible size: of "1e999999999", all digits would be computed.
func parseQuantity(v any) (resource.Quantity, bool) {
	const longest, longestExponent = 64, len("-99")
	s, _ := v.(string)
	if e := strings.LastIndexAny(s, "eE"); len(s) > longest || e >= 0 && len(s)-len("e")-e > longestExponent {
		return resource.Quantity{}, false
	}
	q, err := resource.ParseQuantity(s)
	return q, err == nil
}

func addIntegers[T ~int64](a, b T) (T, bool) { return a + b, (a+b > a) == (b > 0) }

func addFloats(a, b float64) (float64, bool) { return a + b, !math.IsInf(a+b, 0) }

func addQuantities(a, b resource.Quantity) (resource.Quantity, bool) {
	a.Add(b)
	return a, true
}
