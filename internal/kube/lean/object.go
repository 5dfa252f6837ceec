package lean

import (
	"bytes"
	"errors"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// errMalformed begins every Object.Err of this package.
var errMalformed = errors.New("malformed object")

// Bounds of the identity of every object, in bytes: those of the API servers, and generous ones where they have none.
const (
	maxName    = 253
	maxVersion = 128 // of uids, too
)

// ownManager is ref.FieldManager as the decoder meets it.
const ownManager = ref.FieldManager

// scanner reads one object after the other from a token stream. Its methods return an error only if the stream itself can't be read
// on (syntax, I/O, size). A value of the wrong type is skipped and noted in the object's Err.
//
// Where a name appears twice, the last one counts, as with encoding/json.
type scanner struct {
	*tokens
	keep  keep
	strs  strs
	specs map[uint64]uint8 // how often objects and their specs were delivered; nil: each is delivered
	obj   *ref.Object
}

// object reads the next value into o, which keeps the fields that were read before an error.
func (s *scanner) object(o *ref.Object) error {
	s.obj = o
	if s.keep.whole {
		return s.wholeObject(o)
	}
	err := s.members("object", s.objectMember)
	if err == nil && o.Name == "" {
		s.malformed("metadata.name", "given")
	}
	s.obj = nil
	if o.Err != nil {
		o.Status, o.Spec, o.SpecHash = nil, nil, 0
	}
	return err
}

// wholeObject takes the bytes first, then reads them a second time.
func (s *scanner) wholeObject(o *ref.Object) error {
	raw, err := s.value()
	if err != nil {
		return err
	}
	o.Raw = bytes.Clone(raw)
	again := scanner{tokens: tokensOf(o.Raw), keep: s.keep, strs: s.strs}
	again.keep.whole = false
	return again.object(o)
}

func (s *scanner) objectMember(name []byte) error {
	switch string(name) {
	case "metadata":
		s.resetMetadata()
		return s.members("metadata", s.metadataMember)
	case "status":
		return s.raw(&s.obj.Status)
	case "spec":
		return s.spec()
	default:
		return s.skip()
	}
}

func (s *scanner) resetMetadata() {
	o := s.obj
	*o = ref.Object{Workspace: o.Workspace, Status: o.Status, Spec: o.Spec, SpecHash: o.SpecHash, Raw: o.Raw, Err: o.Err}
}

func (s *scanner) metadataMember(name []byte) error {
	o := s.obj
	switch string(name) {
	case "name":
		return s.bounded("metadata.name", maxName, &o.Name, s.text)
	case "namespace":
		return s.bounded("metadata.namespace", maxName, &o.Namespace, s.sharedText)
	case "uid":
		return s.bounded("metadata.uid", maxVersion, (*string)(&o.UID), s.text)
	case "resourceVersion":
		return s.bounded("metadata.resourceVersion", maxVersion, &o.ResourceVersion, s.text)
	case "generation":
		return s.integer("metadata.generation", &o.Generation)
	case "creationTimestamp":
		return s.timestamp("metadata.creationTimestamp", &o.Created)
	case "deletionTimestamp":
		c, err := s.peek()
		if err != nil {
			return err
		}
		o.Deleting = c != 'n'
		return s.skip()
	case "labels":
		return s.stringMap("metadata.labels", s.keep.labels, &o.Labels)
	case "annotations":
		return s.stringMap("metadata.annotations", s.keep.annotations, &o.Annotations)
	case "managedFields":
		if s.keep.times || s.keep.managers {
			return s.managedFields()
		}
		return s.skip()
	default:
		return s.skip()
	}
}

// mostSpecs bounds the specs that a watch knows to be delivered, at 24 bytes each. Beyond, all are delivered once more.
const mostSpecs = 1 << 20

// specDeliveries is how often a watch delivers a spec: the first events of an object may come before its Namespace is known, and be dropped.
const specDeliveries = 3

// spec keeps the bytes of the spec. In a watch they are copied only when they have changed: copying all of them took an eighth of the CPU time
// of a SyncTarget that reports 80,000 changes a second.
func (s *scanner) spec() error {
	if !s.keep.spec {
		return s.skip()
	}
	if c, err := s.peek(); err != nil || c == 'n' {
		return errors.Join(err, s.skip())
	}
	value, err := s.value()
	if err != nil {
		return err
	}
	o := s.obj
	o.Spec, o.SpecHash = nil, xxhash.Sum64(value)
	if s.specs != nil && o.UID != "" {
		delivered := o.SpecHash ^ xxhash.Sum64String(string(o.UID))
		times := s.specs[delivered]
		if times >= specDeliveries {
			return nil
		}
		if len(s.specs) >= mostSpecs {
			clear(s.specs)
		}
		s.specs[delivered] = times + 1
	}
	o.Spec = bytes.Clone(value)
	return nil
}

// managedFields reads the entries of the subresource "status".
func (s *scanner) managedFields() error {
	o := s.obj
	o.StatusTime, o.Managers = time.Time{}, nil
	return s.elements("metadata.managedFields", func() error {
		var e managedFieldsEntry
		if err := s.members("metadata.managedFields[]", func(name []byte) error { return s.managedFieldsMember(name, &e) }); err != nil {
			return err
		}
		if e.subresource != "status" {
			return nil
		}
		if s.keep.times && e.time.After(o.StatusTime) {
			o.StatusTime = e.time
		}
		if s.keep.managers {
			m := ref.Manager{Name: e.manager, Time: e.time}
			if m.Name == ownManager {
				m.Fields = e.fields
			}
			o.Managers = append(o.Managers, m)
		}
		return nil
	})
}

type managedFieldsEntry struct {
	manager, subresource string
	time                 time.Time
	fields               []byte
}

func (s *scanner) managedFieldsMember(name []byte, e *managedFieldsEntry) error {
	switch string(name) {
	case "manager":
		return s.sharedText("metadata.managedFields[].manager", &e.manager)
	case "subresource":
		return s.sharedText("metadata.managedFields[].subresource", &e.subresource)
	case "time":
		return s.timestamp("metadata.managedFields[].time", &e.time)
	case "fieldsV1":
		// API servers send the manager's name first. Otherwise the fields are kept to be on the safe side.
		if s.keep.managers && (e.manager == "" || e.manager == ownManager) {
			return s.raw(&e.fields)
		}
		return s.skip()
	default:
		return s.skip()
	}
}

// identity names an object in messages.
func identity(o *ref.Object) string {
	if o.Name == "" {
		return "an object without a name"
	}
	return ref.Downstream{Namespace: o.Namespace, Name: o.Name}.String()
}
