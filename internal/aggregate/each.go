package aggregate

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/policy"
)

var errNoKeys = errors.New("has items without key fields, or two with the same: name the fields that identify them in keys")

// each decides a rule with "*" in its path for every member of an object, or every item of a keyed list, that stands there.
func (d *decider) each(f *policy.Field, end ending) error {
	star := slices.Index(f.Path, "*")
	path, rest := f.Path[:star:star], append(policy.Path{""}, f.Path[star+1:]...)
	keys := d.keys(path)
	members := make([]map[string]any, len(d.in.Sources)+2) // by key: of each SyncTarget, as published, and as decided so far
	for i := range members {
		status := d.out.Status
		switch {
		case i < len(d.in.Sources):
			status = d.in.Sources[i].status()
		case i == len(d.in.Sources):
			status = d.in.Published
		}
		var ok bool
		if members[i], ok = membersOf(lookup(status, path), keys); !ok && i < len(d.in.Sources) {
			return errNoKeys
		}
	}
	published, decided := members[len(members)-2], members[len(members)-1]
	names := map[string]bool{}
	for _, m := range append(members[:len(d.in.Sources):len(d.in.Sources)], decided) {
		for name := range m {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		item := decided[name]
		if decided == nil {
			decided = map[string]any{}
		}
		if d.base != nil && item == nil {
			continue // the copied status has no such item
		}
		sub := d.within(path, name, members, item, published[name], keys)
		sub.field(&policy.Field{Path: rest, FieldRule: f.FieldRule, Program: f.Program}, end)
		decided[name] = sub.out.Status[""]
		d.kept = append(d.kept, sub.kept...)
		for _, err := range sub.out.Errors {
			d.out.Errors = append(d.out.Errors, fmt.Errorf("%s.%s%w", path, name, err))
			d.failed = append(d.failed, f.Path.String())
		}
	}
	if len(decided) > 0 {
		set(d.out.Status, path, container(lookup(d.out.Status, path), decided, keys))
	}
	return nil
}

// within is a decision on one item: the item stands for the whole status.
func (d *decider) within(path []string, name string, members []map[string]any, item, published any, keys []string) *decider {
	in := *d.in
	in.Sources = slices.Clone(d.in.Sources)
	in.Published, in.Owned = map[string]any{"": published}, nil
	sub := &decider{p: d.p, in: &in, holding: d.holding, item: append(slices.Clip(d.absolute(path)), "*")}
	for i := range in.Sources {
		s := &in.Sources[i]
		if s.Contribution != nil {
			c := *s.Contribution
			c.Status = map[string]any{"": members[i][name]}
			s.Contribution = &c
			if m := object(members[i][name]); item == nil && len(keys) > 0 {
				item = keyFields(m, keys)
			}
		}
	}
	sub.admit()
	sub.vals = make([]any, len(sub.views))
	sub.out = Decision{Status: map[string]any{"": item}, Whole: true}
	return sub
}

func keyFields(item map[string]any, keys []string) any {
	fields := map[string]any{}
	for _, key := range keys {
		if v := item[key]; v != nil {
			fields[key] = v
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return fields
}

// membersOf are the members of an object by name, or the items of a list by key.
func membersOf(v any, keys []string) (map[string]any, bool) {
	list, isList := v.([]any)
	if !isList {
		return maps.Clone(object(v)), true
	}
	members := make(map[string]any, len(list))
	for _, item := range list {
		key, ok := patch.EntryKey(item, keys)
		if _, twice := members[key]; twice || !ok {
			return nil, false
		}
		members[key] = item
	}
	return members, true
}

// container puts members back: into an object, or a list in the order that it had.
func container(before any, members map[string]any, keys []string) any {
	if len(keys) == 0 {
		return members
	}
	list := []any{}
	old, _ := before.([]any)
	for _, item := range old {
		key, _ := patch.EntryKey(item, keys)
		list = append(list, members[key])
		delete(members, key)
	}
	for _, key := range slices.Sorted(maps.Keys(members)) {
		list = append(list, members[key])
	}
	return list
}
