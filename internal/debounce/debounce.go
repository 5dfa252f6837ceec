// Package debounce decides when a change is passed on: an isolated change at once (the leading edge), the changes of a burst together
// once it has been quiet for a while, and in a burst that does not end at the latest after a maximum wait.
//
// It promises that no change waits longer than MaxWait, that the last change of a burst is always passed on, and that a burst over a time d
// is passed on at most 2 + d/MaxWait times if no two of its changes are further apart than Quiet; in a Spread window at most 3 + d/MaxWait.
//
// It is pure: the caller brings the time, owns the timer, and does the sending. A caller's turn looks like this:
//
//	if fire, after := state.Changed(window, now); fire {
//		send()                // and no Fired: Changed has seen to it
//	} else {
//		timer.Reset(after)    // when it fires and Pending still holds: send(), Fired(now)
//	}
package debounce

import "time"

// Window is how long changes are held back.
type Window struct {
	Quiet   time.Duration // a burst has ended when nothing has changed for this long; zero or less: nothing is held back
	MaxWait time.Duration // the longest that a change waits; less than Quiet: Quiet

	cut  time.Duration // so much less is the first wait of a burst
	held bool          // a change waits even if it comes alone
}

// Spread is the window of one of many objects, which its hash stands for. Objects that begin to change at the same time, and go on, would all
// be passed on at the same time, again and again. So the first wait of a burst is shorter: by a part, different for each of them, of half the
// time between Quiet and MaxWait.
func (w Window) Spread(hash uint64) Window {
	const parts = 1 << 10
	w.cut = max(0, w.MaxWait-w.Quiet) / 2 * time.Duration(hash%parts) / parts
	return w
}

// Hold is the window of a change that does not leave at once though it comes alone, as there are too many like it elsewhere: it begins a
// burst.
func (w Window) Hold() Window {
	w.held = true
	return w
}

// State is one object's place in its bursts. The zero State is an object that has never changed. It is small (24 bytes), as every object has one.
type State struct {
	changed int64 // when it changed last, unix nanoseconds
	fired   int64 // when it was passed on last
	latest  int64 // deadline of the pending change; 0: none is pending
}

// Changed notes a change. Either it is to be passed on now, and counts as passed on; or the caller's timer is to fire after the
// given time, in the place of an earlier one.
func (s *State) Changed(w Window, now time.Time) (fireNow bool, after time.Duration) {
	t := now.UnixNano()
	quiet := int64(w.Quiet)
	alone := s.Alone(w, now)
	first := alone || s.changed == s.fired // or the last change went at once: it began this burst
	s.changed = t
	if alone && !w.held || quiet <= 0 {
		s.Fired(now)
		return true, 0
	}
	if s.latest == 0 {
		s.latest = t + max(int64(w.MaxWait), quiet)
		if first {
			s.latest -= int64(w.cut)
		}
	}
	due := min(t+quiet, s.latest)
	if due <= t {
		s.Fired(now)
		return true, 0
	}
	return false, time.Duration(due - t)
}

// Alone says whether a change now would come alone.
func (s *State) Alone(w Window, now time.Time) bool {
	since := now.UnixNano() - max(s.fired, s.changed)
	return s.latest == 0 && (since >= int64(w.Quiet) || since < 0) // since < 0: the clock was set back
}

// Fired notes that everything pending was passed on.
func (s *State) Fired(now time.Time) { s.fired, s.latest = now.UnixNano(), 0 }

// Unspent notes that what was passed on last led to nothing, so that it began no burst. A pending change is to be passed on now; else the next
// one comes alone.
func (s *State) Unspent() (pending bool) {
	pending = s.Pending()
	*s = State{}
	return pending
}

// Pending says whether a change waits to be passed on.
func (s *State) Pending() bool { return s.latest != 0 }
