package policy

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func eval(t *testing.T, expr string, targets []any) (any, error) {
	t.Helper()
	env, err := NewEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	program, err := env.Compile(expr)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return program.Eval(targets, map[string]any{"status": map[string]any{}, "metadata": map[string]any{}})
}

func target(name string, status map[string]any) any {
	return map[string]any{"name": name, "status": status, "generation": int64(3), "fresh": true}
}

func TestExpressions(t *testing.T) {
	targets := []any{
		target("a", map[string]any{"n": int64(1), "f": 0.5, "items": []any{map[string]any{"id": "x"}, map[string]any{"id": "y"}, map[string]any{"id": "x", "v": true}}, "at": "2026-03-01T10:00:00Z", "none": nil}),
		target("b", map[string]any{"n": int64(4), "f": 1.5, "items": []any{}, "at": "2026-03-01T09:00:00Z"}),
	}
	for expr, want := range map[string]any{
		"targets.map(t, t.status.n).sum()":             int64(5),
		"targets.map(t, t.status.f).sum()":             2.0,
		"[1, 2.5].sum()":                               3.5,
		"[1.5, 2, 3].sum()":                            6.5,
		"[].sum()":                                     int64(0),
		"100 * targets[0].status.f / 4":                12.5,
		"targets[1].status.f + targets[0].status.n":    2.5,
		"targets.size() * 1.5":                         3.0,
		"1.5 - 1 > 0":                                  true,
		"'a' + 'b'":                                    "ab",
		"[1] + [2]":                                    []any{int64(1), int64(2)},
		"has(targets[0].status.none)":                  false,
		"targets[0].status.?none.orValue(7)":           int64(7),
		"quantity('1Ki') + 1":                          1025.0,
		"quantity('500m') < 1":                         true,
		"duration('9m') < duration('600s')":            true,
		"[1, null, 2.5].sum()":                         3.5,
		"['1Gi', '512Mi'].sum()":                       "1536Mi",
		"['9m', '600s'].max()":                         "600s",
		"['9m', '600s'].sum()":                         "19m0s",
		"[{'a': 1}, {'a': 2, 'b': 1}].sum()":           map[string]any{"a": int64(3), "b": int64(1)},
		"[3, 1, 2].min()":                              int64(1),
		"[3, 1.5, 2].max()":                            int64(3),
		"targets.map(t, timestamp(t.status.at)).max()": "2026-03-01T10:00:00Z",
		"duration('90s')":                              "90s",
		"uint(7)":                                      int64(7),
		"null":                                         nil,
		"targets[0].status.?missing":                   nil,
		"targets[0].status.?n":                         int64(1),
		"targets[0].status.items.transformMapEntry(i, t, {string(i): t.id}).size()": int64(3),
		"cel.bind(t, targets[1], t.status.n + t.status.n)":                          int64(8),
		"[1, 1, 2].distinct()":                         []any{int64(1), int64(2)},
		"{'a': 1, 'b': null}":                          map[string]any{"a": int64(1)},
		"[true, 'x', 1.5]":                             []any{true, "x", 1.5},
		"targets.all(t, t.generation == 3 && t.fresh)": true,
		"targets[0].status":                            map[string]any{"n": int64(1), "f": 0.5, "items": []any{map[string]any{"id": "x"}, map[string]any{"id": "y"}, map[string]any{"id": "x", "v": true}}, "at": "2026-03-01T10:00:00Z"},
		"'a,b'.split(',')":                             []any{"a", "b"},
	} {
		got, err := eval(t, expr, targets)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v, %v; want %#v", expr, got, err, want)
		}
	}
	for expr, want := range map[string]string{
		"['a'].sum()":                    "not all numbers",
		"[9223372036854775807, 1].sum()": "too large",
		"[].min()":                       "empty list",
		"['b', 'a'].max()":               "not all numbers",
		"[1, 'a'].max()":                 "not all numbers",
		"targets[0].status.none":         "no such key",
		"quantity('lots')":               "no quantity",
		"targets[0].status.f * targets[0].status.at": "no such overload",
		"targets[0].status.items * 2":                "no such overload",
		"targets[0].status.missing":                  "no such key",
		"targets[5].name":                            "index out of bounds",
		"{1: 2}":                                     "JSON has only strings as keys",
		"{'a': type(1)}":                             "no JSON",
		"[b'x']":                                     "no JSON",
		"uint(18446744073709551615u)":                "overflow",
		"targets.map(t, targets[0].status.items.map(i, b'x'))": "no JSON",
		"0.0 / 0.0":            "gives NaN, which is no JSON",
		"[1e308, 1e308].sum()": "too large",
		"{'a': -1.0 / 0.0}":    "gives -Inf, which is no JSON",
	} {
		if got, err := eval(t, expr, targets); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s = %v, %v; want an error with %q", expr, got, err, want)
		}
	}
}

// TestSameOutput: however Go walks its maps, the same input gives the same output.
func TestSameOutput(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := map[string]any{}
		for _, name := range rapid.SliceOfDistinct(rapid.StringMatching("[a-z]{1,3}"), rapid.ID).Draw(rt, "names") {
			m[name] = map[string]any{"v": name}
		}
		targets := []any{target("a", m)}
		first, err := eval(t, "targets[0].status.map(k, k) + targets.map(t, t.status.filter(k, k != 'q').size())", targets)
		if err != nil {
			rt.Fatal(err)
		}
		if again, _ := eval(t, "targets[0].status.map(k, k) + targets.map(t, t.status.filter(k, k != 'q').size())", targets); !reflect.DeepEqual(first, again) {
			rt.Fatalf("first %v, then %v", first, again)
		}
	})
}

// FuzzExpressions: whatever a policy's author writes, and however large the data, compiling and running end with a value or an error.
func FuzzExpressions(f *testing.F) {
	for _, seed := range []string{"targets.map(t, t.status.n).sum()", "[].min()", "targets[0].status.?a.?b", "{'a': targets}", "targets.map(a, targets.map(b, a))"} {
		f.Add(seed)
	}
	env, err := NewEnvironment()
	if err != nil {
		f.Fatal(err)
	}
	targets := []any{target("a", map[string]any{"n": int64(1), "m": map[string]any{"x": []any{1.5, "s", nil, true}}})}
	f.Fuzz(func(t *testing.T, expr string) {
		program, err := env.Compile(expr)
		if err != nil {
			return
		}
		upstream := map[string]any{"status": map[string]any{}, "metadata": map[string]any{}}
		first, err := program.Eval(targets, upstream)
		again, errAgain := program.Eval(targets, upstream)
		if (err == nil) != (errAgain == nil) || !reflect.DeepEqual(first, again) {
			t.Errorf("%s: first %v %v, then %v %v", expr, first, err, again, errAgain)
		}
	})
}
