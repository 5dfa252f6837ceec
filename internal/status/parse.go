package status

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// parser builds plain values in one pass over the JSON; what exceeds the limits is left before it is built.
type parser struct {
	*jsontext.Decoder
	limits Limits
}

func newParser(raw []byte, l Limits) *parser {
	// Names twice in one object are found while its map is built.
	return &parser{jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true)), l}
}

// parse gives the value of one JSON text; nil for none.
func parse(raw []byte, l Limits) (any, error) {
	if len(raw) > l.Bytes {
		return nil, l.tooLarge()
	}
	if len(raw) == 0 {
		return nil, nil
	}
	p := newParser(raw, l)
	v, err := p.value(1, false)
	if err != nil {
		return nil, err
	}
	if _, err := p.ReadToken(); err != io.EOF {
		return nil, malformed(errors.New("more than one JSON value"))
	}
	return v, nil
}

// lookUp gives the value at a path of an object's JSON; nil if there is none.
func lookUp(raw []byte, path []string, l Limits) (any, error) {
	p := newParser(raw, l)
	for _, name := range path {
		if p.PeekKind() != '{' {
			return nil, nil
		}
		if found, err := p.enter(name); !found || err != nil {
			return nil, err
		}
	}
	v, err := p.ReadValue()
	if err != nil {
		return nil, malformed(err)
	}
	return parse(v, l)
}

// enter goes to the value of a member of the object that comes next.
func (p *parser) enter(member string) (found bool, err error) {
	if _, err := p.ReadToken(); err != nil {
		return false, malformed(err)
	}
	for p.PeekKind() == '"' {
		name, err := p.text()
		if err != nil || name == member {
			return err == nil, err
		}
		if err := p.SkipValue(); err != nil {
			return false, malformed(err)
		}
	}
	return false, nil
}

func (p *parser) value(depth int, conditions bool) (any, error) {
	switch p.PeekKind() {
	case '{':
		return p.object(depth)
	case '[':
		return p.list(depth, conditions)
	case '"':
		return p.text()
	}
	raw, err := p.ReadValue()
	if err != nil {
		return nil, malformed(err)
	}
	switch raw[0] {
	case 'n':
		return nil, nil
	case 't', 'f':
		return raw[0] == 't', nil
	}
	return number(raw)
}

func (p *parser) object(depth int) (any, error) {
	if depth > p.limits.Depth {
		return nil, p.limits.tooDeep()
	}
	if _, err := p.ReadToken(); err != nil {
		return nil, malformed(err)
	}
	m := map[string]any{}
	for p.PeekKind() != '}' {
		name, err := p.text()
		if err != nil {
			return nil, err
		}
		if _, twice := m[name]; twice {
			return nil, malformed(fmt.Errorf("the name %q twice in one object", short(name)))
		}
		if m[name], err = p.value(depth+1, name == "conditions"); err != nil {
			return nil, err
		}
	}
	return m, p.end()
}

func (p *parser) list(depth int, conditions bool) (any, error) {
	if depth > p.limits.Depth {
		return nil, p.limits.tooDeep()
	}
	if _, err := p.ReadToken(); err != nil {
		return nil, malformed(err)
	}
	l := []any{}
	for p.PeekKind() != ']' {
		if conditions && len(l) == p.limits.Conditions {
			return nil, p.limits.tooMany()
		}
		v, err := p.value(depth+1, false)
		if err != nil {
			return nil, err
		}
		l = append(l, v)
	}
	return l, p.end()
}

func (p *parser) end() error {
	if _, err := p.ReadToken(); err != nil {
		return malformed(err)
	}
	return nil
}

// text reads a string, as the shared one if it is one of those that most statuses hold.
func (p *parser) text() (string, error) {
	raw, err := p.ReadValue()
	if err != nil {
		return "", malformed(err)
	}
	if raw.Kind() != '"' {
		return "", malformed(errors.New("the name of an object's member is not a string"))
	}
	if content := raw[1 : len(raw)-1]; bytes.IndexByte(content, '\\') < 0 {
		if s := common(content); s != "" {
			return s, nil
		}
		return string(content), nil
	}
	unquoted, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return "", malformed(err)
	}
	return string(unquoted), nil
}

func number(raw []byte) (any, error) {
	if bytes.IndexAny(raw, ".eE") < 0 {
		if i, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
			return i, nil
		}
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return nil, malformed(fmt.Errorf("the number %s", short(string(raw))))
	}
	return f, nil
}
