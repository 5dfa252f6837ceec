package memapi

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/kcp-dev/logicalcluster/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// track computes managedFields after w changed old into next: the manager of the write becomes the only owner of the fields that it added
// or changed, and removed fields lose their owners.
func (s *Server) track(t *table, old, next *Object, w target) ([]metav1.ManagedFieldsEntry, error) {
	entries := old.Meta.ManagedFields
	if w.manager == "" {
		return entries, nil
	}
	// Most writes are about status alone. Then neither the other fields are compared, nor their owners decoded.
	statusOnly := w.status && old.sameMetadata(next)
	changed, removed, err := s.compare(t, old, next, statusOnly)
	if err != nil || changed.Empty() && removed.Empty() {
		return entries, err
	}
	var kept []metav1.ManagedFieldsEntry
	own := &fieldpath.Set{}
	for _, e := range entries {
		if statusOnly && e.Subresource != "status" {
			kept = append(kept, e)
			continue
		}
		fields, err := parseFields(e)
		if err != nil {
			return nil, err
		}
		if e.Manager == w.manager && e.Subresource == w.subresource() && !changed.Empty() { // only a write that sets something renews the time
			own = fields.Difference(removed)
			continue
		}
		if kept, err = keep(kept, e, fields, fields.Difference(removed).Difference(changed)); err != nil {
			return nil, err
		}
	}
	if changed.Empty() {
		return kept, nil
	}
	entry, err := s.entry(t, w, own.Union(changed))
	kept = append(kept, entry)
	slices.SortStableFunc(kept, func(a, b metav1.ManagedFieldsEntry) int {
		return cmp.Or(a.Time.Compare(b.Time.Time), cmp.Compare(a.Manager, b.Manager), cmp.Compare(a.Subresource, b.Subresource))
	})
	return kept, err
}

// entry is the managedFields entry of a write that owns these fields from now on.
func (s *Server) entry(t *table, w target, own *fieldpath.Set) (metav1.ManagedFieldsEntry, error) {
	fields, err := fieldsV1(own)
	now := metav1.Time{Time: s.now().Truncate(time.Second)}
	return metav1.ManagedFieldsEntry{
		Manager: w.manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: t.GroupVersion().String(), Time: &now,
		FieldsType: "FieldsV1", FieldsV1: fields, Subresource: w.subresource(),
	}, err
}

func parseFields(e metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	fields := &fieldpath.Set{}
	if err := fields.FromJSON(e.FieldsV1.GetRawReader()); err != nil {
		return nil, fmt.Errorf("managedFields of %s: %w", e.Manager, err)
	}
	return fields, nil
}

// keep adds an entry with the fields that are left of it, if any are.
func keep(kept []metav1.ManagedFieldsEntry, e metav1.ManagedFieldsEntry, fields, left *fieldpath.Set) (_ []metav1.ManagedFieldsEntry, err error) {
	if left.Empty() {
		return kept, nil
	}
	if !left.Equals(fields) {
		if e.FieldsV1, err = fieldsV1(left); err != nil {
			return nil, err
		}
	}
	return append(kept, e), nil
}

func fieldsV1(set *fieldpath.Set) (*metav1.FieldsV1, error) {
	raw, err := set.ToJSON()
	return metav1.NewFieldsV1(string(raw)), err
}

// compare finds the fields that were set, and those that were removed.
func (s *Server) compare(t *table, old, next *Object, statusOnly bool) (changed, removed *fieldpath.Set, err error) {
	kind, err := s.schemas.of(t.Resource)
	if err != nil {
		return nil, nil, err
	}
	located := old.version != 0 // when an object is created, its logical cluster's annotation has no owner yet
	before, err := kind.FromUnstructured(old.fields(statusOnly, located), typed.AllowDuplicates)
	if err != nil {
		return nil, nil, err
	}
	after, err := kind.FromUnstructured(next.fields(statusOnly, located), typed.AllowDuplicates)
	if err != nil {
		return nil, nil, err
	}
	c, err := before.Compare(after)
	if err != nil {
		return nil, nil, err
	}
	return c.Added.Union(c.Modified).Difference(unowned), c.Removed, nil
}

// unowned are the fields that never have an owner.
var unowned = fieldpath.NewSet(fieldpath.MakePathOrDie("metadata"))

// fields are those that have owners: all that the server does not set itself. located includes the annotation of the logical cluster.
func (o *Object) fields(statusOnly, located bool) map[string]any {
	all := map[string]any{}
	if !statusOnly {
		all = o.members()
		if meta := o.ownedMetadata(located); len(meta) > 0 {
			all["metadata"] = meta
		}
	}
	if o.Status != nil {
		all["status"] = decode(o.Status)
	}
	return all
}

func (o *Object) ownedMetadata(located bool) map[string]any {
	annotations := o.Meta.Annotations
	if !located {
		annotations = maps.Clone(annotations)
		delete(annotations, logicalcluster.AnnotationKey)
	}
	meta, _ := decode(encode(metav1.ObjectMeta{
		Labels: o.Meta.Labels, Annotations: annotations, Finalizers: o.Meta.Finalizers, OwnerReferences: o.Meta.OwnerReferences,
		GenerateName: o.Meta.GenerateName,
	})).(map[string]any)
	return meta
}

// schemas are the schemas of kinds for structured-merge-diff.
type schemas struct {
	mu        sync.Mutex
	converter managedfields.TypeConverter
	kinds     map[schema.GroupVersionKind]typed.ParseableType
}

// of is the compiled-in schema of a typed kind, which knows its keyed lists. For other kinds it is deduced from the values: all lists are atomic.
func (s *schemas) of(r Resource) (typed.ParseableType, error) {
	if !r.Typed {
		return typed.DeducedParseableType, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind, known := s.kinds[r.gvk()]; known {
		return kind, nil
	}
	if s.converter == nil {
		s.converter = applyconfigurations.NewTypeConverter(scheme.Scheme)
		s.kinds = map[schema.GroupVersionKind]typed.ParseableType{}
	}
	zero, err := scheme.Scheme.New(r.gvk())
	if err != nil {
		return typed.ParseableType{}, err
	}
	zero.GetObjectKind().SetGroupVersionKind(r.gvk())
	object, err := s.converter.ObjectToTyped(zero)
	if err != nil {
		return typed.ParseableType{}, fmt.Errorf("schema of %s: %w", r.gvk(), err)
	}
	kind := typed.ParseableType{TypeRef: object.TypeRef(), Schema: object.Schema()}
	s.kinds[r.gvk()] = kind
	return kind, nil
}
