package policytest

import (
	"fmt"
	"maps"
	"slices"
)

// differences tells, for each path, what was wanted and what came.
func differences(path string, want, got any) []string {
	if wm, ok := want.(map[string]any); ok {
		if gm, ok := got.(map[string]any); ok {
			return objectDifferences(path, wm, gm)
		}
	}
	if wl, ok := want.([]any); ok {
		if gl, ok := got.([]any); ok {
			return listDifferences(path, wl, gl)
		}
	}
	w, g := snapshot(want), snapshot(got)
	switch {
	case w == g:
		return nil
	case got == nil:
		return []string{fmt.Sprintf("%s: want %s, got nothing", path, w)}
	case want == nil:
		return []string{fmt.Sprintf("%s: want nothing, got %s", path, g)}
	}
	return []string{fmt.Sprintf("%s: want %s, got %s", path, w, g)}
}

func objectDifferences(path string, want, got map[string]any) []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(want)), maps.Keys(got))
	slices.Sort(names)
	var found []string
	for _, name := range slices.Compact(names) {
		found = append(found, differences(path+"."+name, want[name], got[name])...)
	}
	return found
}

// listDifferences compares by place; conditions by type.
func listDifferences(path string, want, got []any) []string {
	byType := func(list []any) map[string]any {
		m := map[string]any{}
		for _, item := range list {
			if kind := typeOf(item); kind != "" {
				m[kind] = item
			}
		}
		return m
	}
	if w, g := byType(want), byType(got); len(w)+len(g) > 0 && len(w) == len(want) && len(g) == len(got) {
		return objectDifferences(path, w, g)
	}
	var found []string
	for i := range max(len(want), len(got)) {
		var w, g any
		if i < len(want) {
			w = want[i]
		}
		if i < len(got) {
			g = got[i]
		}
		found = append(found, differences(fmt.Sprintf("%s[%d]", path, i), w, g)...)
	}
	return found
}
