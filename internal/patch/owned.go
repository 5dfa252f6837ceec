package patch

import (
	"bytes"
	"fmt"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// Owned is the part of a published status that is ours, by our own entry in the object's managedFields. The nil Owned owns nothing.
// It is immutable.
type Owned struct {
	status *fieldpath.Set // below "status"; nil: nothing
}

// ParseOwned reads the raw fieldsV1 of our managedFields entry, a set rooted at the object: {"f:status":{"f:replicas":{}}}.
// No bytes, null, and a set without status fields give nil.
//
// A status that is owned as one leaf ({"f:status":{}}) counts as nothing: an API server writes the same for "set to {}", so it is no
// evidence that the fields of other writers are ours.
func ParseOwned(fieldsV1 []byte) (*Owned, error) {
	if trimmed := bytes.TrimSpace(fieldsV1); len(trimmed) == 0 || bytes.Equal(trimmed, []byte("null")) {
		return nil, nil
	}
	root := &fieldpath.Set{}
	if err := root.FromJSON(bytes.NewReader(fieldsV1)); err != nil {
		return nil, fmt.Errorf("parse fieldsV1: %w", err)
	}
	status, ok := root.Children.Get(field("status"))
	if !ok {
		return nil, nil
	}
	return &Owned{status: status}, nil
}

// Field reports whether the field at this path below status, or anything below it, is ours. The empty path is status itself.
func (o *Owned) Field(path ...string) bool {
	if o == nil {
		return false
	}
	set, whole := o.descend(path)
	return whole || set != nil
}

// Item reports whether the item of the list at this path is ours, by the key fields that the API server keys the list by. The item may hold
// nothing else. A list that is owned as a whole (an atomic list: a leaf without members) means that every item is.
func (o *Owned) Item(list []string, item any) bool {
	is, _ := o.item(list, item)
	return is
}

// ItemField reports whether a field of an item is ours.
func (o *Owned) ItemField(list []string, item any, name string) bool {
	is, fields := o.item(list, item)
	return is && (fields == nil || fields.Members.Has(field(name)))
}

// item finds an item. fields are those of it that are ours, nil if it is owned as a whole.
func (o *Owned) item(list []string, item any) (is bool, fields *fieldpath.Set) {
	if o == nil {
		return false, nil
	}
	set, whole := o.descend(list)
	if whole || set == nil {
		return whole, nil
	}
	set.Children.Iterate(func(e fieldpath.PathElement) { // All panics where its loop ends early (v6.4.2)
		if !is && names(e, item) {
			is = true
			fields, _ = set.Children.Get(e)
		}
	})
	set.Members.Iterate(func(e fieldpath.PathElement) { is = is || names(e, item) })
	return is, fields
}

// descend follows path. It returns the set below it (nil: nothing there is ours), or whole if the path or one of its ancestors is
// owned as a leaf.
func (o *Owned) descend(path []string) (set *fieldpath.Set, whole bool) {
	set = o.status
	for _, name := range path {
		child, ok := set.Children.Get(field(name))
		if !ok {
			return nil, set.Members.Has(field(name))
		}
		set = child
	}
	return set, false
}

func field(name string) fieldpath.PathElement { return fieldpath.FieldNameElement(name) }

// names reports whether a path element stands for this list item: by its key fields, or by its value in a list that is a set.
func names(e fieldpath.PathElement, item any) bool {
	if e.Value != nil {
		return value.Equals(*e.Value, value.NewValueInterface(item))
	}
	m, ok := item.(map[string]any)
	if !ok || e.Key == nil {
		return false
	}
	for _, f := range *e.Key {
		if !value.Equals(f.Value, value.NewValueInterface(m[f.Name])) {
			return false
		}
	}
	return true
}
