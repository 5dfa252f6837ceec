// Package debounce decides when a change is passed on: an isolated change at once (the leading edge), the changes of a burst together
// once it has been quiet for a while, and in a burst that does not end at the latest after a maximum wait.
//
// It promises that no change waits longer than MaxWait, that the last change of a burst is always passed on, and that a burst with n
// changes over a time d is passed on at most 2 + d/MaxWait times if no two of its changes are further apart than Quiet.
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
}

// State is one object's place in its bursts. The zero State is an object that has never changed. It is small (24 bytes), as every object has one.
type State struct {
	changed int64 // when it changed last, unix nanoseconds
	fired   int64 // when it was passed on last
	pending int64 // when the oldest change that was not passed on came; 0: there is none
}

// Changed notes a change. Either it is to be passed on now, and counts as passed on; or the caller's timer is to fire after the
// given time, in the place of an earlier one.
func (s *State) Changed(w Window, now time.Time) (fireNow bool, after time.Duration) {
	t := now.UnixNano()
	quiet := int64(w.Quiet)
	since := t - max(s.fired, s.changed)
	isolated := s.pending == 0 && (since >= quiet || since < 0) // since < 0: the clock was set back
	s.changed = t
	if isolated || quiet <= 0 {
		s.Fired(now)
		return true, 0
	}
	if s.pending == 0 {
		s.pending = t
	}
	due := min(t+quiet, s.pending+max(int64(w.MaxWait), quiet))
	if due <= t {
		s.Fired(now)
		return true, 0
	}
	return false, time.Duration(due - t)
}

// Fired notes that everything pending was passed on.
func (s *State) Fired(now time.Time) { s.fired, s.pending = now.UnixNano(), 0 }

// Pending says whether a change waits to be passed on.
func (s *State) Pending() bool { return s.pending != 0 }
