package lean

import (
	"errors"
	"fmt"
	"time"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Limits bounds the input from one server. Zero values mean the default where one is named, else no limit.
type Limits struct {
	Object   int64         // bytes of one object, or one watch event; default 4 MiB
	List     int64         // bytes of one list, all its pages together; default 1 GiB (watch caches ignore page sizes)
	Objects  int64         // objects that are there at a time, by a list and the watch after it
	Kept     int64         // bytes of heap that they take: parsed statuses, names, wanted labels and annotations
	Pages    int           // pages of one list
	ListTime time.Duration // from the first request of a list to its end; default 10 min
}

func (l Limits) withDefaults() Limits {
	if l.Object <= 0 {
		l.Object = 4 << 20
	}
	if l.List <= 0 {
		l.List = 1 << 30
	}
	if l.ListTime <= 0 {
		l.ListTime = 10 * time.Minute
	}
	return l
}

// ErrTooLarge is the error of an event, an object or a list that is larger than allowed. It holds a *ref.OverLimit with the limit.
var ErrTooLarge = errors.New("too large")

func tooLarge(limit ref.Limit, most int64) error {
	return fmt.Errorf("%w: %w", ErrTooLarge, &ref.OverLimit{Limit: limit, Most: most})
}

// tooLong is the cause with which a list is cancelled that takes longer than allowed.
func (l Limits) tooLong() error {
	return fmt.Errorf("%w: %w", errTooLong, &ref.OverLimit{Limit: ref.LimitListTime, Most: int64(l.ListTime / time.Second)})
}

var errTooLong = errors.New("too long")

// overLimit reports whether an error is about a limit.
func overLimit(err error) bool {
	over := (*ref.OverLimit)(nil)
	return errors.As(err, &over)
}
