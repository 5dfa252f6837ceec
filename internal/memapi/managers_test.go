package memapi_test

import (
	"encoding/json"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/managedfields/managedfieldstest"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"pgregory.net/rapid"

	"github.com/upstreamd/upstreamd/internal/memapi"
)

// conditionsOf draws a keyed list, so that entries come, go, change and swap places.
func conditionsOf(t *rapid.T) []any {
	var list []any
	for _, kind := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"A", "B", "C"}), rapid.ID).Draw(t, "types") {
		list = append(list, map[string]any{
			"type": kind, "status": rapid.SampledFrom([]string{"True", "False"}).Draw(t, "status"), "reason": rapid.SampledFrom([]string{"", "R"}).Draw(t, "reason"),
		})
	}
	return list
}

func statusOf(t *rapid.T) map[string]any {
	status := map[string]any{}
	for _, name := range []string{"replicas", "observedGeneration", "collisionCount"} {
		if n := rapid.IntRange(0, 3).Draw(t, name); n > 0 {
			status[name] = n - 1
		}
	}
	if list := conditionsOf(t); list != nil {
		status["conditions"] = list
	}
	return status
}

// The fast tracking of this package gives the same managedFields as the code of a real server.
func TestManagedFieldsAreThoseOfTheLibrary(t *testing.T) {
	gvk := deployments.GroupVersion().WithKind("Deployment")
	for name, tt := range map[string]struct {
		resources []memapi.Resource
		converter managedfields.TypeConverter
	}{
		"typed":  {memapi.Kubernetes(), applyconfigurations.NewTypeConverter(scheme.Scheme)},
		"custom": {memapi.KCP(), managedfields.NewDeducedTypeConverter()},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				s := memapi.New(memapi.Options{Resources: tt.resources})
				defer s.Close()
				if _, err := s.Cluster("").Create(deployments, deploymentSpec("d")); err != nil {
					t.Fatal(err)
				}
				library := managedfieldstest.NewTestFieldManager(tt.converter, gvk)
				first, err := s.Cluster("").Get(deployments, "default", "d")
				if err != nil {
					t.Fatal(err)
				}
				update(t, library, first, "maker")
				for range rapid.IntRange(1, 8).Draw(t, "writes") {
					manager := rapid.SampledFrom([]string{"one", "two", "three"}).Draw(t, "manager")
					o, err := s.Cluster("").As(manager).UpdateStatus(deployments, "default", "d", statusOf(t))
					if err != nil {
						t.Fatal(err)
					}
					update(t, library, o, manager)
					if got, want := fieldsByManager(t, o.Meta.ManagedFields), fieldsByManager(t, library.ManagedFields()); fmt.Sprint(got) != fmt.Sprint(want) {
						t.Fatalf("after %s wrote %s:\ngot  %v\nwant %v", manager, o.Status, got, want)
					}
				}
			})
		})
	}
}

// update writes an object's status through the library. Other fields are not written here.
func update(t *rapid.T, library managedfieldstest.TestFieldManager, o *memapi.Object, manager string) {
	var stored map[string]any
	if err := o.Unmarshal(&stored); err != nil {
		t.Fatal(err)
	}
	same := &unstructured.Unstructured{Object: map[string]any{}}
	same.SetGroupVersionKind(deployments.GroupVersion().WithKind("Deployment"))
	same.SetName("d")
	if status, there := stored["status"]; there {
		same.Object["status"] = status
	}
	if err := library.Update(same, manager); err != nil {
		t.Fatal(err)
	}
}

// fieldsByManager are the fields of each manager, with members in order. It leaves out the maker, which only the library knows.
func fieldsByManager(t *rapid.T, entries []metav1.ManagedFieldsEntry) map[string]string {
	owned := map[string]string{}
	for _, e := range entries {
		if e.Manager == "maker" {
			continue
		}
		var v any
		if err := json.Unmarshal(e.FieldsV1.GetRawBytes(), &v); err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(v)
		owned[e.Manager] = string(b)
	}
	return owned
}
