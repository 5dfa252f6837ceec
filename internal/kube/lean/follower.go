package lean

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// follower is the reflector's ListerWatcher and its store. The reflector decides when to list, and from where to watch; follower waits
// between attempts, retries failures that do not change the reflector's course, and hands on every event at once. The reflector calls
// it from one goroutine at a time.
//
// Errors that the reflector sees are only those that change its course (an expired resourceVersion, a server without streaming
// lists). Any other would make it list everything again, sleep without listening to the context, or log through a process-wide
// rate limit.
type follower struct {
	source *Source
	pace   pace
	paged  bool           // the server has no streaming lists
	absent bool           // the server does not serve the resource: the next list is complete and current, never a resume
	last   *stream        // the watch that was opened last
	census *census        // of the list that counts, and the watches after it; last writes it while it is read
	share  *share         // of the budget, for the census
	again  bool           // list before going on: a watch went over a limit
	broken bool           // Failed was the last report: neither a list nor an open watch followed
	gone   int            // times in a row that the server refused a resourceVersion, since the last list
	work   sync.WaitGroup // goroutines that read streams

	mu      sync.Mutex // guards the fields below: a list may be under way when the reflector stops
	stopped bool
	emit    ref.Emit
}

var (
	_ cache.ListerWatcherWithContext = (*follower)(nil)
	_ cache.ListerWatcher            = (*follower)(nil)
	_ cache.ReflectorStore           = (*follower)(nil)
)

var (
	// errStopped tells the reflector that ctx has ended, in the one form that it does not pass to its global error handler.
	errStopped = apierrors.NewResourceExpired("stopped")
	// errPaged makes the reflector list before it watches.
	errPaged = apierrors.NewBadRequest("the server has no streaming lists")
	// errOverLimit makes the reflector list: resuming a watch where it exceeded a limit would exceed it again.
	errOverLimit = apierrors.NewResourceExpired("a limit was exceeded")
	// errAbsent makes the reflector list at the server's present resourceVersion: its last one belongs to objects that were reported as
	// gone, and resuming from it would never report them again.
	errAbsent = apierrors.NewResourceExpired("the resource was not served")
	// errShort is the error of a watch that the server closed at once, without an event or error.
	errShort = errors.New("watch closed at once, without an event")
)

// movedOn reports whether the server cannot go on from a resourceVersion: the reflector lists again.
func movedOn(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) ||
		apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}

// refusesStreaming reports whether an error may come from a server that does not know streaming lists.
func refusesStreaming(err error) bool {
	return apierrors.IsBadRequest(err) || apierrors.IsInvalid(err) || apierrors.IsMethodNotSupported(err) || apierrors.IsNotAcceptable(err)
}

func (f *follower) report(e ref.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.stopped {
		f.emit(e)
	}
}

func (f *follower) stop() {
	f.work.Wait()
	f.share.close()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
}

// failed notes an attempt that will be repeated.
func (f *follower) failed(err error) {
	f.pace.failed(err)
	f.broken = true
	f.report(ref.Event{Type: ref.Failed, Err: err})
}

// expired notes that the server refused a resourceVersion. Up to two refusals are the normal course of a relist: of the watch, and of
// the list at the last known version.
func (f *follower) expired(err error) {
	if f.gone++; f.gone > 2 {
		f.failed(err)
		return
	}
	f.pace.failed(err)
}

// attempt calls try until it succeeds, ctx ends, or the error is one that the reflector has to know.
func (f *follower) attempt(ctx context.Context, try func() error, forReflector func(error) bool) error {
	f.settle(ctx)
	conn := f.source.conn
	for renewed, recovered := conn.Renewed(), conn.Recovered(); ; {
		if f.pace.wait(ctx, renewed, recovered) != nil {
			return errStopped
		}
		renewed, recovered = conn.Renewed(), conn.Recovered() // before the attempt, which may be overtaken by either
		err := try()
		switch {
		case err == nil:
			f.absent = false
			return nil
		case ctx.Err() != nil:
			return errStopped
		case apierrors.IsNotFound(err) && f.notServed(ctx):
			f.pace.absent()
			continue
		case errors.Is(err, errAbsent):
			return err
		case movedOn(err):
			f.expired(err)
			return apierrors.NewResourceExpired(err.Error()) // the one form that the reflector takes in silence everywhere
		case forReflector(err):
			return err
		}
		f.failed(err)
	}
}

// notServed reports whether the resource is certainly not served. Its first report is an empty list: a kind that is not served has no
// objects. The attempt is repeated as after a failure, because the kind may come.
func (f *follower) notServed(ctx context.Context) bool {
	if f.source.settings.Absent == nil || !f.source.settings.Absent(ctx) {
		return false
	}
	if !f.absent || f.broken { // a failure in between counts as broken, and this as the answer again
		f.absent, f.broken = true, false
		f.report(ref.Event{Type: ref.Listed})
	}
	return true
}

// settle accounts for the watch that ended before.
func (f *follower) settle(ctx context.Context) {
	last := f.last
	f.last = nil
	if last == nil {
		return
	}
	last.Stop()
	<-last.done
	if ctx.Err() != nil {
		return
	}
	healthy := last.lived >= healthyAfter
	f.pace.lived(last.lived)
	f.again = overLimit(last.err) && !last.listing
	switch {
	case overLimit(last.err):
		// Perhaps it does not know streaming lists, and never marks their end.
		f.paged = f.paged || errors.Is(last.err, errTooLong)
		f.failed(last.err)
	case errors.Is(last.err, errNotStreaming):
		f.paged = true
		f.source.settings.Logger.Info().Str("path", f.source.path).Msg("server has no streaming lists, asking for pages")
	case last.err != nil && movedOn(last.err):
		f.expired(last.err)
	case last.err != nil:
		f.failed(last.err)
	case !healthy && last.events == 0:
		f.failed(errShort)
	case !healthy:
		f.pace.failed(nil)
	}
}

// ListWithContext is called by the reflector where there are no streaming lists.
func (f *follower) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	var page Page
	err := f.attempt(ctx, func() (err error) {
		if f.absent && options.ResourceVersion != "" {
			return errAbsent
		}
		page, f.census, err = f.source.list(ctx, options.ResourceVersion, f.share)
		return err
	}, func(error) bool { return false })
	if err != nil {
		return nil, err
	}
	return newList(page), nil
}

// WatchWithContext opens a watch, or a streaming list that turns into one.
func (f *follower) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	streaming := options.SendInitialEvents != nil && *options.SendInitialEvents
	var opened *stream
	err := f.attempt(ctx, func() (err error) {
		switch {
		case f.absent && (!streaming || options.ResourceVersion != ""):
			return errAbsent
		case streaming && f.paged:
			return errPaged
		case !streaming && f.again:
			f.again = false
			return errOverLimit
		}
		opened, err = f.open(ctx, options, streaming)
		return err
	}, func(err error) bool { return streaming && refusesStreaming(err) })
	if err != nil {
		f.paged = f.paged || streaming && refusesStreaming(err)
		return nil, err
	}
	f.last = opened
	if f.broken && !streaming {
		f.broken = false
		f.report(ref.Event{Type: ref.Resumed})
	}
	return opened, nil
}

func watchQuery(o metav1.ListOptions, streaming bool) url.Values {
	query := url.Values{"watch": {"true"}, "allowWatchBookmarks": {"true"}}
	if o.ResourceVersion != "" {
		query.Set("resourceVersion", o.ResourceVersion)
	}
	if o.TimeoutSeconds != nil {
		query.Set("timeoutSeconds", strconv.FormatInt(*o.TimeoutSeconds, 10))
	}
	if streaming {
		query.Set("sendInitialEvents", "true")
		query.Set("resourceVersionMatch", string(o.ResourceVersionMatch))
	}
	return query
}

// The reflector's store.

func (f *follower) Add(obj any) error    { return f.change(ref.Changed, obj) }
func (f *follower) Update(obj any) error { return f.change(ref.Changed, obj) }
func (f *follower) Delete(obj any) error { return f.change(ref.Deleted, obj) }
func (f *follower) Resync() error        { return nil }

func (f *follower) change(t ref.EventType, obj any) error {
	f.report(ref.Event{Type: t, Objects: []*ref.Object{obj.(*item).object}})
	return nil
}

// Replace hands on a complete list, in the order of names: the reflector's own order is that of a map.
func (f *follower) Replace(list []any, version string) error {
	objects := make([]*ref.Object, len(list))
	for i, obj := range list {
		objects[i] = obj.(*item).object
	}
	slices.SortFunc(objects, func(a, b *ref.Object) int {
		return cmp.Or(cmp.Compare(a.Workspace, b.Workspace), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	f.broken, f.gone = false, 0
	f.report(ref.Event{Type: ref.Listed, Objects: objects, Version: version})
	return nil
}

// List and Watch are the forms without a context, which the reflector does not use.

func (f *follower) List(o metav1.ListOptions) (runtime.Object, error) {
	return f.ListWithContext(context.Background(), o)
}

func (f *follower) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return f.WatchWithContext(context.Background(), o)
}
