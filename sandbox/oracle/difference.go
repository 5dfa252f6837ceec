package oracle

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// difference is a path at which two JSON values differ. An absent value is nil.
type difference struct {
	path      string
	want, got string
}

// differences compares JSON values recursively while both have the same shape.
func differences(path string, want, got any) []difference {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		keys := maps.Clone(w)
		maps.Copy(keys, g)
		var all []difference
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			all = append(all, differences(join(path, key), w[key], g[key])...)
		}
		return all
	case []any:
		g, ok := got.([]any)
		if !ok || len(w) != len(g) {
			break
		}
		var all []difference
		for n := range w {
			all = append(all, differences(fmt.Sprintf("%s[%d]", path, n), w[n], g[n])...)
		}
		return all
	}
	if reflect.DeepEqual(want, got) {
		return nil
	}
	return []difference{{path, asJSON(want), asJSON(got)}}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// generic converts a typed value to its generic JSON form.
func generic(v any) any {
	var plain any
	if err := json.Unmarshal([]byte(asJSON(v)), &plain); err != nil {
		return err.Error()
	}
	return plain
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
