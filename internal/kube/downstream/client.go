// Package downstream lists and watches the objects of one SyncTarget.
package downstream

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/kube/discovery"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Options of a Client; zero values are the defaults.
type Options struct {
	Logger       zerolog.Logger
	UserAgent    string
	Now          func() time.Time // default time.Now; for LastHeard
	Limits       lean.Limits      // of each kind; zero values are those of DefaultLimits
	Quarantine   lean.Backoff     // after a limit was exceeded; default 1 min to 10 min
	PageSize     int              // objects per page of a list; default 500
	Backoff      lean.Backoff     // between attempts of one watch; default 0.5 s to 10 s, see lean.Settings
	Lists        *lean.Lists      // bounds the lists of all SyncTargets together; nil: nothing does
	Budget       *lean.Budget     // bounds the heap that is kept for all SyncTargets together; nil: nothing does
	WatchIdle    time.Duration    // a watch without an event or bookmark for so long is opened anew; default 150 s
	ListIdle     time.Duration    // a list without a byte for so long is given up; default 60 s
	StreamIdle   time.Duration    // see lean.Settings; default 15 s
	ProbeTimeout time.Duration    // default 5 s
}

// listsAtATime bounds the lists under way at one SyncTarget: a start, or the end of an outage, must not ask it for everything at once.
const listsAtATime = 4

// Client is one SyncTarget's connection. It is safe for concurrent use.
//
// The connection may change: watches go on with other credentials, begin anew at another server, and wait while there is none. Their
// last events stay valid for the receiver until the next list.
type Client struct {
	options  client.Options
	settings lean.Settings
	timeout  time.Duration
	known    atomic.Pointer[ref.Resource] // one that is watched or listed, for the second request of a probe

	mu        sync.Mutex
	via       *connection
	lastHeard time.Time // on former connections
}

// connection is one that a Client has, or had.
type connection struct {
	conn *client.Conn
	err  error         // why there is none
	left chan struct{} // closed when another takes its place
}

// New makes a client; nothing is sent yet.
func New(cfg *rest.Config, opts Options) (*Client, error) {
	c := newClient(opts)
	conn, err := client.New(cfg, c.options)
	if err != nil {
		return nil, fmt.Errorf("SyncTarget: %w", err)
	}
	c.via = &connection{conn: conn, left: make(chan struct{})}
	return c, nil
}

// Unconnected makes a client without a connection until the next Reconfigure. All calls fail with the reason.
func Unconnected(reason error, opts Options) *Client {
	c := newClient(opts)
	c.via = &connection{err: reason, left: make(chan struct{})}
	return c
}

func newClient(opts Options) *Client {
	opts.Limits = limitsOf(opts.Limits)
	if opts.Quarantine == (lean.Backoff{}) {
		opts.Quarantine = lean.Backoff{Initial: time.Minute, Max: 10 * time.Minute, Jitter: .1}
	}
	if opts.ProbeTimeout <= 0 {
		opts.ProbeTimeout = 5 * time.Second
	}
	return &Client{
		options: client.Options{UserAgent: opts.UserAgent, Now: opts.Now},
		timeout: opts.ProbeTimeout,
		settings: lean.Settings{
			Limits:     opts.Limits,
			Backoff:    opts.Backoff,
			Quarantine: opts.Quarantine,
			PageSize:   opts.PageSize,
			WatchIdle:  opts.WatchIdle,
			ListIdle:   opts.ListIdle,
			StreamIdle: opts.StreamIdle,
			Logger:     opts.Logger,

			ServerLists: lean.NewLists(listsAtATime, 0), ProcessLists: opts.Lists, Budget: opts.Budget,
		},
	}
}

// Reconfigure connects as in cfg. On the same server, only the credentials are replaced: open watches stay open and
// nothing is listed again. At another one, all watches begin anew. After an error everything is as before.
func (c *Client) Reconfigure(cfg *rest.Config) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.via.conn != nil && c.via.conn.Leads(cfg) {
		if err := c.via.conn.Renew(cfg); err != nil {
			return fmt.Errorf("SyncTarget: %w", err)
		}
		return nil
	}
	conn, err := client.New(cfg, c.options)
	if err != nil {
		return fmt.Errorf("SyncTarget: %w", err)
	}
	c.leave(&connection{conn: conn})
	return nil
}

// Disconnect gives the connection up until the next Reconfigure: watches wait, all calls fail with the reason.
func (c *Client) Disconnect(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leave(&connection{err: reason})
}

// leave is called with c.mu held.
func (c *Client) leave(next *connection) {
	next.left = make(chan struct{})
	old := c.via
	c.via = next
	close(old.left)
	if old.conn != nil {
		c.lastHeard = old.conn.LastHeard()
		old.conn.Close()
	}
}

func (c *Client) current() *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.via
}

// Watch lists and watches r in all namespaces until ctx ends, and calls emit from one goroutine at a time: a complete
// list as one Listed, each relist as another; then Changed and Deleted. Failed carries an error that will be tried again.
func (c *Client) Watch(ctx context.Context, r ref.Resource, want ref.Want, emit ref.Emit) {
	for ctx.Err() == nil {
		c.watch(ctx, c.current(), r, want, emit)
	}
}

// watch watches over one connection, until ctx ends or it is left.
func (c *Client) watch(ctx context.Context, via *connection, r ref.Resource, want ref.Want, emit ref.Emit) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	source, err := c.source(via, r, "", want)
	if err != nil {
		emit(ref.Event{Type: ref.Failed, Err: err})
		select {
		case <-ctx.Done():
		case <-via.left:
		}
		return
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-via.left:
			cancel()
		case <-ended:
		}
	}()
	source.Watch(ctx, emit)
}

// List reads all objects of r in one namespace, or in all of them if it is empty, as they are now: it asks the SyncTarget's storage,
// not a cache.
func (c *Client) List(ctx context.Context, r ref.Resource, namespace string, want ref.Want) ([]*ref.Object, error) {
	via := c.current()
	source, err := c.source(via, r, namespace, want)
	if err != nil {
		return nil, err
	}
	page, err := source.List(ctx, "")
	if apierrors.IsNotFound(err) && c.absent(ctx, via, r) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", ref.ResourceString(r), err)
	}
	return page.Objects, nil
}

func (c *Client) source(via *connection, r ref.Resource, namespace string, want ref.Want) (*lean.Source, error) {
	if via.conn == nil {
		return nil, via.err
	}
	path, err := client.ResourcePath(r, namespace, "", "")
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", ref.ResourceString(r), err)
	}
	c.known.CompareAndSwap(nil, &r)
	settings := c.settings
	settings.Absent = func(ctx context.Context) bool { return c.absent(ctx, via, r) }
	return lean.NewSource(via.conn, path, want, settings, nil), nil
}

// absent reports whether the SyncTarget's own discovery lacks r. A 404 alone may come from a proxy.
func (c *Client) absent(ctx context.Context, via *connection, r ref.Resource) bool {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	serves, err := discovery.Server{Conn: via.conn}.Serves(ctx, r)
	return err == nil && !serves
}

// Kinds lists the kinds that the SyncTarget serves.
func (c *Client) Kinds(ctx context.Context) ([]discovery.Kind, error) {
	via := c.current()
	if via.conn == nil {
		return nil, via.err
	}
	return discovery.Server{Conn: via.conn}.Kinds(ctx)
}

// Probe requests /readyz. If that answers with an error, which may have a cause that does not concern watches, or is not allowed or not
// offered, it lists one object of a watched resource, or one namespace. nil means that the server works. Its answers count for LastHeard as
// in client.Conn.LastHeard: a server that admits no client is as good as unreachable.
func (c *Client) Probe(ctx context.Context) error {
	via := c.current()
	if via.conn == nil {
		return via.err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err := get(ctx, via.conn, "/readyz", nil)
	if answer := apierrors.APIStatus(nil); err == nil || !errors.As(err, &answer) {
		return err
	}
	r := ref.Resource{Version: "v1", Resource: "namespaces"}
	if known := c.known.Load(); known != nil {
		r = *known
	}
	path, err := client.ResourcePath(r, "", "", "")
	if err != nil {
		return err
	}
	return get(ctx, via.conn, path, url.Values{"limit": {"1"}})
}

func get(ctx context.Context, conn *client.Conn, path string, query url.Values) error {
	resp, err := conn.Do(ctx, client.Request{Path: path, Query: query})
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	client.Drain(resp.Body)
	return nil
}

// LastHeard is client.Conn.LastHeard over this connection and those before; zero: never.
func (c *Client) LastHeard() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.via.conn == nil {
		return c.lastHeard
	}
	if lastHeard := c.via.conn.LastHeard(); lastHeard.After(c.lastHeard) {
		return lastHeard
	}
	return c.lastHeard
}

// Wake retries the broken watches at once: the SyncTarget is known to answer again. It leaves a quarantine and a server's Retry-After
// alone. A call over this connection that reaches the SyncTarget after others failed wakes them, too.
func (c *Client) Wake() {
	if via := c.current(); via.conn != nil {
		via.conn.Wake()
	}
}

// Close cuts the connection, and calls under way with it. Watches end with their contexts.
func (c *Client) Close() {
	if via := c.current(); via.conn != nil {
		via.conn.Close()
	}
}
