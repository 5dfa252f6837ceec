package lean

import (
	"bytes"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

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
