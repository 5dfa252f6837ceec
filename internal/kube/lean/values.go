package lean

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// members calls member for each member of the object that comes next. null counts as an object without members.
func (s *scanner) members(path string, member func(name []byte) error) error {
	c, err := s.peek()
	switch {
	case err != nil:
		return err
	case c == 'n':
		return s.skip()
	case c != '{':
		return s.wrongType(path, "an object")
	}
	more, err := s.enter('}')
	for more && err == nil {
		var name []byte
		if name, err = s.name(); err != nil {
			return err
		}
		if err = member(name); err != nil {
			return err
		}
		more, err = s.next('}')
	}
	return err
}

// elements calls element for each element of the array that comes next; element has to read it. null counts as an empty array.
func (s *scanner) elements(path string, element func() error) error {
	c, err := s.peek()
	switch {
	case err != nil:
		return err
	case c == 'n':
		return s.skip()
	case c != '[':
		return s.wrongType(path, "an array")
	}
	more, err := s.enter(']')
	for more && err == nil {
		if err = element(); err != nil {
			return err
		}
		more, err = s.next(']')
	}
	return err
}

// str reads a string, which holds until the next read. given is false for null and, noted in Err, for any other type.
func (s *scanner) str(path string) (text []byte, given bool, err error) {
	switch c, err := s.peek(); {
	case err != nil:
		return nil, false, err
	case c == '"':
		text, err = s.tokens.text()
		return text, err == nil, err
	case c == 'n':
		return nil, false, s.skip()
	default:
		return nil, false, s.wrongType(path, "a string")
	}
}

func (s *scanner) text(path string, to *string) error {
	text, _, err := s.str(path)
	*to = string(text)
	return err
}

func (s *scanner) sharedText(path string, to *string) error {
	text, _, err := s.str(path)
	*to = ""
	if len(text) > 0 {
		*to = s.strs.share(text)
	}
	return err
}

// bounded reads as text does; values that are too long are not kept.
func (s *scanner) bounded(path string, most int, to *string, text func(string, *string) error) error {
	err := text(path, to)
	if len(*to) > most {
		*to = ""
		s.malformed(path, fmt.Sprintf("a string of at most %d bytes", most))
	}
	return err
}

func (s *scanner) timestamp(path string, to *time.Time) error {
	text, given, err := s.str(path)
	*to = time.Time{}
	if given && to.UnmarshalText(text) != nil {
		*to = time.Time{}
		s.malformed(path, "a time")
	}
	return err
}

func (s *scanner) integer(path string, to *int64) error {
	*to = 0
	switch c, err := s.peek(); {
	case err != nil:
		return err
	case c == 'n':
		return s.skip()
	case c != '-' && !digit(c):
		return s.wrongType(path, "a whole number")
	}
	number, err := s.value()
	if err != nil {
		return err
	}
	if *to, err = strconv.ParseInt(string(number), 10, 64); err != nil {
		*to = 0
		s.malformed(path, "a whole number")
	}
	return nil
}

func (s *scanner) stringMap(path string, wanted keys, to *map[string]string) error {
	*to = nil
	if wanted.none() {
		return s.skip()
	}
	return s.members(path, func(name []byte) error {
		if !wanted.has(name) {
			return s.skip()
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
	c, err := s.peek()
	switch {
	case err != nil:
		return err
	case c == 'n':
		return s.skip()
	}
	value, err := s.value()
	*to = bytes.Clone(value)
	return err
}

func (s *scanner) wrongType(path, want string) error {
	if err := s.skip(); err != nil {
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
