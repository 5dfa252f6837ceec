package status

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/upstreamd/upstreamd/internal/ref"
)

func nested(depth int) string {
	return `{"a":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + `}`
}

func conditions(n int) string {
	return `{"conditions":[` + strings.TrimSuffix(strings.Repeat(`{"type":"A"},`, n), ",") + `]}`
}

// many is a status with a list of n numbers: n + 2 values.
func many(n int) string {
	return `{"a": [` + strings.TrimSuffix(strings.Repeat("0 ,", n), ",") + `] }`
}

func sized(n int) string {
	return `{"a":"` + strings.Repeat("x", n-len(`{"a":""}`)) + `"}`
}

func TestExtract(t *testing.T) {
	deployment, err := os.ReadFile("testdata/deployment.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		object ref.Object
		opts   Options
		want   map[string]any
		reason Reason
	}{
		"absent": {},
		"null":   {object: ref.Object{Status: []byte(" null\n")}},
		"empty":  {object: ref.Object{Status: []byte(`{}`)}, want: map[string]any{}},
		"every type": {object: ref.Object{Status: []byte(`{"i":3,"f":1.5,"e":1e3,"s":"a\u00e9\n","t":true,"n":null,"l":[],"m":{"x":[0]}}`)},
			want: map[string]any{"i": int64(3), "f": 1.5, "e": 1000.0, "s": "aé\n", "t": true, "n": nil, "l": []any{}, "m": map[string]any{"x": []any{int64(0)}}}},
		"the largest integer":  {object: ref.Object{Status: []byte(`{"a":9223372036854775807}`)}, want: map[string]any{"a": int64(math.MaxInt64)}},
		"larger than integers": {object: ref.Object{Status: []byte(`{"a":9223372036854775808}`)}, want: map[string]any{"a": 9223372036854775808.0}},

		"undecodable object":   {object: ref.Object{Err: errors.New("labels are a number")}, reason: Undecodable},
		"a string":             {object: ref.Object{Status: []byte(`"ok"`)}, reason: NotAnObject},
		"a number":             {object: ref.Object{Status: []byte(`1`)}, reason: NotAnObject},
		"a boolean":            {object: ref.Object{Status: []byte(`false`)}, reason: NotAnObject},
		"a list":               {object: ref.Object{Status: []byte(`[{}]`)}, reason: NotAnObject},
		"cut off":              {object: ref.Object{Status: []byte(`{"a":[1`)}, reason: Malformed},
		"cut off in a name":    {object: ref.Object{Status: []byte(`{"a`)}, reason: Malformed},
		"cut off after a name": {object: ref.Object{Status: []byte(`{"a":`)}, reason: Malformed},
		"a name that is none":  {object: ref.Object{Status: []byte(`{1:2}`)}, reason: Malformed},
		"nothing but space":    {object: ref.Object{Status: []byte(` `)}, reason: Malformed},
		"two values":           {object: ref.Object{Status: []byte(`{} {}`)}, reason: Malformed},
		"duplicate names":      {object: ref.Object{Status: []byte(`{"a":1,"b":{"\u0061":1,"a":2}}`)}, reason: Malformed},
		"not UTF-8":            {object: ref.Object{Status: []byte("{\"a\":\"\xff\"}")}, reason: Malformed},
		"half a surrogate":     {object: ref.Object{Status: []byte(`{"a":"\ud800"}`)}, reason: Malformed},
		"a number too large":   {object: ref.Object{Status: []byte(`{"a":1e999}`)}, reason: Malformed},

		"as large as allowed":     {object: ref.Object{Status: []byte(sized(256 << 10))}, want: map[string]any{"a": strings.Repeat("x", 256<<10-8)}},
		"a byte too large":        {object: ref.Object{Status: []byte(sized(256<<10 + 1))}, reason: TooLarge},
		"a name too long":         {object: ref.Object{Status: []byte(`{"` + strings.Repeat("n", 256<<10) + `":1}`)}, reason: TooLarge},
		"one too deep":            {object: ref.Object{Status: []byte(nested(65))}, reason: TooDeep},
		"objects too deep":        {object: ref.Object{Status: []byte(strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65))}, reason: TooDeep},
		"far too deep":            {object: ref.Object{Status: []byte(`{"a":` + strings.Repeat("[", 200_000))}, reason: TooDeep},
		"one condition too many":  {object: ref.Object{Status: []byte(conditions(101))}, reason: TooManyConditions},
		"own limit on conditions": {object: ref.Object{Status: []byte(conditions(3))}, opts: Options{Limits: Limits{Conditions: 2}}, reason: TooManyConditions},
		"own limit on depth":      {object: ref.Object{Status: []byte(nested(3))}, opts: Options{Limits: Limits{Depth: 2}}, reason: TooDeep},
		"a value too many":        {object: ref.Object{Status: []byte(many(20_000))}, reason: TooManyNodes},
		"as many as allowed":      {object: ref.Object{Status: []byte(many(3))}, opts: Options{Limits: Limits{MaxNodes: 5}}, want: map[string]any{"a": []any{int64(0), int64(0), int64(0)}}},
		"own limit on values":     {object: ref.Object{Status: []byte(many(3))}, opts: Options{Limits: Limits{MaxNodes: 4}}, reason: TooManyNodes},
		"own limit on size":       {object: ref.Object{Status: []byte(sized(20))}, opts: Options{Limits: Limits{Bytes: 19}}, reason: TooLarge},

		"some fields": {object: ref.Object{Status: []byte(`{"a":1,"b":{"c":2,"d":3,"e":{"f":4}},"g":5,"h":[1]}`)},
			opts: Options{Fields: [][]string{{"a"}, {"b", "c"}, {"b", "e", "f"}, {"g", "x"}, {"h", "x"}, {"none"}}},
			want: map[string]any{"a": int64(1), "b": map[string]any{"c": int64(2), "e": map[string]any{"f": int64(4)}}}},
		"a field and one below it": {object: ref.Object{Status: []byte(`{"b":{"c":2,"d":{"e":3}}}`)},
			opts: Options{Fields: [][]string{{"b"}, {"b", "d", "e"}}},
			want: map[string]any{"b": map[string]any{"c": int64(2), "d": map[string]any{"e": int64(3)}}}},
		"no fields left": {object: ref.Object{Status: []byte(`{"a":1}`)}, opts: Options{Fields: [][]string{{"b"}}}, want: map[string]any{}},
		"from elsewhere": {object: ref.Object{Status: []byte(`{"a":1}`), Raw: []byte(`{"spec":{"x":[1],"clusterIP":"10.0.0.1","n":null},"data":1}`)},
			opts: Options{Paths: map[string][]string{"ip": {"spec", "clusterIP"}, "d": {"data"}, "no": {"spec", "y"}, "n": {"spec", "n"}, "deep": {"data", "x"}}},
			want: map[string]any{"a": int64(1), "ip": "10.0.0.1", "d": int64(1)}},
		"only from elsewhere": {object: ref.Object{Raw: []byte(`{"data":{"k":"v"}}`)}, opts: Options{Paths: map[string][]string{"data": {"data"}}},
			want: map[string]any{"data": map[string]any{"k": "v"}}},
		"nothing anywhere":        {object: ref.Object{Raw: []byte(`{}`)}, opts: Options{Paths: map[string][]string{"data": {"data"}}}},
		"elsewhere too deep":      {object: ref.Object{Raw: []byte(`{"d":` + nested(64) + `}`)}, opts: Options{Paths: map[string][]string{"d": {"d"}}}, reason: TooDeep},
		"elsewhere too large":     {object: ref.Object{Raw: []byte(`{"d":` + sized(30) + `}`)}, opts: Options{Limits: Limits{Bytes: 20}, Paths: map[string][]string{"d": {"d"}}}, reason: TooLarge},
		"elsewhere is no JSON":    {object: ref.Object{Raw: []byte(`{"d":`)}, opts: Options{Paths: map[string][]string{"d": {"d"}}}, reason: Malformed},
		"before it is no JSON":    {object: ref.Object{Raw: []byte(`{"a":},"d":1}`)}, opts: Options{Paths: map[string][]string{"d": {"d"}}}, reason: Malformed},
		"a real one, few kept":    {object: ref.Object{Status: deployment}, opts: Options{Fields: [][]string{{"readyReplicas"}}}, want: map[string]any{"readyReplicas": int64(3)}},
		"a name is a hostile one": {object: ref.Object{Status: []byte(`{"` + strings.Repeat("é", 500) + `":1,"` + strings.Repeat("é", 500) + `":2}`)}, reason: Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.opts.Extract(&c.object)
			var refused *Refused
			errors.As(err, &refused)
			switch {
			case c.reason == "" && err != nil, c.reason != "" && (refused == nil || refused.Reason != c.reason):
				t.Fatalf("%v; want reason %q", err, c.reason)
			case refused != nil && (got != nil || len(refused.Error()) > 300 || !strings.Contains(err.Error(), string(c.reason))):
				t.Fatalf("refused, with %v and %d bytes of message: %v", got, len(refused.Message), err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAtTheLimits(t *testing.T) {
	for name, s := range map[string]string{
		"depth":                  nested(64),
		"conditions":             conditions(100),
		"entries of other lists": strings.Replace(conditions(101), "conditions", "others", 1),
	} {
		got, err := Extract(&ref.Object{Status: []byte(s)}, Options{})
		if err != nil || got == nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if _, err := normalise(got, DefaultLimits()); err != nil {
			t.Errorf("%s: extracted, but refused when it is encoded again: %v", name, err)
		}
	}
}

func TestValidated(t *testing.T) {
	cycle := map[string]any{}
	cycle["again"] = []any{cycle, cycle}
	doubling := map[string]any{}
	for range 60 {
		doubling = map[string]any{"a": doubling, "b": doubling}
	}
	for name, c := range map[string]struct {
		status map[string]any
		limits Limits
		want   map[string]any
		reason Reason
	}{
		"every JSON type":           {status: map[string]any{"a": []any{int64(1), 1.5, "s", true, nil, map[string]any{}}}, want: map[string]any{"a": []any{int64(1), 1.5, "s", true, nil, map[string]any{}}}},
		"Go's own types":            {status: map[string]any{"a": 1, "b": map[string]string{"c": "d"}, "e": []any{struct{ F uint8 }{2}}}, want: map[string]any{"a": int64(1), "b": map[string]any{"c": "d"}, "e": []any{map[string]any{"F": int64(2)}}}},
		"a function":                {status: map[string]any{"a": func() {}}, reason: Malformed},
		"NaN":                       {status: map[string]any{"a": math.NaN()}, reason: Malformed},
		"infinity":                  {status: map[string]any{"a": math.Inf(-1)}, reason: Malformed},
		"not UTF-8":                 {status: map[string]any{"a": "\xff"}, reason: Malformed},
		"a name not UTF-8":          {status: map[string]any{"\xff": "a"}, reason: Malformed},
		"contains itself":           {status: cycle, reason: Malformed},
		"one value 2^60 times":      {status: doubling, reason: TooLarge},
		"too deep":                  {status: map[string]any{"a": map[string]any{}}, limits: Limits{Depth: 1}, reason: TooDeep},
		"too large":                 {status: map[string]any{"a": strings.Repeat("x", 20)}, limits: Limits{Bytes: 20}, reason: TooLarge},
		"a name too large":          {status: map[string]any{strings.Repeat("x", 20): nil}, limits: Limits{Bytes: 20}, reason: TooLarge},
		"too many conditions":       {status: map[string]any{"conditions": []any{nil, nil}}, limits: Limits{Conditions: 1}, reason: TooManyConditions},
		"too many values":           {status: map[string]any{"a": []any{nil, nil}}, limits: Limits{MaxNodes: 3}, reason: TooManyNodes},
		"as many values as allowed": {status: map[string]any{"a": []any{nil, nil}}, limits: Limits{MaxNodes: 4}, want: map[string]any{"a": []any{nil, nil}}},
	} {
		custom := Validated(ExtractorFunc(func(*ref.Object) (map[string]any, error) { return c.status, nil }), c.limits)
		got, err := custom.Extract(&ref.Object{})
		var refused *Refused
		errors.As(err, &refused)
		if (c.reason == "") != (err == nil) || refused != nil && refused.Reason != c.reason {
			t.Errorf("%s: %v, want reason %q", name, err, c.reason)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestValidatedPassesOn(t *testing.T) {
	broken := errors.New("broken")
	for _, want := range []error{nil, broken} {
		got, err := Validated(ExtractorFunc(func(*ref.Object) (map[string]any, error) { return nil, want }), Limits{}).Extract(&ref.Object{})
		if got != nil || !errors.Is(err, want) {
			t.Errorf("%v, %v; want nil, %v", got, err, want)
		}
	}
}

func TestHash(t *testing.T) {
	if Hash([]byte(`{"a":1}`)) == Hash([]byte(`{"a":2}`)) || Hash([]byte(`{"a":1}`)) != Hash([]byte(` {"a":1}`+"\n")) {
		t.Error("Hash does not tell statuses apart, or tells the same one apart")
	}
}

// TestSharedStrings: equal strings of two statuses are one instance.
func TestSharedStrings(t *testing.T) {
	for s := range shared {
		raw := []byte(`{"` + s + `":"` + s + `"}`)
		a, errA := Parse(raw)
		b, errB := Parse(raw)
		if errA != nil || errB != nil || a[s] != s || unsafe.StringData(a[s].(string)) != unsafe.StringData(b[s].(string)) {
			t.Errorf("%q: %v, %v, %v, %v", s, a, b, errA, errB)
		}
	}
}

// TestLikeTheStandardDecoder: any accepted status equals the result of encoding/json.
func TestLikeTheStandardDecoder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, err := json.Marshal(rapid.MapOf(rapid.String(), valueGen(3)).Draw(t, "status"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Extract(&ref.Object{Status: raw}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var want map[string]any
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(floats(got), any(want)) {
			t.Fatalf("%s: %v", raw, got)
		}
	})
}

func valueGen(depth int) *rapid.Generator[any] {
	scalars := rapid.OneOf(rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Int32().AsAny(), rapid.Float64().AsAny(), rapid.String().AsAny())
	if depth == 0 {
		return scalars
	}
	return rapid.OneOf(scalars, rapid.SliceOfN(valueGen(depth-1), 0, 4).AsAny(), rapid.MapOfN(rapid.String(), valueGen(depth-1), 0, 4).AsAny())
}

// floats gives all numbers as float64, as encoding/json does.
func floats(v any) any {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case []any:
		l := make([]any, len(v))
		for i := range v {
			l[i] = floats(v[i])
		}
		return l
	case map[string]any:
		m := make(map[string]any, len(v))
		for k := range v {
			m[k] = floats(v[k])
		}
		return m
	}
	return v
}

// FuzzExtract: encoding/json accepts every accepted status too, with an equal result.
func FuzzExtract(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5,-0,1e3,"\u00e9",null,true,{}]}`, `null`, `[]`, `{"a":1,"a":2}`, nested(65), conditions(3), `{"a":"\ud83d\ude00"}`, "{} x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := Extract(&ref.Object{Status: raw}, Options{})
		var refused *Refused
		if err != nil {
			if !errors.As(err, &refused) || got != nil || len(err.Error()) > 300 {
				t.Fatalf("%v with a %T of %d bytes", got, err, len(err.Error()))
			}
			return
		}
		if len(raw) == 0 {
			return
		}
		var want map[string]any
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatalf("taken, but: %v", err)
		}
		if got == nil != (want == nil) || got != nil && !reflect.DeepEqual(floats(got), any(want)) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

func BenchmarkExtract(b *testing.B) {
	raw, err := os.ReadFile("testdata/deployment.json")
	if err != nil {
		b.Fatal(err)
	}
	o := &ref.Object{Status: raw}
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := Extract(o, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStandardDecoder(b *testing.B) {
	raw, err := os.ReadFile("testdata/deployment.json")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		var m map[string]any
		if err := json.Unmarshal(raw, &m); err != nil {
			b.Fatal(err)
		}
	}
}

func TestParseReadsAsAPIServersEncode(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200)
	for raw, want := range map[string]map[string]any{
		"":                           nil,
		"null":                       nil,
		`{}`:                         {},
		`{"a":1,"b":[1.5,"x",true]}`: {"a": int64(1), "b": []any{1.5, "x", true}},
		`{"status":"True","n":null}`: {"status": "True", "n": nil},
	} {
		got, err := Parse([]byte(raw))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %v, %v", raw, got, err)
		}
	}
	if _, err := Parse([]byte(deep)); err != nil {
		t.Errorf("what an API server holds is refused: %v", err)
	}
	for _, raw := range []string{`[]`, `"a"`, `{"a":`} {
		if _, err := Parse([]byte(raw)); err == nil {
			t.Errorf("%s was taken for an object", raw)
		}
	}
}
