package patch

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

var (
	fields    = []string{"a", "b", "conditions", "m"}
	scalarGen = rapid.OneOf(
		rapid.Just[any](nil), rapid.SampledFrom([]any{int64(0), int64(1), 1.0, 1.5, "", "x", "1", "1000m", "2026-03-01T10:00:00Z", "2026-03-01T11:00:00.0+01:00", true, false}),
	)
)

func valueGen(depth int) *rapid.Generator[any] {
	if depth == 0 {
		return scalarGen
	}
	return rapid.OneOf(scalarGen,
		rapid.Map(rapid.SliceOfN(valueGen(depth-1), 0, 3), func(l []any) any { return l }),
		rapid.Map(statusGen(depth-1), func(m map[string]any) any { return m }))
}

// statusGen draws objects; "conditions" is always a list keyed by type.
func statusGen(depth int) *rapid.Generator[map[string]any] {
	return rapid.Custom(func(t *rapid.T) map[string]any {
		m := map[string]any{}
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(fields), 0, len(fields), rapid.ID).Draw(t, "names") {
			if name != "conditions" {
				m[name] = valueGen(depth).Draw(t, name)
				continue
			}
			list := []any{}
			for _, typ := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"A", "B", "C"}), 0, 3, rapid.ID).Draw(t, "types") {
				list = append(list, map[string]any{"type": typ, "status": rapid.SampledFrom([]any{"True", "False", ""}).Draw(t, "status")})
			}
			m[name] = list
		}
		return m
	})
}

// ownedGen draws a part of what is published, as a managedFields entry says it.
func ownedGen(published map[string]any) *rapid.Generator[*Owned] {
	return rapid.Custom(func(t *rapid.T) *Owned {
		set := fieldpath.NewSet()
		var walk func(v any, path fieldpath.Path)
		walk = func(v any, path fieldpath.Path) {
			m, isMap := v.(map[string]any)
			l, isList := v.([]any)
			switch {
			case isMap && len(m) > 0:
				for _, name := range slices.Sorted(maps.Keys(m)) {
					walk(m[name], append(path.Copy(), field(name)))
				}
			case isList && len(l) > 0 && *path[len(path)-1].FieldName == "conditions":
				for _, item := range l {
					if rapid.Bool().Draw(t, fmt.Sprint(path, item)) {
						set.Insert(append(path.Copy(), fieldpath.KeyElementByFields("type", item.(map[string]any)["type"])))
					}
				}
			case rapid.Bool().Draw(t, path.String()):
				set.Insert(path)
			}
		}
		walk(published, fieldpath.Path{field("status")})
		raw, err := set.ToJSON()
		if err != nil {
			t.Fatal(err)
		}
		owned, err := ParseOwned(raw)
		if err != nil {
			t.Fatal(err)
		}
		return owned
	})
}

// compact is the plain form of v: no nulls in objects, whole numbers as int64; typed also drops zeros, as a typed API server does.
func compact(v any, typed bool) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for k, c := range v {
			if c = compact(c, typed); c != nil && (!typed || !zero(c)) {
				m[k] = c
			}
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i := range v {
			l[i] = compact(v[i], typed)
		}
		return l
	}
	if i, ok := integer(v); ok {
		return i
	}
	return v
}

func TestEqualNeedsNoPatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		status := statusGen(3).Draw(t, "status")
		o := Options{Whole: rapid.Bool().Draw(t, "whole"), Typed: rapid.Bool().Draw(t, "typed"), Keys: byType}
		stored := compact(status, o.Typed).(map[string]any)
		if p := Diff(stored, status, nil, o); p != nil {
			t.Fatalf("stored as %v, then: %v", stored, p)
		}
		if p := Diff(status, stored, nil, o); p != nil {
			t.Fatalf("wanted as %v, then: %v", stored, p)
		}
	})
}

// TestOnePatchIsEnough: after one patch nothing is left to do, whatever is lenient, also when a typed server has dropped the zeros.
func TestOnePatchIsEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		published, desired := statusGen(3).Draw(t, "published"), statusGen(3).Draw(t, "desired")
		owned := ownedGen(published).Draw(t, "owned")
		o := Options{Whole: rapid.Bool().Draw(t, "whole"), Typed: rapid.Bool().Draw(t, "typed"), Ignore: [][]string{{"m", "*"}, {"b"}}, Keys: byType}
		p := Diff(published, desired, owned, o)
		after := compact(Apply(published, p), o.Typed).(map[string]any)
		if again := Diff(after, desired, owned, o); again != nil {
			t.Fatalf("patch %v\nafter %v\nthen %v", p, after, again)
		}
	})
}

func TestWholeBecomesDesired(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		published, desired := statusGen(3).Draw(t, "published"), statusGen(3).Draw(t, "desired")
		p := Diff(published, desired, nil, Options{Whole: true})
		if diff := cmp.Diff(compact(desired, false), compact(Apply(published, p), false)); diff != "" {
			t.Fatalf("patch %v (-desired +got):\n%s", p, diff)
		}
	})
}

// TestOwnershipHolds: what is desired is there, what is ours and not desired is gone, what is neither is as before.
func TestOwnershipHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		published, desired := statusGen(3).Draw(t, "published"), statusGen(3).Draw(t, "desired")
		owned := ownedGen(published).Draw(t, "owned")
		p := Diff(published, desired, owned, Options{Keys: byType})
		checkOwnership(t, published, desired, Apply(published, p), owned, nil)
	})
}

func checkOwnership(t *rapid.T, published, desired, after map[string]any, owned *Owned, path []string) {
	for name := range maps.Collect(joined(published, desired, after)) {
		at := append(slices.Clip(path), name)
		was, want, is := published[name], desired[name], after[name]
		wasMap, ok1 := was.(map[string]any)
		wantMap, ok2 := want.(map[string]any)
		isMap, ok3 := is.(map[string]any)
		switch {
		case ok2:
			if !ok3 {
				t.Fatalf("%v: %v, want an object", at, is)
			}
			checkOwnership(t, wasMap, wantMap, isMap, owned, at)
		case want == nil && ok1 && len(wasMap) > 0 && ok3:
			checkOwnership(t, wasMap, nil, isMap, owned, at)
		case name == "conditions":
			checkConditions(t, was, want, is, owned, at)
		case want != nil:
			if !cmp.Equal(compact(want, false), compact(is, false)) && !Equal(want, is) { // two spellings of one time are equal
				t.Fatalf("%v: %v, want %v", at, is, want)
			}
		case was != nil && owned.Field(at...):
			if is != nil {
				t.Fatalf("%v: %v is ours and not wanted, but is still there", at, is)
			}
		default:
			if !cmp.Equal(was, is) {
				t.Fatalf("%v: another's %v became %v", at, was, is)
			}
		}
	}
}

func checkConditions(t *rapid.T, was, want, is any, owned *Owned, path []string) {
	expect := byKey(want)
	for typ, c := range byKey(was) {
		if _, ok := expect[typ]; !ok && !owned.Item(path, map[string]any{"type": typ}) {
			expect[typ] = c
		}
	}
	if !cmp.Equal(expect, byKey(is)) {
		t.Fatalf("%v: %v, want %v", path, is, expect)
	}
}

func byKey(list any) map[string]any {
	m := map[string]any{}
	l, _ := list.([]any)
	for _, c := range l {
		m[c.(map[string]any)["type"].(string)] = c
	}
	return m
}

func joined(all ...map[string]any) func(func(string, bool) bool) {
	return func(yield func(string, bool) bool) {
		for _, m := range all {
			for name := range m {
				if !yield(name, true) {
					return
				}
			}
		}
	}
}

// FuzzDiff: whatever JSON the two sides hold, one patch is enough, the inputs stay as they were, and with Whole the
// result is what was desired. The patch survives its own encoding.
func FuzzDiff(f *testing.F) {
	f.Add(`{"a":1,"conditions":[{"type":"A"}]}`, `{"a":2}`, ownedByUs, true, false)
	f.Add(`{"l":[{"a":null}],"m":{"x":0}}`, `{"l":[{}],"m":{}}`, ``, false, true)
	f.Add(`{"conditions":[1,{"type":"A"}]}`, `{"conditions":[{"type":"A"},{"type":"A"}]}`, `{"f:status":{"f:conditions":{"i:0":{},"v:1":{}}}}`, false, true)
	f.Fuzz(func(t *testing.T, published, desired, fields string, whole, typed bool) {
		var have, want map[string]any
		if json.Unmarshal([]byte(published), &have) != nil || json.Unmarshal([]byte(desired), &want) != nil {
			return
		}
		owned, err := ParseOwned([]byte(fields))
		if err != nil {
			return
		}
		o := Options{Whole: whole, Typed: typed, Keys: byType}
		p := Diff(have, want, owned, o)
		after := Apply(have, p)
		if again := Diff(after, want, owned, o); again != nil {
			t.Fatalf("patch %v, then %v", p, again)
		}
		if whole && !typed && !hasConditions(want) && !cmp.Equal(compact(want, false), compact(after, false)) {
			t.Fatalf("want %v, got %v", want, after)
		}
		if p == nil {
			return
		}
		body, err := Body("1", p)
		if err != nil {
			t.Fatal(err)
		}
		var decoded struct{ Status map[string]any }
		if err := json.Unmarshal(body, &decoded); err != nil {
			t.Fatal(err)
		}
		if !cmp.Equal(compact(p, false), compact(decoded.Status, false)) {
			t.Fatalf("%v was encoded as %s", p, body)
		}
	})
}

// hasConditions: these may differ by their heartbeats alone, and are compared by key.
func hasConditions(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for name, c := range v {
			if name == "conditions" || hasConditions(c) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, hasConditions)
	}
	return false
}

func BenchmarkDiffUnchanged(b *testing.B) {
	const deployment = `{"observedGeneration":4,"replicas":3,"updatedReplicas":3,"readyReplicas":3,"availableReplicas":3,"conditions":[
		{"type":"Available","status":"True","lastUpdateTime":"2026-08-03T09:14:27Z","lastTransitionTime":"2026-08-03T09:14:27Z","reason":"MinimumReplicasAvailable","message":"m"},
		{"type":"Progressing","status":"True","lastUpdateTime":"2026-08-03T09:15:02Z","lastTransitionTime":"2026-08-03T09:13:51Z","reason":"NewReplicaSetAvailable","message":"m"}]}`
	published, desired := parse(b, deployment), parse(b, deployment)
	o := Options{Typed: true, Keys: byType, Ignore: [][]string{{"seen"}}}
	b.ReportAllocs()
	for b.Loop() {
		if Diff(published, desired, nil, o) != nil {
			b.Fatal("a difference")
		}
	}
}

// TestDigestsTellStatusesApart: exactly those that a patch would have to tell apart.
func TestDigestsTellStatusesApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := statusGen(2).Draw(t, "a"), statusGen(2).Draw(t, "b")
		o := Options{Whole: true, Typed: rapid.Bool().Draw(t, "typed"), Ignore: [][]string{{"m", "a"}, {"b"}}, Keys: byType}
		switch rapid.IntRange(0, 3).Draw(t, "alike") {
		case 0: // the same, as a server would store it
			b = compact(a, o.Typed).(map[string]any)
		case 1: // the same in another order
			b = compact(a, false).(map[string]any)
			if list, ok := b["conditions"].([]any); ok {
				slices.Reverse(list)
			}
		case 2: // the same but for what is ignored
			b = maps.Clone(a)
			b["b"] = valueGen(1).Draw(t, "ignored")
		}
		same := Diff(a, b, nil, o) == nil
		if same != (Diff(b, a, nil, o) == nil) {
			t.Skip("a typed server drops an object of nothing but what is ignored")
		}
		if x, y := Digest(a, o), Digest(b, o); same != (x == y) {
			t.Fatalf("same: %v, digests %x and %x", same, x, y)
		}
	})
}
