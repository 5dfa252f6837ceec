package status

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// parser builds plain values in one pass over the JSON; what exceeds the limits is left before it is built.
type parser struct {
	*jsontext.Decoder
	raw    bytes.Buffer
	limits Limits
	err    error // the first; what is read after it is worth nothing
	last   any   // string value that is not common: the times of a condition are often the same
}

// parsers are used again, as a decoder is larger than most statuses.
var parsers = sync.Pool{New: func() any {
	p := &parser{}
	p.Decoder = jsontext.NewDecoder(&p.raw)
	return p
}}

func newParser(raw []byte, l Limits) *parser {
	p := parsers.Get().(*parser)
	p.raw, p.limits, p.err, p.last = *bytes.NewBuffer(raw), l, nil, nil
	p.Reset(&p.raw, jsontext.AllowDuplicateNames(true)) // names twice in one object are found while its map is built
	return p
}

// done gives the parser back. What it read and was not copied holds no longer.
func (p *parser) done() {
	p.raw, p.last = bytes.Buffer{}, nil
	p.Reset(&p.raw)
	parsers.Put(p)
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
	defer p.done()
	v := p.value(1, false)
	if _, err := p.ReadToken(); !errors.Is(err, io.EOF) {
		p.fail(malformed(errors.New("more than one JSON value")))
	}
	if p.err != nil {
		return nil, p.err
	}
	return v, nil
}

// Parse gives the object of one JSON text that an API server holds already, so nothing is refused for its size; nil for none or null.
// Integers are int64, other numbers float64. Strings that most statuses hold are shared.
func Parse(raw []byte) (map[string]any, error) {
	v, err := parse(raw, Limits{Bytes: math.MaxInt, Depth: math.MaxInt, Conditions: math.MaxInt})
	if err != nil || v == nil {
		return nil, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, &Refused{NotAnObject, "not a JSON object"}
	}
	return object, nil
}

// lookUp gives the value at a path of an object's JSON; nil if there is none.
func lookUp(raw []byte, path []string, l Limits) (any, error) {
	p := newParser(raw, l)
	defer p.done()
	for _, name := range path {
		if p.PeekKind() != '{' || !p.enter(name) {
			return nil, p.err
		}
	}
	v := p.read()
	if p.err != nil {
		return nil, p.err
	}
	return parse(v, l)
}

// enter goes to the value of a member of the object that comes next.
func (p *parser) enter(member string) bool {
	for p.token(); p.more('}'); p.read() {
		if p.name() == member {
			return p.err == nil
		}
	}
	return false
}

func (p *parser) value(depth int, conditions bool) any {
	switch p.PeekKind() {
	case '{':
		return p.object(depth)
	case '[':
		return p.list(depth, conditions)
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

func (p *parser) object(depth int) any {
	if depth > p.limits.Depth {
		p.fail(p.limits.tooDeep())
		return nil
	}
	m := map[string]any{}
	for p.token(); p.more('}'); {
		name := p.name()
		if _, twice := m[name]; twice {
			p.fail(malformed(fmt.Errorf("the name %q twice in one object", name)))
		}
		m[name] = p.value(depth+1, name == "conditions")
	}
	return m
}

func (p *parser) list(depth int, conditions bool) any {
	if depth > p.limits.Depth {
		p.fail(p.limits.tooDeep())
		return nil
	}
	l := []any{}
	for p.token(); p.more(']'); {
		if conditions && len(l) == p.limits.Conditions {
			p.fail(p.limits.tooMany())
			break
		}
		l = append(l, p.value(depth+1, false))
	}
	return l
}

// name reads the name of a member, as the shared string if it is one that most statuses hold.
func (p *parser) name() string {
	s, unquoted := p.unquoted()
	if s == nil {
		return unquoted
	}
	if shared, ok := common(s).(string); ok {
		return shared
	}
	return string(s)
}

// text reads a string value. Those that most statuses hold are shared, and so is the one before.
func (p *parser) text() any {
	s, unquoted := p.unquoted()
	if s == nil {
		return unquoted
	}
	if shared := common(s); shared != nil {
		return shared
	}
	if last, ok := p.last.(string); !ok || last != string(s) {
		p.last = string(s)
	}
	return p.last
}

// unquoted reads a string. If it has no escapes, it is given as it stands in the buffer, until the next read; else as a string.
func (p *parser) unquoted() (plain []byte, escaped string) {
	raw := p.read()
	if p.err != nil {
		return nil, ""
	}
	if content := raw[1 : len(raw)-1]; raw[0] == '"' && bytes.IndexByte(content, '\\') < 0 {
		return content, ""
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		p.fail(malformed(err))
	}
	return nil, string(text)
}

func (p *parser) number() any {
	raw := p.read()
	if !bytes.ContainsAny(raw, ".eE") {
		if i, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
			return i
		}
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		p.fail(malformed(err))
	}
	return f
}

// more says whether a list or object goes on, and reads its end if not.
func (p *parser) more(end jsontext.Kind) bool {
	if p.err == nil && p.PeekKind() == end {
		p.token()
		return false
	}
	return p.err == nil
}

func (p *parser) read() jsontext.Value {
	v, err := p.ReadValue()
	if err != nil {
		p.fail(malformed(err))
	}
	return v
}

func (p *parser) token() {
	if _, err := p.ReadToken(); err != nil {
		p.fail(malformed(err))
	}
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}
