package patch

import "testing"

const ownedByUs = `{
	"f:metadata": {"f:labels": {"f:app": {}}},
	"f:status": {
		"f:conditions": {
			".": {},
			"k:{\"type\":\"Available\"}": {".": {}, "f:status": {}, "f:type": {}},
			"k:{\"type\":\"Degraded\"}": {".": {}, "f:status": {}, "f:type": {}},
			"k:{\"port\":80,\"protocol\":\"TCP\"}": {}
		},
		"f:loadBalancer": {"f:ingress": {}},
		"f:replicas": {},
		"f:selector": {}
	}
}`

func TestOwned(t *testing.T) {
	o, err := ParseOwned([]byte(ownedByUs))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		"status itself":                  nil,
		"a leaf":                         {"replicas"},
		"a field with fields below":      {"loadBalancer"},
		"a nested leaf":                  {"loadBalancer", "ingress"},
		"below a field owned whole":      {"selector", "app"},
		"a list with entries of ours":    {"conditions"},
		"deep below a field owned whole": {"selector", "a", "b"},
	} {
		if !o.Field(want...) {
			t.Errorf("%s (%v) is ours, but Field says no", path, want)
		}
	}
	for path, not := range map[string][]string{
		"a sibling":             {"readyReplicas"},
		"a sibling of a nested": {"loadBalancer", "other"},
		"metadata":              {"labels"},
		"below a keyed list":    {"conditions", "status"},
	} {
		if o.Field(not...) {
			t.Errorf("%s (%v) is not ours, but Field says yes", path, not)
		}
	}
	for name, c := range map[string]struct {
		list []string
		key  map[string]any
		want bool
	}{
		"an entry of ours":               {[]string{"conditions"}, map[string]any{"type": "Available"}, true},
		"an entry after another":         {[]string{"conditions"}, map[string]any{"type": "Degraded"}, true},
		"two keys, any order, an int":    {[]string{"conditions"}, map[string]any{"protocol": "TCP", "port": int64(80)}, true},
		"another number":                 {[]string{"conditions"}, map[string]any{"protocol": "TCP", "port": int64(81)}, false},
		"another's entry":                {[]string{"conditions"}, map[string]any{"type": "Progressing"}, false},
		"any entry of an atomic list":    {[]string{"loadBalancer", "ingress"}, map[string]any{"ip": "10.0.0.1"}, true},
		"an entry of a list not of ours": {[]string{"others"}, map[string]any{"type": "Available"}, false},
	} {
		if got := o.Item(c.list, c.key); got != c.want {
			t.Errorf("%s: Item(%v, %v) = %v", name, c.list, c.key, got)
		}
	}
}

func TestOwnedNothing(t *testing.T) {
	for _, raw := range []string{"", " ", "null", "{}", `{"f:metadata":{"f:labels":{}}}`, `{"f:status":{}}`} {
		o, err := ParseOwned([]byte(raw))
		if err != nil || o != nil {
			t.Errorf("%q: %v, %v; want nil, nil", raw, o, err)
		}
		if o.Field("replicas") || o.Field() || o.Item([]string{"conditions"}, map[string]any{"type": "A"}) {
			t.Errorf("%q: owns something", raw)
		}
	}
	if _, err := ParseOwned([]byte(`{"f:status":[`)); err == nil {
		t.Error("broken JSON was taken")
	}
}

// Another manager may own a field of an entry of ours.
func TestOwnedFieldsOfAnEntry(t *testing.T) {
	o, err := ParseOwned([]byte(`{"f:status":{"f:conditions":{
		"k:{\"type\":\"A\"}":{".":{},"f:status":{},"f:message":{}},
		"k:{\"type\":\"B\"}":{".":{},"f:status":{}},
		"k:{\"type\":\"C\"}":{"f:message":{}}},"f:atomic":{}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string]bool{"A": true, "B": false, "C": true, "D": false} {
		if got := o.ItemField([]string{"conditions"}, map[string]any{"type": kind}, "message"); got != want {
			t.Errorf("the message of %s is ours: %v, want %v", kind, got, want)
		}
	}
	if !o.ItemField([]string{"atomic"}, map[string]any{"type": "A"}, "message") {
		t.Error("the message in an atomic list of ours is not ours")
	}
}
