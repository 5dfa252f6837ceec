package status

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// parser builds plain values in one pass over JSON that is within the limits.
type parser struct {
	*jsontext.Decoder
	raw        bytes.Buffer
	conditions int   // the most entries of a list of that name
	err        error // the first one; values read after it are invalid
	last       any   // string value that is not shared: the times of a condition are often equal
}

// parsers are reused: a decoder is larger than most statuses.
var parsers = sync.Pool{New: func() any {
	p := &parser{}
	p.Decoder = jsontext.NewDecoder(&p.raw)
	return p
}}

func newParser(raw []byte, conditions int) *parser {
	p := parsers.Get().(*parser)
	p.raw, p.conditions, p.err, p.last = *bytes.NewBuffer(raw), conditions, nil, nil
	p.Reset(&p.raw, jsontext.AllowDuplicateNames(true)) // duplicate names are found while the map is built
	return p
}

// release returns the parser to the pool. Slices that it read become invalid.
func (p *parser) release() {
	p.raw, p.last = bytes.Buffer{}, nil
	p.Reset(&p.raw)
	parsers.Put(p)
}

// parse returns the value of one JSON text; nil for an empty one.
func parse(raw []byte, conditions int) (any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	p := newParser(raw, conditions)
	defer p.release()
	v := p.value("")
	if _, err := p.ReadToken(); !errors.Is(err, io.EOF) {
		p.fail(errors.New("more than one JSON value"))
	}
	if p.err != nil {
		return nil, p.err
	}
	return v, nil
}

// parseObject returns the object of one JSON text within the limits; nil for an empty one or null.
func parseObject(raw []byte, l Limits) (map[string]any, error) {
	if err := l.check(raw); err != nil {
		return nil, err
	}
	return asObject(parse(raw, l.Conditions))
}

// Parse returns the object of one JSON text that an API server holds already, so that no limits apply; nil for an empty one or null.
// Integers are int64, other numbers float64. Strings that most statuses hold are shared.
func Parse(raw []byte) (map[string]any, error) { return asObject(parse(raw, math.MaxInt)) }

func asObject(v any, err error) (map[string]any, error) {
	object, ok := v.(map[string]any)
	if err == nil && v != nil && !ok {
		err = &Refused{NotAnObject, "the value is a list, a string, a number or a boolean, not an object"}
	}
	return object, err
}

// lookUp returns the value at a path of an object's JSON; nil if there is none.
func lookUp(raw jsontext.Value, path []string, l Limits) (any, error) {
	for _, name := range path {
		var members map[string]jsontext.Value
		if raw.Kind() == '{' {
			if err := json.Unmarshal(raw, &members); err != nil {
				return nil, malformed(err)
			}
		}
		raw = members[name]
	}
	if err := l.check(raw); err != nil {
		return nil, err
	}
	return parse(raw, l.Conditions)
}

// value reads the value of the member of that name, or of a list item.
func (p *parser) value(name string) any {
	switch p.PeekKind() {
	case '{':
		return p.object()
	case '[':
		return p.list(name == "conditions")
	case '"':
		return p.text()
	case 'n', 't', 'f':
		switch p.read().Kind() {
		case 't':
			return true
		case 'f':
			return false
		}
		return nil
	}
	return p.number()
}

func (p *parser) object() any {
	m := map[string]any{}
	for p.token(); p.more('}'); {
		name := p.name()
		if _, twice := m[name]; twice {
			p.fail(fmt.Errorf("the name %q twice in one object", name))
		}
		m[name] = p.value(name)
	}
	return m
}

func (p *parser) list(conditions bool) any {
	l := []any{}
	for p.token(); p.more(']'); {
		if conditions && len(l) == p.conditions && p.err == nil {
			p.err = &Refused{TooManyConditions, fmt.Sprintf("more than %d conditions", p.conditions)}
			break
		}
		l = append(l, p.value(""))
	}
	return l
}

// name reads the name of a member.
func (p *parser) name() string {
	s := p.unquoted()
	if one, ok := shared[string(s)].(string); ok {
		return one
	}
	return string(s)
}

// text reads a string value. A string equal to the previous one shares its memory.
func (p *parser) text() any {
	s := p.unquoted()
	if one, ok := shared[string(s)]; ok {
		return one
	}
	if last, ok := p.last.(string); !ok || last != string(s) {
		p.last = string(s)
	}
	return p.last
}

// unquoted reads a string. The bytes are valid until the next read.
func (p *parser) unquoted() []byte {
	raw := p.read()
	if p.err != nil {
		return nil
	}
	if content := raw[1 : len(raw)-1]; raw[0] == '"' && bytes.IndexByte(content, '\\') < 0 {
		return content
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		p.fail(err)
	}
	return text
}

func (p *parser) number() any {
	raw := p.read()
	if i, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return i
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		p.fail(err)
	}
	return f
}

// more reports whether a list or object goes on, and reads its end if not.
func (p *parser) more(end jsontext.Kind) bool {
	if p.err == nil && p.PeekKind() == end {
		p.token()
		return false
	}
	return p.err == nil
}

// read reads the next value, whole.
func (p *parser) read() jsontext.Value {
	v, err := p.ReadValue()
	if err != nil {
		p.fail(err)
	}
	return v
}

// token reads the next token.
func (p *parser) token() {
	if _, err := p.ReadToken(); err != nil {
		p.fail(err)
	}
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = malformed(err)
	}
}
