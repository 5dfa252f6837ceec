package policytest

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/policy"
)

// owns is what of a status is ours: all but what is foreign and still as it was before (nil: foreign whatever it was).
func owns(published, before map[string]any, foreign []string) (*patch.Owned, error) {
	o := ownership{foreign: foreign, now: before != nil}
	set, err := json.Marshal(map[string]any{"f:status": o.fields(nil, published, before)})
	if err != nil {
		return nil, fmt.Errorf("managedFields: %w", err)
	}
	return patch.ParseOwned(set)
}

type ownership struct {
	foreign []string
	now     bool // what is foreign may have been taken over since
}

// fields is the fieldsV1 form of an object: fields by name, conditions by type, other lists whole.
func (o *ownership) fields(path policy.Path, m, before map[string]any) map[string]any {
	fields := map[string]any{}
	for name, value := range m {
		at := append(slices.Clip(path), name)
		if o.isForeign(at, value, before[name]) {
			continue
		}
		switch value := value.(type) {
		case map[string]any:
			was, _ := before[name].(map[string]any)
			if below := o.fields(at, value, was); len(below) > 0 || len(value) == 0 {
				fields["f:"+name] = below
			}
		case []any:
			if entries := o.conditions(at, value, before); entries != nil {
				fields["f:"+name] = entries
			}
		default:
			fields["f:"+name] = map[string]any{}
		}
	}
	return fields
}

// conditions is the fieldsV1 form of a list; nil if none of it is ours.
func (o *ownership) conditions(path policy.Path, list []any, before map[string]any) map[string]any {
	entries := map[string]any{}
	for _, item := range list {
		kind := typeOf(item)
		if kind == "" || path[len(path)-1] != "conditions" {
			return map[string]any{} // owned whole
		}
		if !o.isForeign(append(slices.Clip(path), kind), item, conditionOf(before, kind)) {
			entries[fmt.Sprintf(`k:{"type":%q}`, kind)] = map[string]any{".": map[string]any{}}
		}
	}
	if len(entries) == 0 && len(list) > 0 {
		return nil
	}
	return entries
}

func (o *ownership) isForeign(path policy.Path, value, was any) bool {
	return slices.Contains(o.foreign, path.String()) && (!o.now || snapshot(value) == snapshot(was))
}

func typeOf(condition any) string {
	m, _ := condition.(map[string]any)
	kind, _ := m["type"].(string)
	return kind
}

func conditionOf(status map[string]any, kind string) any {
	list, _ := status["conditions"].([]any)
	if i := slices.IndexFunc(list, func(item any) bool { return typeOf(item) == kind }); i >= 0 {
		return list[i]
	}
	return nil
}
