package patch

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// parse reads a status as the product keeps it: integers as int64, other numbers as float64. The empty string is no status.
func parse(t testing.TB, s string) map[string]any {
	t.Helper()
	if s == "" {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return numbers(v).(map[string]any)
}

func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

func byType(path []string) []string {
	if path[len(path)-1] == "conditions" {
		return []string{"type"}
	}
	return nil
}

func ingressKeys(path []string) []string {
	if slices.Equal(path, []string{"loadBalancer", "ingress"}) {
		return []string{"hostname", "ip"}
	}
	return byType(path)
}

func TestDiff(t *testing.T) {
	typed := Options{Typed: true, Keys: byType}
	for _, c := range []struct {
		name                     string
		published, owned, wanted string
		o                        Options
		patch                    string // empty: nothing to write
	}{
		{name: "nothing published", wanted: `{"replicas":3,"flag":false,"gone":null}`, patch: `{"replicas":3,"flag":false}`},
		{name: "nothing at all"},
		{name: "only null", published: `{"a":null}`, wanted: `{"b":null}`},
		{name: "one counter", published: `{"replicas":3,"readyReplicas":2}`, wanted: `{"replicas":3,"readyReplicas":3}`, patch: `{"readyReplicas":3}`},
		{name: "a counter falls to zero", published: `{"readyReplicas":2}`, wanted: `{"readyReplicas":0}`, o: typed, patch: `{"readyReplicas":0}`},
		{name: "float and integer of one value", published: `{"a":1,"b":2.0}`, wanted: `{"a":1.0,"b":2}`},
		{name: "integers beyond a float's precision", published: `{"a":9007199254740993}`, wanted: `{"a":9007199254740992}`, patch: `{"a":9007199254740992}`},
		{name: "two spellings of one time", published: `{"at":"2026-03-01T10:00:00Z","l":["2026-03-01T10:00:00.5Z"]}`, wanted: `{"at":"2026-03-01T11:00:00+01:00","l":["2026-03-01T10:00:00.500Z"]}`},
		{name: "two times", published: `{"at":"2026-03-01T10:00:00Z"}`, wanted: `{"at":"2026-03-01T10:00:00.000000001Z"}`, patch: `{"at":"2026-03-01T10:00:00.000000001Z"}`},
		{name: "two spellings of one quantity on a typed server", published: `{"used":{"cpu":"1","memory":"1Gi"}}`, wanted: `{"used":{"cpu":"1000m","memory":"1024Mi"}}`, o: typed},
		{name: "two versions elsewhere", published: `{"version":"1.1"}`, wanted: `{"version":"1.10"}`, patch: `{"version":"1.10"}`},
		{name: "a quantity with an absurd exponent", published: `{"a":"1e999999999"}`, wanted: `{"a":"1e999999998"}`, o: typed, patch: `{"a":"1e999999998"}`},
		{name: "number and string", published: `{"a":1}`, wanted: `{"a":"1"}`, patch: `{"a":"1"}`},

		{name: "zero is absent on a typed server", published: `{"a":1}`, wanted: `{"a":1,"n":0,"f":false,"s":"","l":[],"m":{"x":{"y":0}}}`, o: typed},
		{name: "absent is zero on a typed server", published: `{"a":1,"n":0,"l":[],"m":{"x":null}}`, wanted: `{"a":1}`, o: Options{Typed: true, Whole: true}},
		{name: "zero is not absent elsewhere", published: `{"a":1}`, wanted: `{"a":1,"n":0}`, patch: `{"n":0}`},
		{name: "false is not absent elsewhere", published: `{}`, wanted: `{"f":false}`, patch: `{"f":false}`},
		{name: "empty list and object are not absent elsewhere", published: `{}`, wanted: `{"l":[],"m":{}}`, patch: `{"l":[],"m":{}}`},
		{name: "zeros are sent once a patch is due", published: `{"a":1}`, wanted: `{"a":2,"n":0}`, o: typed, patch: `{"a":2,"n":0}`},
		{name: "a list of zeros is not an empty one", published: `{}`, wanted: `{"l":[0]}`, o: typed, patch: `{"l":[0]}`},
		{name: "zeros within list items", published: `{"l":[{"name":"a","state":{},"startedAt":null}]}`, wanted: `{"l":[{"name":"a","count":0}]}`, o: typed},

		{name: "objects by difference", published: `{"m":{"a":1,"b":2,"c":{"d":1}}}`, wanted: `{"m":{"a":1,"b":3,"c":{"d":1}}}`, patch: `{"m":{"b":3}}`},
		{name: "object instead of scalar", published: `{"m":1}`, wanted: `{"m":{"a":{"b":1,"c":null}}}`, patch: `{"m":{"a":{"b":1}}}`},
		{name: "scalar instead of object", published: `{"m":{"a":1}}`, wanted: `{"m":1}`, patch: `{"m":1}`},
		{name: "list instead of object", published: `{"m":{"a":1}}`, wanted: `{"m":[1]}`, patch: `{"m":[1]}`},
		{name: "lists whole", published: `{"l":[{"a":1},{"b":1}]}`, wanted: `{"l":[{"a":1},{"b":2}]}`, patch: `{"l":[{"a":1},{"b":2}]}`},
		{name: "lists in order", published: `{"l":[1,2]}`, wanted: `{"l":[2,1]}`, patch: `{"l":[2,1]}`},
		{name: "longer list", published: `{"l":[1]}`, wanted: `{"l":[1,2]}`, patch: `{"l":[1,2]}`},
		{name: "an item loses a field, whoever owns it", published: `{"l":[{"a":1,"b":1}]}`, wanted: `{"l":[{"a":1}]}`, patch: `{"l":[{"a":1}]}`},

		{name: "keyed lists by key", published: `{"conditions":[{"type":"A","status":"True"},{"type":"B","status":"True"}]}`,
			wanted: `{"conditions":[{"type":"B","status":"True"},{"type":"A","status":"True"}]}`, o: Options{Keys: byType, Whole: true}},
		{name: "list keyed by an object, in another order", published: `{"parents":[{"ref":{"name":"a","port":1}},{"ref":{"name":"b"}}]}`,
			wanted: `{"parents":[{"ref":{"name":"b"}},{"ref":{"port":1,"name":"a"}}]}`, o: Options{Keys: func([]string) []string { return []string{"ref"} }, Whole: true}},
		{name: "keyed list with a change, in another order", published: `{"conditions":[{"type":"A","status":"True"},{"type":"B","status":"True"}]}`,
			wanted: `{"conditions":[{"type":"B","status":"False"},{"type":"A","status":"True"}]}`, o: Options{Keys: byType, Whole: true},
			patch: `{"conditions":[{"type":"B","status":"False"},{"type":"A","status":"True"}]}`},
		{name: "keyed list, an entry less", published: `{"conditions":[{"type":"A"},{"type":"B"}]}`, wanted: `{"conditions":[{"type":"B"}]}`,
			o: Options{Keys: byType, Whole: true}, patch: `{"conditions":[{"type":"B"}]}`},
		{name: "two entries of one key are compared in order", published: `{"conditions":[{"type":"A"},{"type":"A","x":1}]}`,
			wanted: `{"conditions":[{"type":"A","x":1},{"type":"A"}]}`, o: Options{Keys: byType}, patch: `{"conditions":[{"type":"A","x":1},{"type":"A"}]}`},
		{name: "two key fields, either may be absent or empty", published: `{"loadBalancer":{"ingress":[{"ip":"10.0.0.1"},{"hostname":"a","ip":""}]}}`,
			wanted: `{"loadBalancer":{"ingress":[{"hostname":"a"},{"ip":"10.0.0.1"}]}}`, o: Options{Typed: true, Keys: ingressKeys, Whole: true}},
		{name: "another's condition stays", published: `{"conditions":[{"type":"A","status":"True"},{"type":"Theirs","status":"True"}]}`,
			owned:  `{"f:status":{"f:conditions":{"k:{\"type\":\"A\"}":{".":{},"f:status":{},"f:type":{}}}}}`,
			wanted: `{"conditions":[{"type":"A","status":"False"}]}`, o: Options{Keys: byType},
			patch: `{"conditions":[{"type":"A","status":"False"},{"type":"Theirs","status":"True"}]}`},
		{name: "another's condition alone is no difference", published: `{"conditions":[{"type":"Theirs"},{"type":"A"}]}`,
			owned: `{"f:status":{"f:conditions":{"k:{\"type\":\"A\"}":{}}}}`, wanted: `{"conditions":[{"type":"A"}]}`, o: Options{Keys: byType}},
		{name: "our condition goes, another's stays", published: `{"conditions":[{"type":"Theirs"},{"type":"A"},{"type":"B"}]}`,
			owned:  `{"f:status":{"f:conditions":{"k:{\"type\":\"A\"}":{},"k:{\"type\":\"B\"}":{}}}}`,
			wanted: `{"conditions":[{"type":"A"}]}`, o: Options{Keys: byType}, patch: `{"conditions":[{"type":"A"},{"type":"Theirs"}]}`},
		{name: "an atomic list of ours is ours whole", published: `{"conditions":[{"type":"A"},{"type":"B"}]}`, owned: `{"f:status":{"f:conditions":{}}}`,
			wanted: `{"conditions":[{"type":"A"}]}`, o: Options{Keys: byType}, patch: `{"conditions":[{"type":"A"}]}`},

		{name: "heartbeats of conditions alone", published: `{"conditions":[{"type":"A","lastHeartbeatTime":"1","lastProbeTime":null,"lastUpdateTime":"1"}]}`,
			wanted: `{"conditions":[{"type":"A","lastHeartbeatTime":"2","lastProbeTime":"2","lastUpdateTime":"2"}]}`},
		{name: "heartbeats of nested conditions", published: `{"parents":[{"conditions":[{"type":"A","lastUpdateTime":"1"}]}]}`,
			wanted: `{"parents":[{"conditions":[{"type":"A","lastUpdateTime":"2"}]}]}`},
		{name: "a transition is no heartbeat", published: `{"conditions":[{"type":"A","lastTransitionTime":"1","lastUpdateTime":"1"}]}`,
			wanted: `{"conditions":[{"type":"A","lastTransitionTime":"2","lastUpdateTime":"2"}]}`,
			patch:  `{"conditions":[{"type":"A","lastTransitionTime":"2","lastUpdateTime":"2"}]}`},
		{name: "heartbeat names elsewhere count", published: `{"lastUpdateTime":"1"}`, wanted: `{"lastUpdateTime":"2"}`, patch: `{"lastUpdateTime":"2"}`},

		{name: "ignored alone", published: `{"a":1,"seen":1}`, wanted: `{"a":1,"seen":2}`, o: Options{Ignore: [][]string{{"seen"}}}},
		{name: "ignored goes along", published: `{"a":1,"seen":1}`, wanted: `{"a":2,"seen":2}`, o: Options{Ignore: [][]string{{"seen"}}}, patch: `{"a":2,"seen":2}`},
		{name: "ignored in list items goes along", published: `{"a":1,"l":[{"t":1}]}`, wanted: `{"a":2,"l":[{"t":2}]}`,
			o: Options{Ignore: [][]string{{"l", "*", "t"}}}, patch: `{"a":2,"l":[{"t":2}]}`},
		{name: "ignored, first published along with another", wanted: `{"a":1,"l":[{"t":1}]}`, o: Options{Ignore: [][]string{{"l"}}}, patch: `{"a":1,"l":[{"t":1}]}`},
		{name: "ignored and ours, no longer wanted, goes along", published: `{"a":1,"seen":1}`, owned: `{"f:status":{"f:a":{},"f:seen":{}}}`,
			wanted: `{"a":2}`, o: Options{Ignore: [][]string{{"seen"}}}, patch: `{"a":2,"seen":null}`},
		{name: "ignored in list items and below any key", published: `{"l":[{"t":1}],"m":{"k":{"t":1}}}`, wanted: `{"l":[{"t":2}],"m":{"k":{"t":2}}}`,
			o: Options{Ignore: [][]string{{"l", "*", "t"}, {"m", "*", "t"}}}},
		{name: "ignored and ours, no longer wanted", published: `{"a":1,"seen":1}`, owned: `{"f:status":{"f:a":{},"f:seen":{}}}`, wanted: `{"a":1}`, o: Options{Ignore: [][]string{{"seen"}}}},
		{name: "learned", published: `{"l":[{"cpu":"1"}]}`, wanted: `{"l":[{"cpu":"1000m"}],"bogus":{"a":1}}`, o: Options{Learned: func(p []string) bool {
			return slices.Equal(p, []string{"bogus"}) || slices.Equal(p, []string{"l", "*", "cpu"})
		}}},

		{name: "ours, no longer wanted", published: `{"a":1,"b":2}`, owned: `{"f:status":{"f:a":{},"f:b":{}}}`, wanted: `{"a":1}`, patch: `{"b":null}`},
		{name: "ours, wanted as null", published: `{"a":1}`, owned: `{"f:status":{"f:a":{}}}`, wanted: `{"a":null}`, patch: `{"a":null}`},
		{name: "not ours", published: `{"a":1,"b":2}`, owned: `{"f:status":{"f:a":{}}}`, wanted: `{"a":1}`},
		{name: "not ours, whole", published: `{"a":1,"b":2}`, wanted: `{"a":1}`, o: Options{Whole: true}, patch: `{"b":null}`},
		{name: "all of it, whole", published: `{"a":1,"b":{"c":1}}`, o: Options{Whole: true}, patch: `{"a":null,"b":null}`},
		{name: "half an object is ours", published: `{"m":{"ours":1,"theirs":1}}`, owned: `{"f:status":{"f:m":{"f:ours":{}}}}`, patch: `{"m":{"ours":null}}`},
		{name: "half an object is ours, and wanted with less", published: `{"m":{"ours":1,"also":1,"theirs":1}}`,
			owned: `{"f:status":{"f:m":{"f:ours":{},"f:also":{}}}}`, wanted: `{"m":{"ours":1}}`, patch: `{"m":{"also":null}}`},
		{name: "a whole object is ours", published: `{"m":{"a":1,"b":{"c":1}}}`, owned: `{"f:status":{"f:m":{"f:a":{},"f:b":{"f:c":{}}}}}`, patch: `{"m":null}`},
		{name: "an empty object is ours", published: `{"m":{}}`, owned: `{"f:status":{"f:m":{}}}`, patch: `{"m":null}`},
		{name: "a list is ours", published: `{"l":[1]}`, owned: `{"f:status":{"f:l":{}}}`, patch: `{"l":null}`},
		{name: "a list is theirs", published: `{"l":[1]}`, owned: `{"f:status":{"f:a":{}}}`},
		{name: "entries of a set are ours", published: `{"l":["a","b"]}`, owned: `{"f:status":{"f:l":{"v:\"a\"":{}}}}`, patch: `{"l":["b"]}`},
		{name: "all entries of a keyed list are ours", published: `{"conditions":[{"type":"A"}]}`, owned: `{"f:status":{"f:conditions":{"k:{\"type\":\"A\"}":{}}}}`, patch: `{"conditions":null}`},
		{name: "entries of a keyed list are ours", published: `{"conditions":[{"type":"A"},{"type":"B"}]}`, owned: `{"f:status":{"f:conditions":{"k:{\"type\":\"A\"}":{}}}}`,
			patch: `{"conditions":[{"type":"B"}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			owned, err := ParseOwned([]byte(c.owned))
			if err != nil {
				t.Fatal(err)
			}
			published, wanted := parse(t, c.published), parse(t, c.wanted)
			got := Diff(published, wanted, owned, c.o)
			if diff := cmp.Diff(parse(t, c.patch), got); diff != "" {
				t.Errorf("patch (-want +got):\n%s", diff)
			}
			if again := Diff(Apply(published, got), wanted, owned, c.o); again != nil {
				t.Errorf("not done after one patch, then: %v", again)
			}
			if diff := cmp.Diff(parse(t, c.published), published) + cmp.Diff(parse(t, c.wanted), wanted); diff != "" {
				t.Errorf("an input was modified:\n%s", diff)
			}
		})
	}
}

func TestApply(t *testing.T) { // the cases of RFC 7386, appendix A, that start from an object
	for _, c := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{``, `{"a":1}`, `{"a":1}`},
		{`{"a":1}`, ``, `{"a":1}`},
	} {
		if diff := cmp.Diff(parse(t, c[2]), Apply(parse(t, c[0]), parse(t, c[1]))); diff != "" {
			t.Errorf("%s on %s (-want +got):\n%s", c[1], c[0], diff)
		}
	}
}

func TestBody(t *testing.T) {
	status := map[string]any{"z": int64(1), "a": map[string]any{"y": nil, "x": []any{"<&>", 1.5, true}}, "m": "\u2028"}
	want := `{"metadata":{"resourceVersion":"42"},"status":{"a":{"x":["<&>",1.5,true],"y":null},"m":"` + "\u2028" + `","z":1}}`
	for range 20 {
		b, err := Body("42", status)
		if err != nil || string(b) != want {
			t.Fatalf("%s, %v; want %s", b, err, want)
		}
	}
	if _, err := Body("", status); err == nil {
		t.Error("a patch without resourceVersion is not fenced, but was encoded")
	}
	if _, err := Body("42", map[string]any{"a": "\xff"}); err == nil {
		t.Error("a string that is not UTF-8 was encoded")
	}
}

func TestDifferences(t *testing.T) {
	for _, c := range []struct {
		name, sent, got string
		typed           bool
		want            [][]string
	}{
		{name: "as sent", sent: `{"a":1,"l":[{"b":2}]}`, got: `{"a":1.0,"l":[{"b":2}],"theirs":1}`},
		{name: "pruned", sent: `{"a":1,"bogus":{"b":1}}`, got: `{"a":1}`, want: [][]string{{"bogus"}}},
		{name: "normalised in each item, said once", sent: `{"l":[{"cpu":"1000m"},{"cpu":"2000m"}]}`, got: `{"l":[{"cpu":"1"},{"cpu":"2"}]}`, want: [][]string{{"l", "*", "cpu"}}},
		{name: "added to an item", sent: `{"l":[{"ip":"10.0.0.1"}]}`, got: `{"l":[{"ip":"10.0.0.1","ipMode":"VIP"}]}`, want: [][]string{{"l", "*", "ipMode"}}},
		{name: "added to an object is another's", sent: `{"m":{"a":1}}`, got: `{"m":{"a":1,"b":1}}`},
		{name: "zeros vanish on a typed server", sent: `{"a":0,"l":[{"x":""}],"e":[]}`, got: `{"l":[{"y":null}]}`, typed: true},
		{name: "zeros vanish elsewhere", sent: `{"a":0,"m":{}}`, got: `{}`, want: [][]string{{"a"}, {"m"}}},
		{name: "another length", sent: `{"l":[1,2]}`, got: `{"l":[1]}`, want: [][]string{{"l"}}},
		{name: "another type", sent: `{"a":{"b":1},"l":[1]}`, got: `{"a":1,"l":{}}`, want: [][]string{{"a"}, {"l"}}},
		{name: "removed", sent: `{"a":null,"m":{"b":null}}`, got: `{}`},
		{name: "removed, but still there", sent: `{"a":null,"m":{"b":null}}`, got: `{"a":1,"m":{"b":2}}`, want: [][]string{{"a"}, {"m", "b"}}},
	} {
		if diff := cmp.Diff(c.want, Differences(parse(t, c.sent), parse(t, c.got), c.typed)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
