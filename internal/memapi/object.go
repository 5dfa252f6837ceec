package memapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Object is one stored version of an object. It is immutable once stored.
//
// Only its JSON is kept, in parts: a change of status copies none of the spec, and to send an object is to write its parts.
type Object struct {
	Cluster string            // name of the logical cluster; empty: the plain server
	Meta    metav1.ObjectMeta // complete; must not be changed
	Status  []byte            // the JSON value of .status; nil: there is none

	kind    []byte // `"kind":"Pod","apiVersion":"v1",`
	meta    []byte // members of metadata without resourceVersion and managedFields: `"name":"a",…`
	owners  []byte // managedFields: `,"managedFields":[…]`; empty: none
	rest    []byte // all other members, in order of their names: `"spec":{…}`; empty: none
	version uint64 // of Meta.ResourceVersion
	settled bool   // the stored form has the annotation of its logical cluster: kcp adds it at the first write after the creation
}

// JSON is the whole object.
func (o *Object) JSON() []byte { return o.appendJSON(nil, true) }

// Unmarshal decodes the whole object into v.
func (o *Object) Unmarshal(v any) error { return json.Unmarshal(o.JSON(), v) }

func (o *Object) appendJSON(b []byte, kind bool) []byte {
	b = slices.Grow(b, len(o.kind)+len(o.meta)+len(o.owners)+len(o.rest)+len(o.Status)+80)
	b = append(b, '{')
	if kind {
		b = append(b, o.kind...)
	}
	b = append(b, `"metadata":{"resourceVersion":"`...)
	b = append(b, o.Meta.ResourceVersion...)
	b = append(b, `",`...)
	b = append(b, o.meta...)
	b = append(b, o.owners...)
	b = append(b, '}')
	if len(o.rest) > 0 {
		b = append(b, ',')
		b = append(b, o.rest...)
	}
	if o.Status != nil {
		b = append(b, `,"status":`...)
		b = append(b, o.Status...)
	}
	return append(b, '}')
}

// seal encodes the metadata, which must not change any more. Parts that are equal in before, the version that it was made from, are not
// encoded again.
func (o *Object) seal(before *Object) error {
	if before == nil || !o.sameMetadata(before) || o.Meta.Generation != before.Meta.Generation || !o.Meta.DeletionTimestamp.Equal(before.Meta.DeletionTimestamp) {
		own := o.Meta
		own.ResourceVersion, own.ManagedFields = "", nil
		encoded, err := json.Marshal(&own)
		if err != nil {
			return err
		}
		o.meta = trimBraces(encoded)
	}
	o.owners = nil
	for i, e := range o.Meta.ManagedFields {
		lead := ","
		if i == 0 {
			lead = `,"managedFields":[`
		}
		o.owners = appendEntry(append(o.owners, lead...), e)
	}
	if len(o.owners) > 0 {
		o.owners = append(o.owners, ']')
	}
	return nil
}

func appendEntry(b []byte, e metav1.ManagedFieldsEntry) []byte {
	b = appendString(append(b, `{"manager":`...), e.Manager)
	b = appendString(append(b, `,"operation":`...), string(e.Operation))
	b = appendString(append(b, `,"apiVersion":`...), e.APIVersion)
	b = e.Time.UTC().AppendFormat(append(b, `,"time":"`...), time.RFC3339)
	b = appendString(append(b, `","fieldsType":`...), e.FieldsType)
	b = append(append(b, `,"fieldsV1":`...), e.FieldsV1.GetRawBytes()...)
	if e.Subresource != "" {
		b = appendString(append(b, `,"subresource":`...), e.Subresource)
	}
	return append(b, '}')
}

func (o *Object) clone() *Object {
	c := *o
	return &c
}

// sameAs reports whether all fields that a client may change are equal.
func (o *Object) sameAs(p *Object) bool {
	return bytes.Equal(o.rest, p.rest) && bytes.Equal(o.Status, p.Status) && o.sameMetadata(p) &&
		o.Meta.DeletionTimestamp.Equal(p.Meta.DeletionTimestamp)
}

func (o *Object) sameMetadata(p *Object) bool {
	return maps.Equal(o.Meta.Labels, p.Meta.Labels) && maps.Equal(o.Meta.Annotations, p.Meta.Annotations) &&
		slices.Equal(o.Meta.Finalizers, p.Meta.Finalizers) && sameOwners(o.Meta.OwnerReferences, p.Meta.OwnerReferences)
}

func sameOwners(a, b []metav1.OwnerReference) bool {
	return slices.EqualFunc(a, b, func(a, b metav1.OwnerReference) bool {
		return a.APIVersion == b.APIVersion && a.Kind == b.Kind && a.Name == b.Name && a.UID == b.UID && same(a.Controller, b.Controller) &&
			same(a.BlockOwnerDeletion, b.BlockOwnerDeletion)
	})
}

func same(a, b *bool) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

// parse splits an object's JSON and orders its members by name.
func parse(body []byte) (*Object, error) {
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return nil, err
	}
	value, err := unmarshal(body)
	if err != nil {
		return nil, err
	}
	members, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	o := &Object{Meta: head.Metadata}
	if status, ok := members["status"]; ok && status != nil {
		o.Status = appendValue(nil, status)
	}
	for _, name := range []string{"kind", "apiVersion", "metadata", "status"} {
		delete(members, name)
	}
	if len(members) > 0 {
		o.rest = trimBraces(appendValue(nil, members))
	}
	o.Meta.CreationTimestamp.Time = o.Meta.CreationTimestamp.Truncate(time.Second)
	return o, nil
}

func trimBraces(object []byte) []byte { return object[1 : len(object)-1] }

// encode writes types of our own or of apimachinery, which can't fail.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("memapi: encoding: " + err.Error())
	}
	return b
}

// members decodes the rest of an object.
func (o *Object) members() map[string]any {
	return decode(slices.Concat([]byte("{"), o.rest, []byte("}"))).(map[string]any) //nolint:forcetypeassert // an object in JSON
}

// byKey orders objects as lists do.
func byKey(a, b *Object) int {
	if c := strings.Compare(a.Cluster, b.Cluster); c != 0 {
		return c
	}
	if c := strings.Compare(a.Meta.Namespace, b.Meta.Namespace); c != 0 {
		return c
	}
	return strings.Compare(a.Meta.Name, b.Meta.Name)
}
