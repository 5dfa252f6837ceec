package evidence

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/upstreamd/upstreamd/internal/ref"
)

func TestCovers(t *testing.T) {
	const upstream = `{"replicas":3,"paused":false,"cpu":"1000m","template":{"containers":[{"name":"app","image":"a","args":["x","y"]}]}}`
	for name, c := range map[string]struct {
		copied  string
		ignored [][]string
		want    bool
	}{
		"the same":                  {copied: upstream, want: true},
		"with fields added":         {copied: `{"replicas":3,"cpu":"1","added":{"x":1},"template":{"containers":[{"name":"app","image":"a","args":["x","y"],"tty":true}]}}`, want: true},
		"with an item added before": {copied: `{"replicas":3,"cpu":"1","template":{"containers":[{"name":"proxy","image":"p"},{"name":"app","image":"a","args":["x","y"]}]}}`, want: true},
		"another scalar":            {copied: strings.Replace(upstream, "3", "4", 1)},
		"another scalar, ignored":   {copied: strings.Replace(upstream, "3", "4", 1), ignored: [][]string{{"replicas"}}, want: true},
		"another in a list":         {copied: strings.Replace(upstream, `"a"`, `"b"`, 1)},
		"ignored in a list":         {copied: strings.Replace(upstream, `"a"`, `"b"`, 1), ignored: [][]string{{"template", "containers", "*", "image"}}, want: true},
		"another order of texts":    {copied: strings.Replace(upstream, `"x","y"`, `"y","x"`, 1)},
		"a field is missing":        {copied: `{"replicas":3,"template":{"containers":[{"name":"app","image":"a","args":["x","y"]}]}}`},
		"an item is missing":        {copied: `{"replicas":3,"cpu":"1","template":{"containers":[]}}`},
		"no spec":                   {copied: ``},
		"an empty spec":             {copied: `{}`},
		"no object":                 {copied: `[]`},
		"too large":                 {copied: `{"x":"` + strings.Repeat("x", mostBytes) + `",` + upstream[1:]},
	} {
		if got := SpecOf([]byte(c.copied), c.ignored).Covers(SpecOf([]byte(upstream), c.ignored), nil); got != c.want {
			t.Errorf("%s: covers = %v", name, got)
		}
	}
	if SpecOf([]byte(upstream), nil).Covers(SpecOf([]byte(`{}`), nil), nil) {
		t.Error("an empty spec proves a copy")
	}
}

func TestRemoved(t *testing.T) {
	spec := func(raw string) Spec { return SpecOf([]byte(raw), nil) }
	first, second, third := spec(`{"a":1,"b":2}`), spec(`{"a":1}`), spec(`{"a":3}`)
	removed := first.Removed(second, nil)
	if first.Covers(second, removed) || !second.Covers(second, removed) {
		t.Error("a copy with a removed field reflects the edit")
	}
	removed = second.Removed(third, removed)
	if spec(`{"a":3,"b":2}`).Covers(third, removed) || !spec(`{"a":3}`).Covers(third, removed) {
		t.Error("a field that an earlier edit removed is forgotten")
	}
	if removed = third.Removed(first, removed); !first.Covers(first, removed) {
		t.Error("a field that came back counts as removed")
	}
}

func TestOf(t *testing.T) {
	created := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	e := Of(&ref.Object{Created: created, Clock: ref.Clock{Offset: time.Minute}, Annotations: map[string]string{
		UIDAnnotations[1]: "u", GenerationAnnotations[1]: "4", GenerationAnnotations[0]: "lie",
	}})
	if e.UID != "u" || e.Generation != 4 || e.Created != created.Add(-time.Minute).UnixNano() {
		t.Errorf("evidence is %+v", e)
	}
	if e := Of(&ref.Object{}); e.Created != 0 || e.UID != "" || e.Generation != 0 {
		t.Errorf("evidence of nothing is %+v", e)
	}
}

// TestEveryLeafIsNeeded: a copy with all that upstream has covers it, and one that lacks or changes any leaf does not.
func TestEveryLeafIsNeeded(t *testing.T) {
	leaf := rapid.OneOf(rapid.Just(any("x")), rapid.Just(any(true)), rapid.Map(rapid.IntRange(1, 9), func(n int) any { return n }))
	rapid.Check(t, func(t *rapid.T) {
		spec := rapid.MapOfN(rapid.StringMatching("[a-e]"), leaf, 1, 5).Draw(t, "spec")
		nested := map[string]any{"outer": spec, "list": []any{spec}}
		of := func(v any) Spec {
			raw, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			return SpecOf(raw, nil)
		}
		upstream := of(nested)
		if !of(nested).Covers(upstream, nil) {
			t.Fatal("a spec does not cover itself")
		}
		for name := range spec {
			changed := maps.Clone(spec)
			if changed[name] = "another"; rapid.Bool().Draw(t, "missing") {
				delete(changed, name)
			}
			if of(map[string]any{"outer": changed, "list": []any{spec}}).Covers(upstream, nil) {
				t.Fatalf("a copy with another %s covers upstream", name)
			}
		}
	})
}

// TestAnyJSON: no JSON makes the walk panic, other spellings of it have the same leaves, and one with another leaf has others.
func TestAnyJSON(t *testing.T) {
	leaf := rapid.OneOf(rapid.Map(rapid.String(), func(s string) any { return s }), rapid.Map(rapid.Float64Range(-1e6, 1e6), func(f float64) any { return f }),
		rapid.Just(any(nil)), rapid.Just(any(true)), rapid.Just(any("1000m")), rapid.Just(any([]any{})), rapid.Just(any(map[string]any{})))
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		if depth == 0 {
			return leaf
		}
		return rapid.OneOf(leaf,
			rapid.Map(rapid.SliceOfN(value(depth-1), 0, 4), func(l []any) any { return l }),
			rapid.Map(rapid.MapOfN(rapid.OneOf(rapid.Just("name"), rapid.StringN(0, 4, -1)), value(depth-1), 0, 4), func(m map[string]any) any { return m }))
	}
	rapid.Check(t, func(t *rapid.T) {
		spec := map[string]any{"v": value(4).Draw(t, "v"), "marker": "a"}
		compact, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		indented, _ := json.MarshalIndent(spec, " ", "\t")
		a, b := SpecOf(compact, nil), SpecOf(indented, nil)
		if a != b || !a.Covers(b, nil) {
			t.Fatalf("%s: two spellings differ", compact)
		}
		spec["marker"] = "b"
		other, _ := json.Marshal(spec)
		if SpecOf(other, nil).Covers(a, nil) {
			t.Fatalf("%s covers %s", other, compact)
		}
		SpecOf(compact[:len(compact)/2], nil)
	})
}
