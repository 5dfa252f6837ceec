package policy

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

// Fold is an operation that makes one value of many.
type Fold int

const (
	Smallest Fold = -1
	Sum      Fold = 0
	Largest  Fold = 1
)

// Of applies the operation to the values that are there: by key if they are objects, else by the first form that all of them have.
func (op Fold) Of(vals []any) (any, error) {
	if Objects(vals) {
		return PerField(FieldNames(vals), vals, func(_ string, vals []any) (any, error) { return op.Of(vals) })
	}
	for _, form := range forms {
		if value, err := form.apply(op, vals); value != nil || err != nil {
			return value, err
		}
	}
	if !slices.ContainsFunc(vals, func(v any) bool { return v != nil }) {
		return nil, nil
	}
	return nil, fmt.Errorf("can't combine %s: they are not all numbers, quantities, durations or times", short(vals))
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
	apply(Fold, []any) (any, error)
}{
	form[int64]{typed[int64], cmp.Compare[int64], addIntegers[int64], func(n int64) any { return n }},
	form[float64]{parseFloat, cmp.Compare[float64], addFloats, func(f float64) any { return f }},
	form[time.Time]{parse: parseTime, compare: time.Time.Compare},
	form[resource.Quantity]{parseQuantity, func(a, b resource.Quantity) int { return a.Cmp(b) }, addQuantities, func(q resource.Quantity) any { return q.String() }},
	form[time.Duration]{parseDuration, cmp.Compare[time.Duration], addIntegers[time.Duration], func(d time.Duration) any { return d.String() }},
}

// apply is nil without an error if a value has not this form. The smallest and the largest value keep their spelling.
func (f form[T]) apply(op Fold, vals []any) (any, error) {
	if op == Sum && f.add == nil {
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
		case best == nil || op != Sum && f.compare(x, result) == int(op):
			result, best = x, v
		case op == Sum:
			if result, ok = f.add(result, x); !ok {
				return nil, fmt.Errorf("the sum with %s is too large", short(v))
			}
		}
	}
	if op == Sum && best != nil {
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

// short is a value for people, bounded.
func short(v any) string {
	const most = 100
	data, _ := json.Marshal(v) // parsed JSON always encodes
	if len(data) <= most {
		return string(data)
	}
	return strings.ToValidUTF8(string(data[:most]), "") + "…"
}

// Objects reports whether all values are objects, but for absent ones.
func Objects(vals []any) bool {
	there := false
	for _, v := range vals {
		_, ok := v.(map[string]any)
		if v != nil && !ok {
			return false
		}
		there = there || ok
	}
	return there
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// FieldNames are the field names of the objects among vals, sorted.
func FieldNames(vals []any) []string {
	var names []string
	for _, v := range vals {
		names = slices.AppendSeq(names, maps.Keys(object(v)))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// PerField makes an object of the values of each field.
func PerField(names []string, vals []any, decide func(name string, vals []any) (any, error)) (any, error) {
	merged := make(map[string]any, len(names))
	for _, name := range names {
		fields := make([]any, len(vals))
		for i, v := range vals {
			fields[i] = object(v)[name]
		}
		value, err := decide(name, fields)
		if err != nil {
			return nil, err
		}
		if value != nil {
			merged[name] = value
		}
	}
	return merged, nil
}
