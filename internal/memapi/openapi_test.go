package memapi_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/upstreamd/upstreamd/internal/memapi"
)

var crds = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// get decodes an answer of the server into v.
func get(t *testing.T, s *memapi.Server, path string, v any) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Config().Host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		t.Fatalf("%s: %d: %v", path, resp.StatusCode, err)
	}
	return resp
}

type indexDocument struct {
	Paths map[string]struct{ ServerRelativeURL string }
}

type schemaDocument struct {
	Components struct {
		Schemas map[string]struct {
			Properties map[string]struct {
				Properties map[string]struct {
					ListType string   `json:"x-kubernetes-list-type"`
					MapKeys  []string `json:"x-kubernetes-list-map-keys"`
					MaxItems int
				}
			}
		}
	}
}

func TestOpenAPIFollowsACustomResourceDefinition(t *testing.T) {
	s := memapi.New(memapi.Options{})
	defer s.Close()
	define := func(listeners string) map[string]any {
		return map[string]any{
			"metadata": map[string]any{"name": "gateways.example.dev"},
			"spec": map[string]any{
				"group": "example.dev", "scope": "Namespaced", "names": map[string]any{"plural": "gateways", "kind": "Gateway"},
				"versions": []any{map[string]any{
					"name": "v1", "served": true, "subresources": map[string]any{"status": map[string]any{}},
					"schema": map[string]any{"openAPIV3Schema": json.RawMessage(
						`{"type":"object","properties":{"status":{"type":"object","properties":{"listeners":` + listeners + `}}}}`)},
				}},
			},
		}
	}
	if _, err := s.Cluster("").Create(crds, define(`{"type":"array","maxItems":64}`)); err != nil {
		t.Fatal(err)
	}
	const at = "apis/example.dev/v1"
	var before, after indexDocument
	var first, second schemaDocument
	get(t, s, "/openapi/v3", &before)
	get(t, s, before.Paths[at].ServerRelativeURL, &first)
	if _, err := s.Cluster("").Patch(crds, "", "gateways.example.dev",
		define(`{"type":"array","maxItems":8,"x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"]}`)); err != nil {
		t.Fatal(err)
	}
	get(t, s, "/openapi/v3", &after)
	get(t, s, after.Paths[at].ServerRelativeURL, &second)
	if before.Paths[at] == after.Paths[at] {
		t.Errorf("the document changed, its URL did not: %v", before.Paths[at])
	}
	const kind = "dev.example.v1.Gateway"
	if l := first.Components.Schemas[kind].Properties["status"].Properties["listeners"]; l.MaxItems != 64 || l.ListType != "" {
		t.Errorf("before: %+v", l)
	}
	if l := second.Components.Schemas[kind].Properties["status"].Properties["listeners"]; l.MaxItems != 8 || l.ListType != "map" || len(l.MapKeys) != 1 {
		t.Errorf("after: %+v", l)
	}
}

func TestASkewedClockShowsInDatesAndTimes(t *testing.T) {
	s := memapi.New(memapi.Options{Skew: -time.Hour})
	defer s.Close()
	made, err := s.Cluster("").As("m").Create(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, map[string]any{"metadata": map[string]any{"name": "a", "namespace": "default"}, "data": map[string]any{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	behind := func(field string, at time.Time) {
		if by := time.Since(at); by < 59*time.Minute || by > 61*time.Minute {
			t.Errorf("%s is %v behind", field, by)
		}
	}
	behind("creationTimestamp", made.Meta.CreationTimestamp.Time)
	behind("the time of managedFields", made.Meta.ManagedFields[0].Time.Time)
	var list map[string]any
	date, err := http.ParseTime(get(t, s, "/api/v1/configmaps", &list).Header.Get("Date"))
	if err != nil {
		t.Fatal(err)
	}
	behind("the Date header", date)
}
