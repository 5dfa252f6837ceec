package lean

import (
	"encoding/binary"
	"math/bits"
)

// place is where in a value skip stands: what may come next.
type place int

const (
	atValue     place = iota
	atFirst           // a value, or the end of an array that was just opened
	atName            // a member's name
	atFirstName       // a name, or the end of an object that was just opened
	atNext            // a comma, or the end of what is open
)

// skip steps over the value that comes next. Most of what a server sends ends here. run goes over what is written as API servers
// write it, as far as it is in the window; step, which knows all of the grammar, takes one token where run gave up.
func (t *tokens) skip() error {
	t.open = t.open[:0]
	for at := atValue; ; {
		at = t.run(at)
		if at == atNext && len(t.open) == 0 {
			return nil
		}
		var err error
		if at, err = t.step(at); err != nil {
			return err
		}
	}
}

// step takes one token (a name with its colon is one), whatever white space is around it and wherever the window ends.
func (t *tokens) step(at place) (place, error) {
	c, err := t.peek()
	if err != nil {
		return at, err
	}
	switch at {
	case atNext:
		switch end := t.open[len(t.open)-1]; {
		case c == end:
			return t.closed()
		case c != ',':
			return at, t.invalid("after a value")
		case end == '}':
			at = atName
		default:
			at = atValue
		}
		t.pos++
		return at, nil
	case atFirstName, atName:
		if c == '}' && at == atFirstName {
			return t.closed()
		}
		return atValue, t.skipName(c)
	case atFirst:
		if c == ']' {
			return t.closed()
		}
	}
	return t.stepValue(c)
}

// skipName steps over the name that begins with c, and its colon.
func (t *tokens) skipName(c byte) error {
	if c != '"' {
		return t.invalid("where a name should begin")
	}
	if err := t.skipString(); err != nil {
		return err
	}
	return t.colon()
}

func (t *tokens) closed() (place, error) {
	t.pos++
	t.open = t.open[:len(t.open)-1]
	return atNext, nil
}

// stepValue takes the value that begins with c, or what opens it.
func (t *tokens) stepValue(c byte) (place, error) {
	switch c {
	case '{', '[':
		if t.depth+len(t.open) >= maxDepth {
			return atValue, t.invalid("too deep inside")
		}
		t.pos++
		if c == '{' {
			t.open = append(t.open, '}')
			return atFirstName, nil
		}
		t.open = append(t.open, ']')
		return atFirst, nil
	case '"':
		return atNext, t.skipString()
	case 't':
		return atNext, t.literal("true")
	case 'f':
		return atNext, t.literal("false")
	case 'n':
		return atNext, t.literal("null")
	default:
		return atNext, t.number()
	}
}

// run goes on from a place as far as it can do so fast, and returns where it gave up. It gives up at the beginning of a token; whether
// that is valid is for step to say.
func (t *tokens) run(at place) place {
	b, i, open := t.buf, t.pos, t.open
run:
	for {
		if at == atName {
			if i >= len(b) || b[i] != '"' {
				break
			}
			end, ok := stringEnd(b, i+1)
			if !ok || end >= len(b) || b[end] != ':' {
				break
			}
			i, at = end+1, atValue
		}
		if at == atValue || at == atFirst {
			if i >= len(b) {
				break
			}
			switch c := b[i]; c {
			case '"':
				end, ok := stringEnd(b, i+1)
				if !ok {
					break run
				}
				i = end
			case '{', '[':
				end := c + 2 // in ASCII
				switch {
				case i+1 >= len(b) || t.depth+len(open) >= maxDepth:
					break run
				case b[i+1] == end:
					i += 2
				default:
					i++
					open = append(open, end)
					switch {
					case end == ']':
						at = atFirst
					case b[i] == '"':
						at = atName
					default:
						at = atFirstName
					}
					continue
				}
			default:
				end, ok := scalarEnd(b, i)
				if !ok {
					break run
				}
				i = end
			}
			at = atNext
		}
		if at != atNext {
			break
		}
		for at == atNext {
			n := len(open)
			if n == 0 || i >= len(b) {
				break run
			}
			switch c := b[i]; {
			case c == open[n-1]:
				open = open[:n-1]
			case c != ',':
				break run
			case open[n-1] == '}':
				at = atName
			default:
				at = atValue
			}
			i++
		}
	}
	t.pos, t.open = i, open
	return at
}

// scalarEnd finds the end of a literal or a plain number that begins at b[i]; ok is false where there is more to it.
func scalarEnd(b []byte, i int) (end int, ok bool) {
	switch rest := b[i:]; {
	case len(rest) >= 4 && (string(rest[:4]) == "true" || string(rest[:4]) == "null"):
		return i + 4, true
	case len(rest) >= 5 && string(rest[:5]) == "false":
		return i + 5, true
	}
	end = i
	for end < len(b) && digit(b[end]) {
		end++
	}
	switch {
	case end == i, end == len(b), b[i] == '0' && end > i+1, b[end] == '.', b[end]|0x20 == 'e':
		return i, false
	}
	return end, true
}

// stringEnd finds the end of a string of which b[i:] is behind the opening quote. If ok, end is behind the closing quote; else it is
// where the window cuts the string, or at something that can't be in a string.
func stringEnd(b []byte, i int) (end int, ok bool) {
	for {
		for i+8 <= len(b) {
			stop := special(binary.LittleEndian.Uint64(b[i:]), false)
			if stop != 0 {
				i += bits.TrailingZeros64(stop) / 8
				break
			}
			i += 8
		}
		for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
			i++
		}
		switch {
		case i == len(b):
			return i, false
		case b[i] == '"':
			return i + 1, true
		}
		n := escape(b[i:])
		if n <= 0 {
			return i, false
		}
		i += n
	}
}

// plain counts the bytes up to the first that does not stand for itself: a quote, an escape, a control character, or beyond ASCII.
func plain(b []byte) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		if stop := special(binary.LittleEndian.Uint64(b[i:]), true); stop != 0 {
			return i + bits.TrailingZeros64(stop)/8
		}
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' && b[i] < 0x80 {
		i++
	}
	return i
}

// special marks, with their highest bits, those of eight bytes that are a quote, a backslash or a control character, or beyond ASCII if
// wanted. Only the lowest mark is sure: a subtraction borrows from the bytes above.
func special(x uint64, beyondASCII bool) uint64 {
	const each = 0x0101010101010101
	// Flipping 2 brings the quote (0x22) to 0x20 and leaves the control characters below: one comparison for both.
	marks := ((x ^ each*0x02) - each*0x21) | ((x ^ each*'\\') - each)
	if beyondASCII {
		return (marks | x) & (each * 0x80)
	}
	return marks &^ x & (each * 0x80)
}

// escape is the length of the escape at the beginning of b; 0 if b cuts it, -1 if there is none.
func escape(b []byte) int {
	if b[0] != '\\' {
		return -1
	}
	if len(b) == 1 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		for i := 2; i < 6; i++ {
			if i == len(b) {
				return 0
			}
			if c := b[i] | 0x20; !digit(b[i]) && (c < 'a' || c > 'f') {
				return -1
			}
		}
		return 6
	}
	return -1
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// skipString steps over the string that begins at pos. It keeps no more of it in the window than it must.
func (t *tokens) skipString() error {
	t.pos++
	for {
		end, ok := stringEnd(t.buf, t.pos)
		t.pos = end
		switch {
		case ok:
			return nil
		case end < len(t.buf) && escape(t.buf[end:]) < 0:
			return t.invalid("in a string")
		}
		if err := t.more(); err != nil {
			return cut(err)
		}
	}
}

func (t *tokens) literal(want string) error {
	for t.pos+len(want) > len(t.buf) {
		// What is there has to be its beginning, or nothing more is waited for.
		if have := t.buf[t.pos:]; string(have) != want[:len(have)] {
			return t.invalid("in a literal")
		}
		if err := t.more(); err != nil {
			return cut(err)
		}
	}
	if string(t.buf[t.pos:t.pos+len(want)]) != want {
		return t.invalid("in a literal")
	}
	t.pos += len(want)
	return nil
}

// number steps over a number in any form that JSON knows.
func (t *tokens) number() error {
	if t.at() == '-' {
		t.pos++
	}
	if t.at() == '0' {
		t.pos++
	} else if err := t.digits("where a value should begin"); err != nil {
		return err
	}
	if t.at() == '.' {
		t.pos++
		if err := t.digits("in a number"); err != nil {
			return err
		}
	}
	if t.at()|0x20 == 'e' {
		t.pos++
		if c := t.at(); c == '+' || c == '-' {
			t.pos++
		}
		return t.digits("in a number")
	}
	return nil
}

// digits steps over one or more.
func (t *tokens) digits(where string) error {
	if !digit(t.at()) {
		return t.invalid(where)
	}
	for digit(t.at()) {
		t.pos++
	}
	return nil
}
