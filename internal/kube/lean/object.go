package lean

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// errMalformed begins every Object.Err of this package.
var errMalformed = errors.New("malformed object")

// ownManager is ref.FieldManager as the decoder meets it.
const ownManager = ref.FieldManager

// scanner reads one object after the other from a token stream. Its methods return an error only if the stream itself can't be read
// on (syntax, I/O, size). A value of the wrong type is skipped and noted in the object's Err.
//
// Where a name appears twice, the last one counts, as with encoding/json.
type scanner struct {
	*jsontext.Decoder
	keep keep
	strs strs
	obj  *ref.Object
}

// newTokens is lenient where encoding/json is: API servers send neither double names nor broken UTF-8, and checking costs time.
func newTokens(r io.Reader) *jsontext.Decoder {
	return jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// object reads the value that comes next into o, which keeps what could be read when an error is returned.
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
		o.Status = nil
	}
	return err
}

// wholeObject takes the bytes first, then reads them a second time.
func (s *scanner) wholeObject(o *ref.Object) error {
	raw, err := s.ReadValue()
	if err != nil {
		return err
	}
	o.Raw = bytes.Clone(raw)
	again := scanner{Decoder: newTokens(bytes.NewBuffer(o.Raw)), keep: s.keep, strs: s.strs}
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
	default:
		return s.SkipValue()
	}
}

func (s *scanner) resetMetadata() {
	o := s.obj
	*o = ref.Object{Workspace: o.Workspace, Status: o.Status, Raw: o.Raw, Err: o.Err}
}

func (s *scanner) metadataMember(name []byte) error {
	o := s.obj
	switch string(name) {
	case "name":
		return s.text("metadata.name", &o.Name)
	case "namespace":
		return s.sharedText("metadata.namespace", &o.Namespace)
	case "uid":
		return s.text("metadata.uid", (*string)(&o.UID))
	case "resourceVersion":
		return s.text("metadata.resourceVersion", &o.ResourceVersion)
	case "generation":
		return s.integer("metadata.generation", &o.Generation)
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
		// The manager's name comes first in what API servers send. Where it does not, the fields are taken to be on the safe side.
		if s.keep.managers && (e.manager == "" || e.manager == ownManager) {
			return s.raw(&e.fields)
		}
		return s.SkipValue()
	default:
		return s.SkipValue()
	}
}

// members calls member for each member of the object that comes next. null counts as an object without members.
func (s *scanner) members(path string, member func(name []byte) error) error {
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
		if err := member(unquote(quoted)); err != nil {
			return err
		}
	}
	_, err := s.ReadToken()
	return err
}

// elements calls element for each element of the array that comes next; element has to read it. null counts as an empty array.
func (s *scanner) elements(path string, element func() error) error {
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
func (s *scanner) quoted(path string) ([]byte, error) {
	switch s.PeekKind() {
	case '"':
		return s.ReadValue()
	case 'n':
		return nil, s.SkipValue()
	default:
		return nil, s.wrongType(path, "a string")
	}
}

func (s *scanner) text(path string, to *string) error {
	quoted, err := s.quoted(path)
	*to = string(unquote(quoted))
	return err
}

func (s *scanner) sharedText(path string, to *string) error {
	quoted, err := s.quoted(path)
	*to = ""
	if err == nil && len(quoted) > 2 {
		*to = s.strs.share(unquote(quoted))
	}
	return err
}

func (s *scanner) timestamp(path string, to *time.Time) error {
	quoted, err := s.quoted(path)
	*to = time.Time{}
	if err != nil || quoted == nil {
		return err
	}
	if to.UnmarshalText(unquote(quoted)) != nil {
		*to = time.Time{}
		s.malformed(path, "a time")
	}
	return nil
}

func (s *scanner) integer(path string, to *int64) error {
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

func (s *scanner) stringMap(path string, wanted keys, to *map[string]string) error {
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
func (s *scanner) raw(to *[]byte) error {
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

func (s *scanner) wrongType(path, want string) error {
	if err := s.SkipValue(); err != nil {
		return err
	}
	s.malformed(path, want)
	return nil
}

func (s *scanner) malformed(path, want string) {
	if s.obj != nil && s.obj.Err == nil {
		s.obj.Err = fmt.Errorf("%w: %s is not %s", errMalformed, path, want)
	}
}

// unquote gives the string that a JSON string stands for. The result may share memory with the argument.
func unquote(quoted []byte) []byte {
	if len(quoted) < 2 {
		return nil
	}
	if plain := quoted[1 : len(quoted)-1]; bytes.IndexByte(plain, '\\') < 0 && ascii(plain) {
		return plain
	}
	// The error only says that broken UTF-8 was replaced.
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

// identity names an object in messages.
func identity(o *ref.Object) string {
	if o.Name == "" {
		return "an object without a name"
	}
	return ref.Downstream{Namespace: o.Namespace, Name: o.Name}.String()
}
