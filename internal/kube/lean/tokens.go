package lean

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// tokens reads JSON from a stream, token by token, or steps over whole values. Skipped values are held to the same grammar as kept ones:
// otherwise crafted input could shift the boundaries of values. It is lenient where encoding/json is: names may stand twice, and text need not be UTF-8.
//
// It reads no further than it has to, so that an event that is complete never waits for the one after it. It keeps the window
// from which the caller still needs bytes.
type tokens struct {
	in    io.Reader // nil: the window is all there is
	buf   []byte    // the window
	pos   int       // in the window: the next byte
	base  int64     // offset of the window in the stream
	mark  int       // in the window: it is kept from here on; -1: from pos on
	depth int       // of objects and arrays that were entered
	open  []byte    // closing brackets that skip expects, the innermost last
	full  bool      // the last read filled the window
	lent  *[]byte   // the window, if it goes back to windows
}

const (
	minWindow = 4 << 10  // bytes; a quiet watch has no more
	maxWindow = 32 << 10 // bytes that a window grows to because its stream is busy; a value that is kept may need more
	maxDepth  = 10_000   // of objects and arrays, as in jsontext
)

var errSyntax = errors.New("malformed JSON")

func newTokens(r io.Reader) *tokens { return &tokens{in: r, mark: -1} }

// tokensOf reads bytes in memory, and does not write to them.
func tokensOf(b []byte) *tokens { return &tokens{buf: b, mark: -1} }

// windows are those that answers of one object were read in: short, and many of them.
var windows = sync.Pool{New: func() any { return new([]byte) }}

// borrow takes a window that another stream was read in.
func (t *tokens) borrow() {
	t.lent = windows.Get().(*[]byte)
	t.buf = (*t.lent)[:0]
}

// giveBack ends the reading. Values that were not copied are not valid any longer.
func (t *tokens) giveBack() {
	if cap(t.buf) <= maxWindow {
		*t.lent = t.buf
		windows.Put(t.lent)
	}
	t.buf, t.in, t.lent = nil, nil, nil
}

// offset counts the bytes of the stream that were taken.
func (t *tokens) offset() int64 { return t.base + int64(t.pos) }

// more adds at least one byte to the window. White space right before pos stays in it, for invalid goes back over it.
func (t *tokens) more() error {
	if t.in == nil {
		return io.EOF
	}
	keep := t.beforeSpace()
	if t.mark >= 0 {
		keep = min(keep, t.mark)
		t.mark -= keep
	}
	n := copy(t.buf, t.buf[keep:])
	t.buf, t.pos, t.base = t.buf[:n], t.pos-keep, t.base+int64(keep)
	switch {
	case cap(t.buf) == 0:
		t.buf = make([]byte, 0, minWindow)
	case n > cap(t.buf)/2, t.full && cap(t.buf) < maxWindow:
		t.buf = slices.Grow(t.buf, 2*cap(t.buf)-n)
	case n == 0 && cap(t.buf) > 1<<20: // something large went by
		t.buf = make([]byte, 0, maxWindow)
	}
	for range 100 {
		read, err := t.in.Read(t.buf[n:cap(t.buf)])
		t.buf = t.buf[:n+read]
		t.full = len(t.buf) == cap(t.buf)
		if read > 0 {
			return nil // an error that came with it comes again
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// beforeSpace is pos, or where the white space before it begins. It goes back a few bytes only: a stream of white space would fill the
// window and be scanned again with each read. A line break further back does not matter to streams with one event a line.
func (t *tokens) beforeSpace() int {
	at := t.pos
	for at > 0 && t.pos-at < 64 && space(t.buf[at-1]) {
		at--
	}
	return at
}

func space(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// at is the byte at pos, or 0 if there is none.
func (t *tokens) at() byte {
	if t.pos == len(t.buf) && t.more() != nil {
		return 0
	}
	return t.buf[t.pos]
}

// peek steps over white space and is the byte that comes then. Where the stream ends between two values, the error is io.EOF.
func (t *tokens) peek() (byte, error) {
	for {
		for ; t.pos < len(t.buf); t.pos++ {
			if c := t.buf[t.pos]; !space(c) {
				return c, nil
			}
		}
		if err := t.more(); err != nil {
			return 0, t.ended(err)
		}
	}
}

// ended is why there is no more where there should be.
func (t *tokens) ended(err error) error {
	if t.depth > 0 || len(t.open) > 0 {
		return cut(err)
	}
	return err
}

// cut is why there is no more within a token.
func cut(err error) error {
	if err == io.EOF { //nolint:errorlint // a reader's end is exactly this
		return io.ErrUnexpectedEOF
	}
	return err
}

// invalid is the error of a byte at pos that is not allowed there. pos is then behind the last valid token: a line break between the two
// belongs to the broken part.
func (t *tokens) invalid(where string) error {
	if t.pos == len(t.buf) {
		if err := t.more(); err != nil {
			return cut(err)
		}
	}
	err := fmt.Errorf("%w: invalid character %q %s, at byte %d", errSyntax, t.buf[t.pos], where, t.offset())
	t.pos = t.beforeSpace()
	return err
}

// enter goes into the object or array that begins at pos, and reports whether there is anything in it; if not, it is behind it again.
func (t *tokens) enter(end byte) (bool, error) {
	t.pos++
	t.depth++
	c, err := t.peek()
	if err == nil && c == end {
		t.pos++
		t.depth--
		return false, nil
	}
	return true, err
}

// next goes to the next thing in the object or array, or, if there is none, behind it.
func (t *tokens) next(end byte) (bool, error) {
	c, err := t.peek()
	switch {
	case err != nil:
		return false, err
	case c == ',':
		t.pos++
		return true, nil
	case c == end:
		t.pos++
		t.depth--
		return false, nil
	}
	return false, t.invalid("after a value")
}

// name reads a member's name and the colon behind it. The name holds until the next read.
func (t *tokens) name() ([]byte, error) {
	if c, err := t.peek(); err != nil {
		return nil, err
	} else if c != '"' {
		return nil, t.invalid("where a name should begin")
	}
	b := t.buf[t.pos+1:]
	if n := plain(b); n+1 < len(b) && b[n] == '"' && b[n+1] == ':' {
		t.pos += n + 3
		return b[:n], nil
	}
	length := 0
	taken, err := t.kept(func(t *tokens) error {
		if err := t.skipString(); err != nil {
			return err
		}
		length = t.pos - t.mark
		return t.colon()
	})
	if err != nil {
		return nil, err
	}
	return unquote(taken[:length]), nil
}

func (t *tokens) colon() error {
	c, err := t.peek()
	if err != nil {
		return err
	}
	if c != ':' {
		return t.invalid("after a name")
	}
	t.pos++
	return nil
}

// text reads the string that begins at pos. The result is valid until the next read.
func (t *tokens) text() ([]byte, error) {
	b := t.buf[t.pos+1:]
	if n := plain(b); n < len(b) && b[n] == '"' {
		t.pos += n + 2
		return b[:n], nil
	}
	quoted, err := t.kept((*tokens).skipString)
	if err != nil {
		return nil, err
	}
	return unquote(quoted), nil
}

// value reads the next value as it is. The result is valid until the next read.
func (t *tokens) value() ([]byte, error) {
	if _, err := t.peek(); err != nil {
		return nil, err
	}
	return t.kept((*tokens).skip)
}

// kept returns the bytes that read consumes.
func (t *tokens) kept(read func(*tokens) error) ([]byte, error) {
	t.mark = t.pos
	err := read(t)
	from := t.mark
	t.mark = -1
	if err != nil {
		return nil, err
	}
	return t.buf[from:t.pos], nil
}

// skipLine moves behind the line in which the value that began at start is broken, and leaves all open objects and arrays.
func (t *tokens) skipLine(start int64) error {
	t.depth, t.open, t.mark = 0, t.open[:0], -1
	if t.offset() <= start { // nothing of that line was taken yet: a line break here is the end of the one before
		if _, err := t.peek(); err != nil {
			return err
		}
	}
	for {
		if end := bytes.IndexByte(t.buf[t.pos:], '\n'); end >= 0 {
			t.pos += end + 1
			return nil
		}
		t.buf, t.pos, t.base = t.buf[:0], 0, t.base+int64(len(t.buf))
		if err := t.more(); err != nil {
			return err
		}
	}
}

// unquote gives the string that a JSON string stands for.
func unquote(quoted []byte) []byte {
	// The error only means that broken UTF-8 was replaced.
	text, _ := jsontext.AppendUnquote(nil, quoted)
	return text
}
