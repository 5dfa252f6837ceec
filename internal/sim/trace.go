package sim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// trace is what happened in a run, by virtual time. It says nothing that differs between runs of one seed, such as resourceVersions.
type trace struct {
	begin time.Time
	mu    sync.Mutex
	lines []line
}

type line struct {
	at   time.Duration
	text string
}

func (t *trace) say(format string, args ...any) {
	at := time.Since(t.begin)
	text := fmt.Sprintf(format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line{at, text})
}

// String is the trace in order of time. What happens in one instant has no order.
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
