package openapi

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

const document = `{"openapi":"3.0.0","paths":{"/apis/g/v1/namespaces/{namespace}/things/{name}/scale":{},"/apis/g/v1/others/{name}":{}},
"components":{"schemas":{
	"g.Thing":{"type":"object","x-kubernetes-group-version-kind":[{"group":"g","version":"v1","kind":"Thing"}],
		"properties":{"spec":{"properties":{"conditions":{"type":"array","items":{},"maxItems":1}}},"status":{"default":{},"allOf":[{"$ref":"#/components/schemas/g.Status"}]}}},
	"g.Status":{"type":"object","properties":{
		"conditions":{"type":"array","maxItems":8,"x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["type"],"items":{"$ref":"#/components/schemas/meta.Condition"}},
		"parents":{"type":"array","x-kubernetes-list-type":"atomic","items":{"properties":{"conditions":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["type"],"items":{}}}}},
		"byName":{"type":"object","additionalProperties":{"type":"array","maxItems":3,"items":{"type":"string"}}},
		"open":{"type":"object","additionalProperties":true},
		"tree":{"$ref":"#/components/schemas/g.Tree"}}},
	"g.Tree":{"properties":{"left":{"$ref":"#/components/schemas/g.Tree"},"right":{"$ref":"#/components/schemas/g.Tree"},"leaves":{"type":"array","maxItems":2,"items":{}}}},
	"meta.Condition":{"properties":{"type":{"type":"string"}}},
	"g.Loop":{"$ref":"#/components/schemas/g.Loop","x-kubernetes-group-version-kind":[{"group":"g","version":"v1","kind":"Loop"}]},
	"g.Null":null,
	"g.Bare":{"x-kubernetes-group-version-kind":[{"group":"g","version":"v1","kind":"Bare"},{"group":"h","version":"v1","kind":"Bare"}]}
}}}`

func TestStatus(t *testing.T) {
	d, err := Read(strings.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	kind := func(name string) schema.GroupVersionKind {
		return schema.GroupVersionKind{Group: "g", Version: "v1", Kind: name}
	}
	s := d.Status(kind("Thing"), "things")
	for path, want := range map[string]struct {
		keys []string
		most int
	}{
		"conditions":           {[]string{"type"}, 8},
		"parents":              {},
		"parents.*.conditions": {[]string{"type"}, 0},
		"byName.*":             {nil, 3},
		"tree.left.leaves":     {nil, 2},
		"open":                 {},
		"nothing":              {},
	} {
		if l := s.List(strings.Split(path, ".")); !slices.Equal(l.Keys, want.keys) || l.MaxItems != want.most {
			t.Errorf("%s: %+v, want %+v", path, l, want)
		}
	}
	if c := s.Counters(); len(c) != 1 || !slices.Equal(c[0], []string{"replicas"}) {
		t.Errorf("counters %v", c)
	}
	for _, name := range []string{"Bare", "Loop"} {
		if s := d.Status(kind(name), "others"); s == nil || len(s.Counters()) != 0 || s.List([]string{"conditions"}).MaxItems != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s := d.Status(kind("Unknown"), "unknowns"); s != nil {
		t.Errorf("a schema of a kind that is not there: %+v", s)
	}
}

func TestReadRefusesWhatIsNoDocument(t *testing.T) {
	for _, text := range []string{"", "{", "[]", `{"components":{"schemas":[]}}`} {
		if _, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}
