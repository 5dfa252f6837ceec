// Package downstream lists and watches the objects of one SyncTarget.
package downstream

import (
	"context"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Options of a Client; zero values are the defaults.
type Options struct {
	Logger       zerolog.Logger
	UserAgent    string
	Now          func() time.Time // default time.Now; for LastHeard
	BodyLimit    int64            // bytes of one object or watch event; default 4 MiB
	ListLimit    int64            // bytes of one page of a list; default 1 GiB
	PageSize     int              // objects per page of a list; default 500
	Backoff      lean.Backoff     // between attempts of one watch; default 0.5 s to 30 s
	WatchIdle    time.Duration    // a watch without an event or bookmark for so long is opened anew; default 150 s
	ListIdle     time.Duration    // a list without a byte for so long is given up; default 60 s
	StreamIdle   time.Duration    // see lean.Settings; default 15 s
	ProbeTimeout time.Duration    // default 5 s
}

// Client is one SyncTarget's connection. It is safe for concurrent use.
type Client struct {
	conn     *client.Conn
	settings lean.Settings
	timeout  time.Duration
	known    atomic.Pointer[ref.Resource] // one that is watched or listed: what a probe falls back to
}

// New makes a client; nothing is sent yet.
func New(cfg *rest.Config, opts Options) (*Client, error) {
	conn, err := client.New(cfg, client.Options{UserAgent: opts.UserAgent, Now: opts.Now})
	if err != nil {
		return nil, fmt.Errorf("SyncTarget: %w", err)
	}
	if opts.ProbeTimeout <= 0 {
		opts.ProbeTimeout = 5 * time.Second
	}
	return &Client{
		conn:    conn,
		timeout: opts.ProbeTimeout,
		settings: lean.Settings{
			Limits:     lean.Limits{Object: opts.BodyLimit, List: opts.ListLimit},
			Backoff:    opts.Backoff,
			PageSize:   opts.PageSize,
			WatchIdle:  opts.WatchIdle,
			ListIdle:   opts.ListIdle,
			StreamIdle: opts.StreamIdle,
			Logger:     opts.Logger,
		},
	}, nil
}

// Watch lists and watches r in all namespaces until ctx ends, and tells emit what it sees, from one goroutine at a time: a complete
// list as one Listed, each relist as another; then Changed and Deleted. Failed carries an error that will be tried again.
func (c *Client) Watch(ctx context.Context, r ref.Resource, want ref.Want, emit ref.Emit) {
	source, err := c.source(r, "", want)
	if err != nil {
		emit(ref.Event{Type: ref.Failed, Err: err})
		<-ctx.Done()
		return
	}
	source.Watch(ctx, emit)
}

// List reads all objects of r in one namespace, or in all of them if it is empty, as they are now: it asks the SyncTarget's storage,
// not a cache.
func (c *Client) List(ctx context.Context, r ref.Resource, namespace string, want ref.Want) ([]*ref.Object, error) {
	source, err := c.source(r, namespace, want)
	if err != nil {
		return nil, err
	}
	page, err := source.List(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", ref.ResourceString(r), err)
	}
	return page.Objects, nil
}

func (c *Client) source(r ref.Resource, namespace string, want ref.Want) (*lean.Source, error) {
	path, err := client.ResourcePath(r, namespace, "", "")
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", ref.ResourceString(r), err)
	}
	c.known.CompareAndSwap(nil, &r)
	return lean.NewSource(c.conn, path, want, c.settings, nil), nil
}

// Probe asks the API server whether it is ready. Where that is not allowed (401, 403) or not offered (404), it lists one object of
// a resource that is watched, or one namespace. nil means that the server is there and works; an answer of any kind counts for
// LastHeard.
func (c *Client) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err := c.get(ctx, "/readyz", nil)
	if !apierrors.IsUnauthorized(err) && !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) {
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
	return c.get(ctx, path, url.Values{"limit": {"1"}})
}

func (c *Client) get(ctx context.Context, path string, query url.Values) error {
	resp, err := c.conn.Do(ctx, client.Request{Path: path, Query: query})
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	client.Drain(resp.Body)
	return nil
}

// LastHeard is when any byte came last on any answer of this connection; zero if never.
func (c *Client) LastHeard() time.Time { return c.conn.LastHeard() }

// Close drops idle connections. Watches end with their contexts.
func (c *Client) Close() { c.conn.Close() }
