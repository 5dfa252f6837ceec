package reconcile

import (
	"container/heap"
	"time"

	"github.com/upstreamd/upstreamd/internal/aggregate"
)

// timed has one time at which it is due.
type timed interface {
	due() *timer
	fire(*State)
}

// timer is a place in the heap of due times. The zero timer is stopped.
type timer struct {
	at    int64
	index int // in the heap, plus one; 0: stopped
}

// dueTimes is a heap, the earliest first.
type dueTimes []timed

// set moves the due time of t.
func (d *dueTimes) set(t timed, at int64) {
	x := t.due()
	x.at = at
	if x.index == 0 {
		heap.Push(d, t)
		return
	}
	heap.Fix(d, x.index-1)
}

func (d *dueTimes) stop(t timed) {
	if i := t.due().index; i > 0 {
		heap.Remove(d, i-1)
	}
}

// next is the earliest due time; 0: there is none.
func (d dueTimes) next() int64 {
	if len(d) == 0 {
		return 0
	}
	return d[0].due().at
}

// fire takes out the entries that are due, a slice of them at a time: the rest is due again at once.
func (d *dueTimes) fire(s *State) {
	for range slice {
		if len(*d) == 0 || d.next() > s.at {
			return
		}
		heap.Pop(d).(timed).fire(s)
	}
}

// objects are the objects that wait for a time.
func (d dueTimes) objects() (waiting objects) {
	for _, t := range d {
		if o, ok := t.(*object); ok {
			waiting = append(waiting, o)
		}
	}
	return waiting
}

// objects is a set of its own.
type objects []*object

func (l objects) size() int        { return len(l) }
func (l objects) at(i int) *object { return l[i] }

func (d dueTimes) Len() int           { return len(d) }
func (d dueTimes) Less(i, j int) bool { return d[i].due().at < d[j].due().at }
func (d dueTimes) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].due().index, d[j].due().index = i+1, j+1
}

func (d *dueTimes) Push(x any) {
	t := x.(timed)
	*d = append(*d, t)
	t.due().index = len(*d)
}

func (d *dueTimes) Pop() any {
	last := len(*d) - 1
	t := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	t.due().index = 0
	return t
}

// wake asks for the timer to be moved if the earliest due time is another one than it was moved to last.
func (s *State) wake() {
	next := s.due.next()
	if next == s.woken {
		return
	}
	s.woken = next
	if next == 0 {
		s.emit(Wake{})
		return
	}
	s.emit(Wake{time.Unix(0, next)})
}

func (o *object) due() *timer { return &o.timer }

// fire decides again, or reads the object, whichever is due.
func (o *object) fire(s *State) {
	if o.trouble != nil && o.trouble.fetchAt != 0 && o.trouble.fetchAt <= s.at {
		o.trouble.fetchAt = 0
		s.reads.ask(s, o)
	}
	due := o.again != 0 && o.again <= s.at
	if due {
		o.again = 0
	}
	s.rearm(o)
	if due {
		s.consider(o)
	}
}

// decideAt has an object decided again at a time, or earlier.
func (s *State) decideAt(o *object, at int64) {
	if o.again == 0 || at < o.again {
		o.again = at
		s.rearm(o)
	}
}

// rearm brings the object's due time up to date.
func (s *State) rearm(o *object) {
	at := o.again
	if o.trouble != nil && o.trouble.fetchAt != 0 && (at == 0 || o.trouble.fetchAt < at) {
		at = o.trouble.fetchAt
	}
	switch {
	case at == 0:
		s.due.stop(o)
	case o.timer.index == 0 || o.timer.at != at:
		s.due.set(o, at)
	}
}

// ripening ends the time in which SyncTargets become known.
type ripening struct{ *State }

func (r ripening) due() *timer { return &r.ripens }

func (r ripening) fire(s *State) {
	s.ripe = true
	s.eachScope(func(c *scope) {
		s.each(c, s.consider, func(i int) bool { return c.at(i).reason == aggregate.ReasonNotPlaced })
	})
}
