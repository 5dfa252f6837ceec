package memapi

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// feed writes one watch's stream.
type feed struct {
	*exchange

	table     *table
	watcher   *watcher
	bookmarks bool
	trip      trip
	buffer    []byte
	last      uint64 // resourceVersion of the last event that was sent
}

// run streams until the client goes, the time is over, or a fault ends it.
func (f *feed) run(lifetime time.Duration, streaming bool) error {
	f.trip.start()
	defer f.trip.stop()
	if err := f.open(streaming); err != nil || f.trip.over {
		return err
	}
	end := time.NewTimer(lifetime)
	defer end.Stop()
	bookmark := time.NewTicker(f.s.options.BookmarkEach)
	defer bookmark.Stop()
	var events []watchEvent
	for {
		select {
		case <-f.watcher.wake:
			var ended bool
			var err error
			if events, ended, err = f.catchUp(events); ended || err != nil {
				return err
			}
		case <-bookmark.C:
			if err := f.tick(); err != nil {
				return err
			}
		case <-f.trip.timer():
			f.trip.fire(f)
		case <-f.trip.fault.When:
			f.trip.fault.When = nil
			f.trip.fire(f)
		case <-end.C:
			return nil
		case <-f.r.Context().Done():
			return nil
		case <-f.s.closing:
			return nil
		}
		if f.trip.over {
			return f.flush()
		}
	}
}

// tick sends a periodic bookmark, if the client wants them.
func (f *feed) tick() error {
	if !f.bookmarks || f.trip.tripped == Silence {
		return nil
	}
	f.bookmark(false)
	return f.flush()
}

// catchUp sends all events so far. room is memory to work with, which it returns. ended: the watch is over.
func (f *feed) catchUp(room []watchEvent) (_ []watchEvent, ended bool, err error) {
	for more := true; more; {
		var ok bool
		if room, more, ok = f.s.since(f.table, f.watcher, room[:0]); !ok {
			return room, true, f.flush()
		}
		for _, e := range room {
			if f.event(e); f.trip.over {
				return room, true, f.flush()
			}
		}
		if err := f.flush(); err != nil {
			return room, false, err
		}
	}
	return room, false, nil
}

// open sends the state to begin with.
func (f *feed) open(streaming bool) error {
	f.last = f.watcher.version
	if f.trip.count(f); f.trip.over {
		return f.flush()
	}
	for _, o := range f.watcher.initial {
		f.event(watchEvent{watch.Added, o})
		if f.trip.over {
			return f.flush()
		}
		if len(f.buffer) >= 64<<10 {
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
	f.watcher.initial = nil
	f.last = f.watcher.version
	if streaming && f.bookmarks && f.trip.tripped != Silence {
		f.bookmark(true)
	}
	return f.flush()
}

func (f *feed) event(e watchEvent) {
	if f.trip.tripped != Healthy {
		return
	}
	f.last = e.object.version
	f.buffer = append(f.buffer, `{"type":"`...)
	f.buffer = append(f.buffer, e.kind...)
	f.buffer = append(f.buffer, `","object":`...)
	f.buffer = e.object.appendJSON(f.buffer, true)
	f.buffer = append(f.buffer, "}\n"...)
	f.trip.events++
	f.trip.count(f)
}

func (f *feed) bookmark(initialEnd bool) {
	version := f.last
	if f.trip.tripped == Healthy {
		version = max(version, f.watcher.version)
	}
	f.buffer = append(f.buffer, `{"type":"BOOKMARK","object":{`...)
	f.buffer = append(f.buffer, f.table.kind...)
	f.buffer = append(f.buffer, `"metadata":{"resourceVersion":"`...)
	f.buffer = strconv.AppendUint(f.buffer, version, 10)
	f.buffer = append(f.buffer, '"')
	if initialEnd {
		f.buffer = append(f.buffer, `,"annotations":{"`+metav1.InitialEventsAnnotationKey+`":"true"}`...)
	}
	f.buffer = append(f.buffer, "}}}\n"...)
}

// error sends an ERROR event, the last one of the stream.
func (f *feed) error(err error) {
	status, ok := err.(apierrors.APIStatus)
	if !ok {
		status = apierrors.NewInternalError(err)
	}
	s := status.Status()
	s.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	f.buffer = fmt.Appendf(f.buffer, `{"type":"ERROR","object":%s}`+"\n", encode(s))
}

// flush sends the buffer. The response head goes out even while the buffer is empty.
func (f *feed) flush() error {
	if len(f.buffer) > 0 {
		if err := f.send(f.buffer); err != nil {
			return err
		}
		f.buffer = f.buffer[:0]
	}
	return http.NewResponseController(f.w).Flush()
}
