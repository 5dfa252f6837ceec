package memapi

import (
	"encoding/json"
	"reflect"
	"testing"

	kjson "k8s.io/apimachinery/pkg/util/json"
)

// FuzzValues holds the own reading and writing of JSON against the standard library's.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{`{"b":[1,-2.5,1e300,"x\u00e9\n",null,true],"a":{}}`, `9007199254740993`, `[]`, `"`, `{"a":1}{`, `{"a":1,"a":2}`, `1E400`, `-0`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := unmarshal(text)
		var want any
		if wantErr := kjson.Unmarshal(text, &want); wantErr != nil {
			return // not JSON
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %#v, want %#v", text, got, want)
		}
		written := appendValue(nil, got)
		if !json.Valid(written) {
			t.Fatalf("%q is written as %q", text, written)
		}
		if again := appendValue(nil, decode(written)); string(again) != string(written) { // 1.0 is 1 from then on
			t.Fatalf("%q is written as %q, then as %q", text, written, again)
		}
	})
}

func TestMergePatch(t *testing.T) { // the examples of RFC 7386
	for _, tt := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		target, _ := unmarshal([]byte(tt[0]))
		patch, _ := unmarshal([]byte(tt[1]))
		if got := string(appendValue(nil, mergePatch(target, patch))); got != tt[2] {
			t.Errorf("%s patched by %s: got %s, want %s", tt[0], tt[1], got, tt[2])
		}
	}
}
