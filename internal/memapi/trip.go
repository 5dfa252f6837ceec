package memapi

import (
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// trip makes a watch fail at its moment.
type trip struct {
	fault   WatchFault
	tripped WatchFaultKind
	over    bool // the stream has to end
	events  int
	within  *time.Timer
}

func (t *trip) start() {
	if t.fault.Kind != Healthy && t.fault.Within > 0 {
		t.within = time.NewTimer(t.fault.Within)
	}
}

func (t *trip) stop() {
	if t.within != nil {
		t.within.Stop()
	}
}

func (t *trip) timer() <-chan time.Time {
	if t.within == nil {
		return nil
	}
	return t.within.C
}

// count fires if as many events have been sent as were to be.
func (t *trip) count(f *feed) {
	byCount := t.fault.After > 0 || t.fault.Within == 0 && t.fault.When == nil
	if t.tripped == Healthy && byCount && t.events >= t.fault.After {
		t.fire(f)
	}
}

func (t *trip) fire(f *feed) {
	if t.fault.Kind == Healthy || t.tripped != Healthy {
		return
	}
	t.tripped = t.fault.Kind
	switch t.tripped {
	case Reset:
		f.buffer = append(f.buffer, `{"type":"MODIFIED","obj`...)
		_ = f.flush() // the client may be gone already
		f.abort(reset())
	case Finish:
		t.over = true
	case Expire:
		f.error(apierrors.NewResourceExpired("too old resource version"))
		t.over = true
	case Healthy, Silence, OnlyBookmarks:
	}
}
