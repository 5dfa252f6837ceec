package lean

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// ErrSilent is the error of a call that was given up because it was silent: a watch without an event or bookmark for Settings.WatchIdle,
// a list without a byte for Settings.ListIdle.
var ErrSilent = errors.New("no sign of life")

// Settings of a Source; zero values are the defaults.
type Settings struct {
	Limits Limits
	// Backoff is the wait after failures to reach the server. After an error that the server answered, the wait is at most 5 s; after a
	// refusal (403), it is 10 s for 5 minutes and then grows to a minute. Default: 0.5 s to 10 s.
	Backoff Backoff
	// Quarantine is the wait after a server went over a limit. It begins anew once a watch lived for longer than the last wait.
	// Default: Backoff.
	Quarantine Backoff
	PageSize   int           // objects per page of a list; default 500
	WatchIdle  time.Duration // default 150 s; API servers send a bookmark about once a minute
	ListIdle   time.Duration // default 60 s
	// StreamIdle is how long a streaming list may pause before its end is marked. Servers before 1.27 do not know streaming lists and
	// never mark it; they are asked for pages then. Default 15 s.
	StreamIdle time.Duration
	// Absent, if not nil, reports after a 404 whether the server certainly does not serve the resource. Then its list is empty until the
	// resource comes; any other 404 is a failure.
	Absent func(context.Context) bool
	// ServerLists and ProcessLists bound the lists that are under way at a time at one server, and in the process.
	ServerLists, ProcessLists *Lists
	// Budget bounds the heap of all watches of the process.
	Budget *Budget
	Logger zerolog.Logger
}

func (s Settings) withDefaults() Settings {
	s.Limits = s.Limits.withDefaults()
	if s.Backoff == (Backoff{}) {
		s.Backoff = defaultBackoff
	}
	if s.Quarantine == (Backoff{}) {
		s.Quarantine = s.Backoff
	}
	s.PageSize = cmp.Or(s.PageSize, 500)
	s.WatchIdle = cmp.Or(s.WatchIdle, 150*time.Second)
	s.ListIdle = cmp.Or(s.ListIdle, time.Minute)
	s.StreamIdle = cmp.Or(s.StreamIdle, 15*time.Second)
	return s
}

// Source is one resource at one server (in one workspace), to be listed and watched.
type Source struct {
	conn     *client.Conn
	path     string
	want     ref.Want
	settings Settings
	place    func(*ref.Object)
}

// NewSource makes a source of the resource at path, below the connection's base. place, if not nil, completes each object before it
// is handed on.
func NewSource(conn *client.Conn, path string, want ref.Want, settings Settings, place func(*ref.Object)) *Source {
	if place == nil {
		place = func(*ref.Object) {}
	}
	timed := func(o *ref.Object) {
		o.Clock = conn.Clock()
		place(o)
	}
	return &Source{conn: conn, path: path, want: want, settings: settings.withDefaults(), place: timed}
}

// List reads everything, page by page. version is the resourceVersion to list at: "" is a consistent read, "0" the server's
// cache, any other at least that version.
func (s *Source) List(ctx context.Context, version string) (Page, error) {
	all, _, err := s.list(ctx, version, nil)
	return all, err
}

// list is List with the census of its objects.
func (s *Source) list(ctx context.Context, version string, part *share) (Page, *census, error) {
	end, err := s.beginList(ctx)
	if err != nil {
		return Page{}, nil, err
	}
	defer end()
	l := s.settings.Limits
	ctx, cancel := context.WithTimeoutCause(ctx, l.ListTime, l.tooLong())
	defer cancel()
	var all Page
	counted := newCensus(l, part)
	query := url.Values{"limit": {strconv.Itoa(s.settings.PageSize)}}
	if version != "" {
		query.Set("resourceVersion", version)
	}
	if version != "" && version != "0" {
		// Beside a limit, a version alone is exactly that one: a state of the past, for as long as the server remembers it.
		query.Set("resourceVersionMatch", string(metav1.ResourceVersionMatchNotOlderThan))
	}
	for pages := 1; ; pages++ {
		if l.Pages > 0 && pages > l.Pages {
			return Page{}, nil, tooLarge(ref.LimitPages, int64(l.Pages))
		}
		page, err := s.page(ctx, query, l.List-all.size, counted)
		if err != nil && all.Continue != "" && apierrors.IsResourceExpired(err) {
			// The pages outlived the server's memory of their resourceVersion: once more, in one piece.
			all, counted, query = Page{}, newCensus(l, part), url.Values{}
			page, err = s.page(ctx, query, l.List, counted)
		}
		if err != nil {
			return Page{}, nil, err
		}
		all.size += page.size
		all.Objects = append(all.Objects, page.Objects...)
		all.Continue = page.Continue
		all.ResourceVersion = cmp.Or(all.ResourceVersion, page.ResourceVersion)
		if page.Continue == "" {
			counted.complete()
			return all, counted, nil
		}
		query.Del("resourceVersion") // it is in the token
		query.Del("resourceVersionMatch")
		query.Set("continue", page.Continue)
	}
}

func (s *Source) page(ctx context.Context, query url.Values, left int64, counted *census) (Page, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := newWatchdog(s.settings.ListIdle, cancel)
	defer idle.stop()
	resp, err := s.open(ctx, query)
	if err != nil {
		return Page{}, err
	}
	decoder := NewDecoder(idle.reader(resp.Body), s.want, s.settings.Limits)
	decoder.census = counted
	page, err := decoder.list(left)
	if err != nil {
		_ = resp.Body.Close() // however much is left of it
		return Page{}, client.Cause(ctx, err)
	}
	client.Drain(resp.Body)
	for _, o := range page.Objects {
		s.place(o)
	}
	return page, nil
}

func (s *Source) open(ctx context.Context, query url.Values) (*http.Response, error) {
	if s.want.Selector != "" {
		query.Set("labelSelector", s.want.Selector)
	}
	resp, err := s.conn.Do(ctx, client.Request{Path: s.path, Query: query})
	if errors.Is(err, client.ErrCompressed) {
		err = fmt.Errorf("%w: %w", err, &ref.OverLimit{Limit: ref.LimitCompressed})
	}
	return resp, err
}

// Watch lists and watches until ctx ends. It calls emit from one goroutine at a time, and not after it has
// returned. Failures are tried again for ever, at the pace of Settings.Backoff.
func (s *Source) Watch(ctx context.Context, emit ref.Emit) {
	f := &follower{source: s, emit: emit, share: s.settings.Budget.open(), pace: pace{backoff: s.settings.Backoff, quarantine: s.settings.Quarantine}}
	defer f.stop()
	// Failed events report the reflector's errors.
	quiet := logr.Discard()
	reflector := cache.NewReflectorWithOptions(f, nil, f, cache.ReflectorOptions{
		Logger:          &quiet,
		Name:            s.path,
		TypeDescription: s.path,
		// Waiting is done in follower, before each attempt, where ctx is listened to.
		Backoff: &wait.Backoff{Duration: time.Millisecond},
	})
	reflector.RunWithContext(klog.NewContext(ctx, quiet))
}
