package lean

import (
	"io"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// meter hands bytes on to the decoder up to a limit, and remembers why reading ended. The limit is an offset in the bytes that were handed on,
// so that it can be moved from one event to the next although the decoder reads ahead.
type meter struct {
	in    io.Reader
	n     int64 // handed on
	limit int64
	total int64 // still allowed over the whole body; counts down

	object, most int64 // the limits, for errors
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
