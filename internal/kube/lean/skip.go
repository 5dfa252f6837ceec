package lean

// place is skip's position in a value: the tokens that may come next.
type place int

const (
	atValue     place = iota
	atFirst           // a value, or the end of an array that was just opened
	atName            // a member's name
	atFirstName       // a name, or the end of an object that was just opened
	atNext            // a comma, or the end of an open object or array
)

// skip steps over the next value. Most input ends here. run handles the forms that API servers write, as far as they are in the window;
// step, which knows all of the grammar, takes one token where run stopped.
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

// step takes one token (a name with its colon is one), with any white space around it and across the end of the window.
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

// stepValue takes the value that begins with c, or its opening bracket.
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

// run goes on from a place as far as it can do so fast, and returns where it stopped: at the beginning of a token, which step then
// checks.
//
//nolint:gocyclo,funlen // taken apart it is a fifth slower
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
		// The bytes in the window must be its beginning, else no more are read.
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
