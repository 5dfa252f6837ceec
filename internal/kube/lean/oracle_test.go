package lean

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/go-json-experiment/json/jsontext"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// This file reads the same as the product does, but over the tokens of jsontext, which validates all that it reads. The differential
// tests hold the product's own tokens to it.

// oracle reads one object after the other from a token stream. Its methods return an error only if the stream itself can't be read
// on (syntax, I/O, size). A value of the wrong type is skipped and noted in the object's Err.
//
// Where a name appears twice, the last one counts, as with encoding/json.
type oracle struct {
	*jsontext.Decoder
	keep keep
	strs strs
	obj  *ref.Object
}

// jsontextTokens is lenient where encoding/json is: API servers send neither double names nor broken UTF-8, and checking costs time.
func jsontextTokens(r io.Reader) *jsontext.Decoder {
	return jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// object reads the next value into o, which keeps the fields that were read before an error.
func (s *oracle) object(o *ref.Object) error {
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
func (s *oracle) wholeObject(o *ref.Object) error {
	raw, err := s.ReadValue()
	if err != nil {
		return err
	}
	o.Raw = bytes.Clone(raw)
	again := oracle{Decoder: jsontextTokens(bytes.NewBuffer(o.Raw)), keep: s.keep, strs: s.strs}
	again.keep.whole = false
	return again.object(o)
}

func (s *oracle) objectMember(name []byte) error {
	switch string(name) {
	case "metadata":
		s.resetMetadata()
		return s.members("metadata", s.metadataMember)
	case "status":
		return s.raw(&s.obj.Status)
	case "spec":
		if !s.keep.spec {
			return s.SkipValue()
		}
		s.obj.SpecHash = 0
		err := s.raw(&s.obj.Spec)
		if s.obj.Spec != nil {
			s.obj.SpecHash = xxhash.Sum64(s.obj.Spec)
		}
		return err
	default:
		return s.SkipValue()
	}
}

func (s *oracle) resetMetadata() {
	o := s.obj
	*o = ref.Object{Workspace: o.Workspace, Status: o.Status, Spec: o.Spec, SpecHash: o.SpecHash, Raw: o.Raw, Err: o.Err}
}

func (s *oracle) metadataMember(name []byte) error {
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
		o.Deleting = s.PeekKind() != 'n'
		return s.SkipValue()
	case "labels":
		return s.stringMap("metadata.labels", s.keep.labels, &o.Labels)
	case "annotations":
		return s.stringMap("metadata.annotations", s.keep.annotations, &o.Annotations)
	case "managedFields":
		if s.keep.times || s.keep.managers {
			return s.managedFields()
		}
		return s.SkipValue()
	default:
		return s.SkipValue()
	}
}

// managedFields reads the entries of the subresource "status".
func (s *oracle) managedFields() error {
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

func (s *oracle) managedFieldsMember(name []byte, e *managedFieldsEntry) error {
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
		return s.SkipValue()
	default:
		return s.SkipValue()
	}
}

// members calls member for each member of the object that comes next. null counts as an object without members.
func (s *oracle) members(path string, member func(name []byte) error) error {
	switch s.PeekKind() {
	case '{':
	case 'n':
		return s.SkipValue()
	default:
		return s.wrongType(path, "an object")
	}
	if _, err := s.ReadToken(); err != nil {
		return err
	}
	for s.PeekKind() == '"' {
		quoted, err := s.ReadValue()
		if err != nil {
			return err
		}
		if err := member(jsontextUnquote(quoted)); err != nil {
			return err
		}
	}
	_, err := s.ReadToken()
	return err
}

// elements calls element for each element of the array that comes next; element has to read it. null counts as an empty array.
func (s *oracle) elements(path string, element func() error) error {
	switch s.PeekKind() {
	case '[':
	case 'n':
		return s.SkipValue()
	default:
		return s.wrongType(path, "an array")
	}
	if _, err := s.ReadToken(); err != nil {
		return err
	}
	for {
		switch s.PeekKind() {
		case ']', jsontext.KindInvalid:
			_, err := s.ReadToken()
			return err
		}
		if err := element(); err != nil {
			return err
		}
	}
}

// quoted reads a string with its quotes; nil stands for null and, noted in Err, for any other type.
func (s *oracle) quoted(path string) ([]byte, error) {
	switch s.PeekKind() {
	case '"':
		return s.ReadValue()
	case 'n':
		return nil, s.SkipValue()
	default:
		return nil, s.wrongType(path, "a string")
	}
}

func (s *oracle) text(path string, to *string) error {
	quoted, err := s.quoted(path)
	*to = string(jsontextUnquote(quoted))
	return err
}

func (s *oracle) sharedText(path string, to *string) error {
	quoted, err := s.quoted(path)
	*to = ""
	if err == nil && len(quoted) > 2 {
		*to = s.strs.share(jsontextUnquote(quoted))
	}
	return err
}

// bounded reads as text does; values that are too long are not kept.
func (s *oracle) bounded(path string, most int, to *string, text func(string, *string) error) error {
	err := text(path, to)
	if len(*to) > most {
		*to = ""
		s.malformed(path, fmt.Sprintf("a string of at most %d bytes", most))
	}
	return err
}

func (s *oracle) timestamp(path string, to *time.Time) error {
	quoted, err := s.quoted(path)
	*to = time.Time{}
	if err != nil || quoted == nil {
		return err
	}
	if to.UnmarshalText(jsontextUnquote(quoted)) != nil {
		*to = time.Time{}
		s.malformed(path, "a time")
	}
	return nil
}

func (s *oracle) integer(path string, to *int64) error {
	*to = 0
	switch s.PeekKind() {
	case '0':
	case 'n':
		return s.SkipValue()
	default:
		return s.wrongType(path, "a whole number")
	}
	token, err := s.ReadToken()
	if err != nil {
		return err
	}
	if *to, err = token.Int(); err != nil {
		*to = 0
		s.malformed(path, "a whole number")
	}
	return nil
}

func (s *oracle) stringMap(path string, wanted keys, to *map[string]string) error {
	*to = nil
	if wanted.none() {
		return s.SkipValue()
	}
	return s.members(path, func(name []byte) error {
		if !wanted.has(name) {
			return s.SkipValue()
		}
		if *to == nil {
			*to = make(map[string]string)
		}
		var value string
		key := s.strs.share(name)
		err := s.text(path, &value)
		(*to)[key] = value
		return err
	})
}

// raw copies the value that comes next as it is; null is nil.
func (s *oracle) raw(to *[]byte) error {
	*to = nil
	if s.PeekKind() == 'n' {
		return s.SkipValue()
	}
	value, err := s.ReadValue()
	if err == nil {
		*to = bytes.Clone(value)
	}
	return err
}

func (s *oracle) wrongType(path, want string) error {
	if err := s.SkipValue(); err != nil {
		return err
	}
	s.malformed(path, want)
	return nil
}

func (s *oracle) malformed(path, want string) {
	if s.obj != nil && s.obj.Err == nil {
		s.obj.Err = fmt.Errorf("%w: %s is not %s", errMalformed, path, want)
	}
}

// jsontextUnquote gives the string that a JSON string stands for. The result may share memory with the argument.
func jsontextUnquote(quoted []byte) []byte {
	if len(quoted) < 2 {
		return nil
	}
	if plain := quoted[1 : len(quoted)-1]; bytes.IndexByte(plain, '\\') < 0 && ascii(plain) {
		return plain
	}
	// The error only means that broken UTF-8 was replaced.
	text, _ := jsontext.AppendUnquote(nil, quoted)
	return text
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// oracleObject reads one object, as Decoder.Object does; an error means that it is not valid.
func oracleObject(body io.Reader, want ref.Want) (*ref.Object, error) {
	o := &ref.Object{}
	s := oracle{Decoder: jsontextTokens(body), keep: newKeep(want), strs: strs{}}
	err := s.object(o)
	if err == nil {
		err = o.Err
	}
	return o, err
}

// oracleList reads a list, as Decoder.List does.
func oracleList(body io.Reader, want ref.Want) (page Page, err error) {
	s := oracle{Decoder: jsontextTokens(body), keep: newKeep(want), strs: strs{}}
	isList := false
	err = s.members("list", func(name []byte) error {
		switch string(name) {
		case "metadata":
			return s.members("metadata", func(name []byte) error {
				switch string(name) {
				case "resourceVersion":
					return s.text("metadata.resourceVersion", &page.ResourceVersion)
				case "continue":
					return s.text("metadata.continue", &page.Continue)
				default:
					return s.SkipValue()
				}
			})
		case "items":
			isList = true
			return s.elements("items", func() error {
				o := &ref.Object{}
				page.Objects = append(page.Objects, o)
				return s.object(o)
			})
		default:
			return s.SkipValue()
		}
	})
	if err == nil && !isList {
		err = fmt.Errorf("not a list")
	}
	return page, err
}

// oracleEvents reads events up to the first that can't be read, as Decoder.Event does, and returns why it ended.
func oracleEvents(body io.Reader, want ref.Want) (all []Event, err error) {
	s := oracle{Decoder: jsontextTokens(body), keep: newKeep(want), strs: strs{}}
	for {
		var e Event
		if s.PeekKind() == jsontext.KindInvalid {
			_, err := s.ReadToken()
			return all, err
		}
		if err := s.event(&e); err != nil {
			return all, err
		}
		all = append(all, e)
	}
}

func (s *oracle) event(e *Event) error {
	var early []byte
	err := s.members("event", func(name []byte) error {
		switch string(name) {
		case "type":
			var kind string
			err := s.sharedText("type", &kind)
			e.Type = watch.EventType(kind)
			return err
		case "object":
			if e.Type == "" {
				return s.raw(&early)
			}
			return s.payload(e)
		default:
			return s.SkipValue()
		}
	})
	if err != nil {
		return err
	}
	if early != nil {
		late := oracle{Decoder: jsontextTokens(bytes.NewBuffer(early)), keep: s.keep, strs: s.strs}
		err = late.payload(e)
	}
	if err == nil && !e.complete() {
		return errNoEvent
	}
	return err
}

func (s *oracle) payload(e *Event) error {
	switch e.Type {
	case watch.Added, watch.Modified, watch.Deleted:
		e.Object = &ref.Object{}
		err := s.object(e.Object)
		e.ResourceVersion = e.Object.ResourceVersion
		return err
	case watch.Bookmark:
		var o ref.Object
		mark := oracle{Decoder: s.Decoder, keep: bookmarks, strs: s.strs}
		err := mark.object(&o)
		e.ResourceVersion = o.ResourceVersion
		e.InitialEnd = o.Annotations[metav1.InitialEventsAnnotationKey] == "true"
		return err
	case watch.Error:
		value, err := s.ReadValue()
		if err != nil {
			return err
		}
		e.Err = &apierrors.StatusError{}
		if json.Unmarshal(value, &e.Err.ErrStatus) != nil {
			e.Err.ErrStatus = metav1.Status{}
		}
		return nil
	default:
		return s.SkipValue()
	}
}
