package status

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestHeapIsBounded: the parsed form of any JSON takes at most four times the heap that Heap estimates.
func TestHeapIsBounded(t *testing.T) {
	for name, raw := range map[string]string{
		"objects with one member":       `{"a":[` + strings.TrimSuffix(strings.Repeat(`{"":0},`, 6000), ",") + `]}`,
		"empty objects":                 `{"a":[` + strings.TrimSuffix(strings.Repeat(`{},`, 9000), ",") + `]}`,
		"empty lists":                   `{"a":[` + strings.TrimSuffix(strings.Repeat(`[],`, 9000), ",") + `]}`,
		"lists with one item":           `{"a":[` + strings.TrimSuffix(strings.Repeat(`[0],`, 9000), ",") + `]}`,
		"one level in the other":        strings.Repeat(`{"":`, 60) + "1000" + strings.Repeat("}", 60),
		"short texts":                   `{"a":[` + strings.TrimSuffix(strings.Repeat(`"x","y",`, 5000), ",") + `]}`,
		"numbers":                       `{"a":[` + strings.TrimSuffix(strings.Repeat(`1e3,`, 9000), ",") + `]}`,
		"one long text":                 `{"a":"` + strings.Repeat("x", 100_000) + `"}`,
		"nine members in every object":  `{"a":[` + strings.TrimSuffix(strings.Repeat(`{"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0},`, 900), ",") + `]}`,
		"a Deployment as it is in life": deploymentStatus,
	} {
		if heap, estimate := heapOf(t, []byte(raw)), Heap([]byte(raw)); heap > 4*estimate {
			t.Errorf("%s: %d bytes of heap, estimated %d (%.1f times)", name, heap, estimate, float64(heap)/float64(estimate))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		raw, err := json.Marshal(rapid.MapOfN(rapid.StringN(0, 4, -1), valueGen(4), 1, 40).Draw(t, "status"))
		if err != nil {
			t.Fatal(err)
		}
		if heap, estimate := heapOf(t, raw), Heap(raw); heap > 4*estimate {
			t.Fatalf("%s: %d bytes of heap, estimated %d", raw, heap, estimate)
		}
	})
}

const deploymentStatus = `{"observedGeneration":3,"replicas":3,"updatedReplicas":3,"readyReplicas":3,"availableReplicas":3,"conditions":[
	{"type":"Available","status":"True","lastUpdateTime":"2026-03-01T10:00:00Z","lastTransitionTime":"2026-03-01T10:00:00Z","reason":"MinimumReplicasAvailable","message":"Deployment has minimum availability."}]}`

// heapOf measures the heap that one parsed form keeps, as the mean of many.
func heapOf(t interface{ Fatal(...any) }, raw []byte) int64 {
	kept := make([]map[string]any, max(20, min(1000, 256<<10/len(raw))))
	before := heapInUse()
	for i := range kept {
		var err error
		if kept[i], err = Parse(raw); err != nil {
			t.Fatal(err)
		}
	}
	after := heapInUse()
	runtime.KeepAlive(kept)
	return (after - before) / int64(len(kept))
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMeasureIsExact: counted in the text, nodes, objects and depth are those of the parsed form.
func TestMeasureIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, err := json.MarshalIndent(map[string]any{"x": valueGen(4).Draw(t, "value")}, "", rapid.SampledFrom([]string{"", " "}).Draw(t, "indent"))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		var want extent
		count(parsed, 1, &want)
		if got := measure(raw); got != want {
			t.Fatalf("%s: %+v, want %+v", raw, got, want)
		}
	})
}

func count(v any, depth int, e *extent) {
	e.nodes++
	switch v := v.(type) {
	case map[string]any:
		e.objects++
		e.depth = max(e.depth, depth)
		for _, below := range v {
			count(below, depth+1, e)
		}
	case []any:
		e.depth = max(e.depth, depth)
		for _, below := range v {
			count(below, depth+1, e)
		}
	}
}
