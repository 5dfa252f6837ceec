package sim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// trace lists the events of a run by virtual time. It leaves out values that differ between runs of one seed, such as resourceVersions.
type trace struct {
	begin time.Time
	mu    sync.Mutex
	lines []line
}

type line struct {
	at   time.Duration
	text string
}

func (t *trace) note(format string, args ...any) {
	at := time.Since(t.begin)
	text := fmt.Sprintf(format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line{at, text})
}

// String is the trace in order of time. Events of one instant have no order.
func (t *trace) String() string {
	t.mu.Lock()
	lines := slices.Clone(t.lines)
	t.mu.Unlock()
	slices.SortStableFunc(lines, func(a, b line) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return strings.Compare(a.text, b.text)
	})
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%14.6f  %s\n", l.at.Seconds(), l.text)
	}
	return b.String()
}
