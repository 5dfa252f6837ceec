package debounce

import (
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

var window = Window{Quiet: 200 * ms, MaxWait: 2 * time.Second}

// sends runs one object through changes at the given times, with a timer as a caller would, and gives the times of the sends.
func sends(w Window, changes []time.Duration) []time.Duration {
	start := time.Unix(1_700_000_000, 0)
	var s State
	var sent []time.Duration
	timer := time.Duration(-1)
	fire := func(now time.Duration) {
		sent = append(sent, now)
		timer = -1
	}
	run := func(until time.Duration) {
		if timer >= 0 && timer <= until && s.Pending() {
			s.Fired(start.Add(timer))
			fire(timer)
		}
	}
	for _, at := range changes {
		run(at)
		if now, after := s.Changed(w, start.Add(at)); now {
			fire(at)
		} else {
			timer = at + after
		}
	}
	run(1 << 62)
	return sent
}

func TestSends(t *testing.T) {
	for name, c := range map[string]struct {
		w              Window
		changes, sends []time.Duration
	}{
		"a lone change goes at once":         {window, []time.Duration{0}, []time.Duration{0}},
		"two changes far apart go at once":   {window, []time.Duration{0, 200 * ms}, []time.Duration{0, 200 * ms}},
		"a burst goes at its start and end":  {window, []time.Duration{0, 50 * ms, 100 * ms, 150 * ms}, []time.Duration{0, 350 * ms}},
		"after a burst a lone change again":  {window, []time.Duration{0, 50 * ms, 450 * ms}, []time.Duration{0, 250 * ms, 450 * ms}},
		"right after a trailing send: wait":  {window, []time.Duration{0, 50 * ms, 300 * ms}, []time.Duration{0, 250 * ms, 500 * ms}},
		"a burst without end: maximum wait":  {Window{Quiet: 200 * ms, MaxWait: 300 * ms}, []time.Duration{0, 100 * ms, 200 * ms, 300 * ms, 350 * ms, 450 * ms}, []time.Duration{0, 400 * ms, 650 * ms}},
		"maximum wait shorter than quiet":    {Window{Quiet: 200 * ms}, []time.Duration{0, 100 * ms, 150 * ms}, []time.Duration{0, 300 * ms}},
		"spread: the first wait is shorter":  {window.Spread(1 << 9), every(100*ms, 6*time.Second), []time.Duration{0, 1650 * ms, 3700 * ms, 5700 * ms, 6100 * ms}},
		"spread: a short burst is the same":  {window.Spread(1<<10 - 1), []time.Duration{0, 50 * ms, 100 * ms, 150 * ms}, []time.Duration{0, 350 * ms}},
		"held: a lone change is a burst":     {window.Hold(), []time.Duration{0, time.Second}, []time.Duration{200 * ms, 1200 * ms}},
		"held, spread: without end":          {window.Spread(1 << 9).Hold(), every(100*ms, 4*time.Second), []time.Duration{1550 * ms, 3600 * ms, 4100 * ms}},
		"no window":                          {Window{}, []time.Duration{0, 1, 2}, []time.Duration{0, 1, 2}},
		"the clock is set back between them": {window, []time.Duration{time.Hour, 0}, []time.Duration{time.Hour, 0}},
	} {
		got := sends(c.w, c.changes)
		if len(got) != len(c.sends) {
			t.Errorf("%s: sent at %v, want %v", name, got, c.sends)
			continue
		}
		for i := range got {
			if got[i] != c.sends[i] {
				t.Errorf("%s: sent at %v, want %v", name, got, c.sends)
				break
			}
		}
	}
}

func every(d, until time.Duration) (changes []time.Duration) {
	for at := time.Duration(0); at < until; at += d {
		changes = append(changes, at)
	}
	return changes
}

func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := Window{
			Quiet:   time.Duration(rapid.IntRange(1, 50).Draw(t, "quiet")) * ms,
			MaxWait: time.Duration(rapid.IntRange(1, 200).Draw(t, "maxWait")) * ms,
		}
		maxWait := max(w.MaxWait, w.Quiet)
		most := 2
		if rapid.Bool().Draw(t, "spread") {
			w = w.Spread(rapid.Uint64().Draw(t, "hash"))
			most = 3
		}
		held := rapid.Bool().Draw(t, "held")
		if held {
			w = w.Hold()
		}
		changes := []time.Duration{0}
		for _, gap := range rapid.SliceOf(rapid.IntRange(0, 60_000)).Draw(t, "gaps (µs)") {
			changes = append(changes, changes[len(changes)-1]+time.Duration(gap)*time.Microsecond)
		}
		sent := sends(w, changes)

		// Every change is followed by a send within MaxWait, a lone one at once.
		next := 0
		for i, at := range changes {
			for next < len(sent) && sent[next] < at {
				next++
			}
			if next == len(sent) || sent[next]-at > maxWait {
				t.Fatalf("the change at %v was not sent within %v: %v", at, maxWait, sent)
			}
			lone := (i == 0 || at-changes[i-1] >= 2*w.Quiet)
			if lone && !held && sent[next] != at {
				t.Fatalf("the lone change at %v was sent at %v", at, sent[next])
			}
		}
		// A burst costs at most 2 + duration/MaxWait sends, one more if the first wait is shorter.
		for first := 0; first < len(changes); {
			last := first
			for last+1 < len(changes) && changes[last+1]-changes[last] < w.Quiet {
				last++
			}
			n := 0
			for _, at := range sent {
				if at >= changes[first] && (last+1 == len(changes) || at < changes[last+1]) {
					n++
				}
			}
			if limit := most + int((changes[last]-changes[first])/maxWait); n > limit {
				t.Fatalf("the burst from %v to %v was sent %d times, more than %d: %v", changes[first], changes[last], n, limit, sent)
			}
			first = last + 1
		}
	})
}

// TestWithTimer drives a real timer through 10 s of changes every 10 ms, in virtual time.
func TestWithTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s State
		timer := time.NewTimer(time.Hour)
		ticks := time.NewTicker(10 * ms)
		lastTick, end := time.After(10*time.Second), time.After(15*time.Second)
		value, sent, n := 0, 0, 0
		for running := true; running; {
			select {
			case <-ticks.C:
				value++
				if now, after := s.Changed(window, time.Now()); now {
					sent, n = value, n+1
				} else {
					timer.Reset(after)
				}
			case <-timer.C:
				if s.Pending() {
					s.Fired(time.Now())
					sent, n = value, n+1
				}
			case <-lastTick:
				ticks.Stop()
			case <-end:
				running = false
			}
			if !s.Pending() && sent != value {
				t.Fatalf("nothing is pending, but %d of %d was sent", sent, value)
			}
		}
		if n < 6 || n > 7 || sent != value {
			t.Errorf("%d sends in 10 s, the last of %d: want 6 or 7, and of %d", n, sent, value)
		}
	})
}

// TestSpreadObjectsPart: of a thousand objects that begin together and go on changing, no tenth of a second holds more than a fifth.
func TestSpreadObjectsPart(t *testing.T) {
	const objects = 1000
	passed := map[int]int{} // by tenths of a second
	for i := range objects {
		for _, at := range sends(window.Spread(uint64(i)*0x9e3779b97f4a7c15), every(50*ms, 20*time.Second)) {
			if at > 0 {
				passed[int(at.Milliseconds()/100)]++
			}
		}
	}
	for at, n := range passed {
		if n > objects/5 && at < 200 { // at the end all are
			t.Errorf("%d objects are passed on in the tenth of a second after %.1f s", n, float64(at)/10)
		}
	}
}

func TestStateIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(State{}); size > 24 {
		t.Errorf("State has %d bytes", size)
	}
}

func BenchmarkChanged(b *testing.B) {
	var s State
	now := time.Unix(1_700_000_000, 0)
	for b.Loop() {
		now = now.Add(ms)
		s.Changed(window, now)
	}
}
