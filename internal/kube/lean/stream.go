package lean

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// errNotStreaming is the error of a streaming list that the server answered like an ordinary watch: its end was not marked.
var errNotStreaming = errors.New("the end of the streaming list was not marked")

// stream is one open watch. A goroutine of its own reads it and sets the fields, which may be read once done is closed.
type stream struct {
	events  int
	listing bool // the end of a streaming list was not reached
	beats   bool // it has delivered a bookmark other than the end of its list
	lived   time.Duration
	err     error // why it ended; nil: the server closed it, or it was stopped
	done    chan struct{}
	results chan watch.Event
	cancel  context.CancelCauseFunc
	census  *census
}

var errUnneeded = errors.New("watch stopped")

func (s *stream) ResultChan() <-chan watch.Event { return s.results }
func (s *stream) Stop()                          { s.cancel(errUnneeded) }

// open opens a watch and starts to read it.
func (f *follower) open(parent context.Context, options metav1.ListOptions, streaming bool) (*stream, error) {
	listed := func() {}
	if streaming {
		var err error
		if listed, err = f.source.beginList(parent); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancelCause(parent)
	opened := time.Now()
	idle := newWatchdog(f.source.settings.WatchIdle, cancel)
	resp, err := f.source.open(ctx, watchQuery(options, streaming))
	if err != nil {
		idle.stop()
		cancel(nil)
		listed()
		return nil, err
	}
	if streaming {
		f.census = newCensus(f.source.settings.Limits, f.share)
	}
	s := &stream{done: make(chan struct{}), results: make(chan watch.Event, 64), cancel: cancel, census: f.census, listing: streaming}
	f.work.Go(func() {
		defer listed()
		defer close(s.done)
		defer close(s.results)
		defer cancel(nil)
		defer idle.stop()
		defer func() { _ = resp.Body.Close() }()
		decoder := NewDecoder(resp.Body, f.source.want, f.source.settings.Limits)
		if f.source.want.SpecOnce {
			decoder.scan.specs = map[uint64]uint8{}
		}
		s.err = client.Recover(func() error { return s.read(ctx, f.source, decoder, idle, options.ResourceVersion, listed) })
		if sent, ok := errors.AsType[*apierrors.StatusError](s.err); ok { // in an ERROR event
			sent.ErrStatus.Message = string(client.Withhold(resp, []byte(sent.ErrStatus.Message)))
		}
		s.lived = time.Since(opened)
	})
	return s, nil
}

// read hands on events until the stream ends, and returns why it did. It calls listed at the end of a streaming list.
func (s *stream) read(ctx context.Context, source *Source, decoder *Decoder, idle *watchdog, version string, listed func()) error {
	budget := newBudget(source.settings)
	unbound := s.bound(source.settings.Limits)
	defer unbound()
	for {
		if s.listing {
			idle.reset(budget.left())
		} else {
			idle.reset(source.settings.WatchIdle)
		}
		e, err := decoder.Event()
		if err != nil {
			return s.reason(ctx, err)
		}
		s.events++
		switch e.Type {
		case watch.Added, watch.Modified, watch.Deleted, watch.Bookmark:
		case watch.Error:
			s.refused(ctx, e.Err)
			return e.Err
		default:
			continue // a kind of event that is not known yet
		}
		if e.ResourceVersion != "" {
			version = e.ResourceVersion
		}
		o := source.placed(e.Object)
		if unknown, err := s.count(e.Type, o); err != nil {
			return fmt.Errorf("watch given up: %w", err)
		} else if unknown {
			continue
		}
		i := newItem(o, version)
		switch {
		case e.InitialEnd:
			i.initialEnd, s.listing = true, false
			s.census.complete()
			unbound()
			listed()
		case e.Type == watch.Bookmark:
			if s.listing {
				return errNotStreaming // the bookmarks of a streaming list come after its end
			}
			s.beats = true
		case e.Type == watch.Added:
			budget.added++
		}
		if !s.send(ctx, watch.Event{Type: e.Type, Object: i}) {
			return s.reason(ctx, ctx.Err())
		}
	}
}

// refused hands an ERROR event on if the reflector has to list again after it.
func (s *stream) refused(ctx context.Context, err *apierrors.StatusError) {
	if movedOn(err) {
		sent := err.ErrStatus // without the message, which may hold credentials: the reflector needs only the reason
		sent.Message = ""
		s.send(ctx, watch.Event{Type: watch.Error, Object: &sent})
	}
}

// placed completes the object of an event; that of a bookmark is empty.
func (s *Source) placed(o *ref.Object) *ref.Object {
	if o == nil {
		return &ref.Object{}
	}
	s.place(o)
	if o.Err != nil {
		s.settings.Logger.Debug().Err(o.Err).Str("path", s.path).Str("object", identity(o)).Msg("object cannot be read")
	}
	return o
}

// budget is the time in which a streaming list has to come to its end. Servers before 1.27 ignore sendInitialEvents and answer with an
// ordinary watch, with events that never stop on a busy resource: an object that is listed buys a little time, an event does not.
type budget struct {
	begun time.Time
	idle  time.Duration
	added int
}

// objectsPerIdle is how many listed objects buy StreamIdle.
const objectsPerIdle = 1000

func newBudget(s Settings) budget { return budget{begun: time.Now(), idle: s.StreamIdle} }

func (b budget) left() time.Duration {
	all := b.idle + time.Duration(b.added)*(b.idle/objectsPerIdle)
	return max(0, min(b.idle, all-time.Since(b.begun)))
}

// bound gives a streaming list up when it takes too long, until unbound is called.
func (s *stream) bound(l Limits) (unbound func()) {
	if !s.listing {
		return func() {}
	}
	timer := time.AfterFunc(l.ListTime, func() { s.cancel(l.tooLong()) })
	return func() { timer.Stop() }
}

// count keeps the census. unknown is the end of an object that never was.
func (s *stream) count(t watch.EventType, o *ref.Object) (unknown bool, err error) {
	switch t {
	case watch.Added, watch.Modified:
		return false, s.census.add(o)
	case watch.Deleted:
		return !s.census.remove(o), nil
	default:
		return false, nil
	}
}

func (s *stream) send(ctx context.Context, e watch.Event) bool {
	select {
	case s.results <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// reason turns the error that ended the reading into the one to report; nil if nothing is wrong.
func (s *stream) reason(ctx context.Context, read error) error {
	cause := context.Cause(ctx)
	silent := errors.Is(cause, ErrSilent)
	stopped := ctx.Err() != nil
	closed := read == io.EOF //nolint:errorlint // Decoder returns io.EOF itself; wrapped it means something else
	switch {
	case overLimit(cause):
		return fmt.Errorf("list given up: %w", cause)
	case silent && s.listing:
		return errNotStreaming
	case silent && s.beats:
		return fmt.Errorf("watch given up: %w", cause)
	case stopped, closed:
		// A server without bookmarks may send nothing for hours: a watch of it is opened anew, but it is not broken.
		return nil //nolint:nilerr // being stopped is no failure
	}
	return fmt.Errorf("watch broken: %w", read)
}

// watchdog cancels a call when nothing came for a while.
type watchdog struct {
	mu     sync.Mutex
	timer  *time.Timer
	period time.Duration
}

func newWatchdog(period time.Duration, cancel context.CancelCauseFunc) *watchdog {
	w := &watchdog{period: period}
	w.timer = time.AfterFunc(period, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		cancel(fmt.Errorf("%w for %v", ErrSilent, w.period))
	})
	return w
}

// reset restarts the watchdog, with another period.
func (w *watchdog) reset(period time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.period = period
	w.timer.Reset(period)
}

// alive restarts the watchdog.
func (w *watchdog) alive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Reset(w.period)
}

func (w *watchdog) stop() { w.timer.Stop() }

// reader restarts the watchdog with every byte that is read.
func (w *watchdog) reader(r io.Reader) io.Reader { return &idleReader{Reader: r, dog: w} }

type idleReader struct {
	io.Reader
	dog *watchdog
}

func (r *idleReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.dog.alive()
	}
	return n, err
}
