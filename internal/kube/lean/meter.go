package lean

import (
	"bytes"
	"io"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// meter hands bytes on to the decoder up to a limit, and remembers why reading ended. The limit is an offset in what was handed on
// since the last rewind, so that it can be moved from one event to the next although the decoder reads ahead.
type meter struct {
	in    io.Reader
	n     int64 // handed on since the last rewind
	limit int64
	total int64 // still allowed over the whole body; counts down

	object, most int64 // what the limits were, for errors
	err          error // why reading ended, other than io.EOF
}

func (m *meter) Read(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	room := min(m.limit-m.n, m.total)
	switch {
	case m.total <= 0:
		m.err = tooLarge(ref.LimitListSize, m.most)
		return 0, m.err
	case room <= 0:
		m.err = tooLarge(ref.LimitObjectSize, m.object)
		return 0, m.err
	}
	n, err := m.in.Read(p[:min(int64(len(p)), room)])
	m.n += int64(n)
	m.total -= int64(n)
	if err != nil && err != io.EOF {
		m.err = err
		if n > 0 {
			return n, nil // the decoder drops an error that comes with bytes; it gets this one at its next read
		}
	}
	return n, err
}

// skipLine drops what is left of the current line: the unread bytes that the decoder had already taken, then more of the input, up
// to limit bytes. The next Read begins behind the line's end.
func (m *meter) skipLine(unread []byte, limit int64) error {
	rest := io.MultiReader(bytes.NewReader(bytes.Clone(unread)), m.in)
	buf := make([]byte, 4096)
	for skipped := int64(0); skipped < limit; {
		n, err := rest.Read(buf)
		if end := bytes.IndexByte(buf[:n], '\n'); end >= 0 {
			m.in = io.MultiReader(bytes.NewReader(bytes.Clone(buf[end+1:n])), rest)
			m.n, m.limit, m.err = 0, 0, nil
			return nil
		}
		if err != nil {
			return err
		}
		skipped += int64(n)
	}
	return tooLarge(ref.LimitObjectSize, limit)
}
