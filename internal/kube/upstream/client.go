// Package upstream reads and patches the objects in the workspaces of a kcp, or of a plain Kubernetes hub.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kcp-dev/logicalcluster/v3"
	"github.com/rs/zerolog"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// All is the scope of a watch over all workspaces that one may see.
const All ref.Workspace = "*"

// ErrForeign says that a workspace is none of those configured: nothing is read there, let alone written.
var ErrForeign = errors.New("workspace is not configured")

// Options of a Client; zero values are the defaults.
type Options struct {
	Workspaces []string // names or paths, or "*" for all; empty: the one in the server's URL, else a plain hub
	Logger     zerolog.Logger
	UserAgent  string
	Timeout    time.Duration // of one PATCH, or GET of one object; default 10 s
	BodyLimit  int64         // bytes of one object or watch event; default 4 MiB
	ListLimit  int64         // bytes of one page of a list; default 1 GiB
	PageSize   int           // objects per page of a list; default 500
	Backoff    lean.Backoff  // between attempts of one watch; default 0.5 s to 30 s
	WatchIdle  time.Duration // a watch without an event or bookmark for so long is opened anew; default 150 s
	ListIdle   time.Duration // a list without a byte for so long is given up; default 60 s
	StreamIdle time.Duration // see lean.Settings; default 15 s
}

// Client is the connection to the upstream server: one transport for all workspaces. It is safe for concurrent use.
type Client struct {
	conn       *client.Conn
	configured []string // empty: a plain hub
	settings   lean.Settings
	timeout    time.Duration

	mu    sync.RWMutex
	names map[string]ref.Workspace // by what was configured; what Resolve found out
}

// New makes a client; nothing is sent yet. cfg.Host may end in /clusters/<workspace>; it may also be the URL of a virtual workspace.
func New(cfg *rest.Config, opts Options) (*Client, error) {
	host, suffix, err := splitHost(cfg)
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	if len(opts.Workspaces) == 0 && suffix != "" {
		opts.Workspaces = []string{suffix}
	}
	names := make(map[string]ref.Workspace, len(opts.Workspaces))
	for _, w := range opts.Workspaces {
		if w != string(All) && !logicalcluster.NewPath(w).IsValid() {
			return nil, fmt.Errorf("upstream: workspace %q: neither a name nor a path like root:team-a", w)
		}
		names[w] = ref.Workspace(w)
	}
	cfg = rest.CopyConfig(cfg)
	cfg.Host = host
	conn, err := client.New(cfg, client.Options{UserAgent: opts.UserAgent})
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 10 * time.Second
	}
	return &Client{
		conn:       conn,
		configured: slices.Clone(opts.Workspaces),
		names:      names,
		timeout:    opts.Timeout,
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

// splitHost parts a server's URL into what comes before /clusters/ and the workspace behind it.
func splitHost(cfg *rest.Config) (host, workspace string, err error) {
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return "", "", fmt.Errorf("server URL: %w", err)
	}
	u := url.URL{Scheme: base.Scheme, Host: base.Host, Path: strings.TrimSuffix(base.Path, "/")}
	if i := strings.LastIndex(u.Path, "/clusters/"); i >= 0 {
		u.Path, workspace = u.Path[:i], u.Path[i+len("/clusters/"):]
	}
	return u.String(), workspace, nil
}

// Workspaces are the logical clusters that are served, sorted, each once; one empty name stands for a plain hub.
func (c *Client) Workspaces() []ref.Workspace {
	if len(c.configured) == 0 {
		return []ref.Workspace{""}
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Compact(slices.Sorted(maps.Values(c.names)))
}

// Name is the logical cluster of a configured workspace: the name that Resolve found, else as configured.
func (c *Client) Name(configured string) ref.Workspace {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if name, ok := c.names[configured]; ok {
		return name
	}
	return ref.Workspace(configured)
}

// Host is the host that serves an object: what to leave alone for a while after a 429 or 503.
func (c *Client) Host(ref.Upstream) string { return c.conn.Base().Host }

// LastHeard is when any byte came last on any answer of this connection; zero if never.
func (c *Client) LastHeard() time.Time { return c.conn.LastHeard() }

// Close drops idle connections. Watches end with their contexts.
func (c *Client) Close() { c.conn.Close() }

// prefix is the path of a workspace.
func prefix(w ref.Workspace) string {
	if w == "" {
		return ""
	}
	return "/clusters/" + string(w)
}

// path is the path of an object, or its subresource, in a workspace that is served.
func (c *Client) path(r ref.Resource, u ref.Upstream, subresource string) (string, error) {
	if err := c.serves(u.Workspace); err != nil {
		return "", err
	}
	if u.Name == "" {
		return "", errors.New("object without a name")
	}
	path, err := client.ResourcePath(r, u.Namespace, u.Name, subresource)
	return prefix(u.Workspace) + path, err
}

// serves refuses workspaces that nobody configured.
func (c *Client) serves(w ref.Workspace) error {
	if w == "" && len(c.configured) == 0 {
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, name := range c.names {
		if w == name && w != All || name == All && logicalcluster.NewPath(string(w)).IsValid() && w != All {
			return nil
		}
	}
	return fmt.Errorf("%w: %q", ErrForeign, w)
}

// Watch lists and watches r in all workspaces at once until ctx ends, one stream for each. Events carry the workspace as their Scope;
// emit is called by one goroutine at a time. A workspace that can't be watched says so with Failed and is tried again, out of the way
// of the others.
func (c *Client) Watch(ctx context.Context, r ref.Resource, want ref.Want, emit ref.Emit) {
	var turn sync.Mutex
	var streams sync.WaitGroup
	for _, w := range c.Workspaces() {
		scoped := func(e ref.Event) {
			e.Scope = w
			turn.Lock()
			defer turn.Unlock()
			emit(e)
		}
		streams.Go(func() { c.watch(ctx, r, w, want, scoped) })
	}
	streams.Wait()
}

func (c *Client) watch(ctx context.Context, r ref.Resource, w ref.Workspace, want ref.Want, emit ref.Emit) {
	path, err := client.ResourcePath(r, "", "", "")
	if err != nil {
		emit(ref.Event{Type: ref.Failed, Err: err})
		<-ctx.Done()
		return
	}
	place := func(o *ref.Object) { o.Workspace = w }
	if w == All {
		want.Annotations = append(slices.Clone(want.Annotations), logicalcluster.AnnotationKey)
		place = placeByAnnotation
	}
	lean.NewSource(c.conn, prefix(w)+path, want, c.settings, place).Watch(ctx, emit)
}

// placeByAnnotation is for watches over all workspaces, where the server says on each object where it is.
func placeByAnnotation(o *ref.Object) {
	o.Workspace = ref.Workspace(o.Annotations[logicalcluster.AnnotationKey])
	if o.Workspace == "" && o.Err == nil {
		o.Err, o.Status = fmt.Errorf("no annotation %s: the workspace is unknown", logicalcluster.AnnotationKey), nil
	}
}
