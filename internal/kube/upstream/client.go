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

// ErrForeign is the error for a workspace that is not configured: nothing is read or written there.
var ErrForeign = errors.New("workspace is not configured")

// Options of a Client; zero values are the defaults. At most one of Workspaces and Export is given.
type Options struct {
	Workspaces []string // names or paths, or "*" for all; empty: the one in the server's URL, else a plain hub
	Export     *Export  // all workspaces that are bound to an APIExport
	Bound      []string // names or paths of further workspaces, for Name to know
	Logger     zerolog.Logger
	UserAgent  string
	Timeout    time.Duration // of one PATCH, or GET of one object; default 10 s
	BodyLimit  int64         // bytes of one object or watch event; default 4 MiB
	ListLimit  int64         // bytes of one page of a list; default 1 GiB
	PageSize   int           // objects per page of a list; default 500
	Backoff    lean.Backoff  // between attempts of one watch; default 0.5 s to 5 s: no probe wakes them
	WatchIdle  time.Duration // a watch without an event or bookmark for so long is opened anew; default 150 s
	ListIdle   time.Duration // a list without a byte for so long is given up; default 60 s
	StreamIdle time.Duration // see lean.Settings; default 15 s
}

// The lists under way at a time, of all workspaces together. One that lasts longer than listTurn makes room for others.
const (
	listsAtATime = 32
	listTurn     = 30 * time.Second
)

// Client is the connection to the upstream servers: one transport for each host, for any number of workspaces. It is safe for concurrent
// use.
type Client struct {
	hosts    *hosts
	front    endpoint // the configured server
	served   []string // the watched workspaces, as configured; empty: a plain hub, or an export
	bound    []string
	export   *export // nil: none
	settings lean.Settings
	timeout  time.Duration
	schemas  schemas

	mu    sync.RWMutex
	names map[string]ref.Workspace // by configured name or path; set by Resolve
}

// New makes a client; nothing is sent yet. cfg.Host may end in /clusters/<workspace>; it may also be the URL of a virtual workspace.
func New(cfg *rest.Config, opts Options) (*Client, error) {
	base, suffix, err := splitHost(cfg)
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	if len(opts.Workspaces) == 0 && opts.Export == nil && suffix != "" {
		opts.Workspaces = []string{suffix}
	}
	names := make(map[string]ref.Workspace, len(opts.Workspaces)+len(opts.Bound))
	for _, w := range slices.Concat(opts.Workspaces, opts.Bound) {
		if w != string(All) && !logicalcluster.NewPath(w).IsValid() {
			return nil, fmt.Errorf("upstream: workspace %q: neither a name nor a path like root:team-a", w)
		}
		names[w] = ref.Workspace(w)
	}
	hosts := newHosts(cfg, client.Options{UserAgent: opts.UserAgent})
	front, err := hosts.endpoint(base)
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 10 * time.Second
	}
	if opts.Backoff == (lean.Backoff{}) {
		opts.Backoff = lean.Backoff{Initial: 500 * time.Millisecond, Max: 5 * time.Second, Jitter: .5}
	}
	c := &Client{
		hosts:   hosts,
		front:   front,
		served:  slices.Clone(opts.Workspaces),
		bound:   slices.Clone(opts.Bound),
		names:   names,
		timeout: opts.Timeout,
		settings: lean.Settings{
			Limits:     lean.Limits{Object: opts.BodyLimit, List: opts.ListLimit},
			Backoff:    opts.Backoff,
			PageSize:   opts.PageSize,
			WatchIdle:  opts.WatchIdle,
			ListIdle:   opts.ListIdle,
			StreamIdle: opts.StreamIdle,
			Logger:     opts.Logger,

			ProcessLists: lean.NewLists(listsAtATime, listTurn),
		},
	}
	if opts.Export != nil {
		if c.export, err = newExport(*opts.Export, c); err != nil {
			return nil, fmt.Errorf("upstream: %w", err)
		}
	}
	return c, nil
}

// splitHost splits a server's URL at /clusters/, behind which the workspace stands.
func splitHost(cfg *rest.Config) (base *url.URL, workspace string, err error) {
	server, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, "", fmt.Errorf("server URL: %w", err)
	}
	u := &url.URL{Scheme: server.Scheme, Host: server.Host, Path: strings.TrimSuffix(server.Path, "/")}
	if i := strings.LastIndex(u.Path, "/clusters/"); i >= 0 {
		u.Path, workspace = u.Path[:i], u.Path[i+len("/clusters/"):]
	}
	return u, workspace, nil
}

// Workspaces are the logical clusters that are served where they are configured one by one, sorted, each once. One empty name stands
// for a plain hub, All for all.
func (c *Client) Workspaces() []ref.Workspace {
	switch {
	case c.export != nil:
		return []ref.Workspace{All}
	case len(c.served) == 0:
		return []ref.Workspace{""}
	}
	names := make([]ref.Workspace, len(c.served))
	for i, configured := range c.served {
		names[i] = c.Name(configured)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Names are the logical clusters of all configured workspaces, as Name knows them.
func (c *Client) Names() map[string]ref.Workspace {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return maps.Clone(c.names)
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

// Host is the host that an object's status is written to, and that pauses after a 429 or 503.
func (c *Client) Host(u ref.Upstream) string {
	if c.export != nil {
		return c.export.writes(u.Workspace).host()
	}
	return c.front.host()
}

// LastHeard is client.Conn.LastHeard of the configured server; zero: never.
func (c *Client) LastHeard() time.Time { return c.front.conn.LastHeard() }

// Renew takes the credentials of cfg from the next call on, at every host. Calls under way, open watches among them, stay as they are.
// A configuration of another server or workspace is refused.
func (c *Client) Renew(cfg *rest.Config) error {
	if err := c.hosts.renew(cfg); err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	return nil
}

// Close ends all connections. Watches end with their contexts.
func (c *Client) Close() { c.hosts.close() }

// endpoint is where the objects of a workspace are read. Workspaces that are not configured have none.
func (c *Client) endpoint(w ref.Workspace) (endpoint, error) {
	if c.export != nil {
		return c.export.endpoint(w)
	}
	if w == "" && len(c.served) == 0 {
		return c.front, nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, configured := range c.served {
		if name := c.names[configured]; w == name && w != All || name == All && isWorkspace(w) {
			return c.front.in(w), nil
		}
	}
	return endpoint{}, fmt.Errorf("%w: %q", ErrForeign, w)
}

// inScope is where the objects of a scope are read as a whole.
func (c *Client) inScope(scope ref.Workspace) (endpoint, error) {
	switch {
	case c.export != nil:
		return c.export.inScope(scope)
	case scope == All && slices.Contains(c.served, string(All)):
		return c.front.in(All), nil
	}
	return c.endpoint(scope)
}

// isWorkspace reports whether w is the name or path of a logical cluster, and safe in a URL.
func isWorkspace(w ref.Workspace) bool {
	return w != All && logicalcluster.NewPath(string(w)).IsValid()
}

// object is the path of an object, or its subresource, behind a endpoint.
func (d endpoint) object(r ref.Resource, u ref.Upstream, subresource string) (string, error) {
	if u.Name == "" {
		return "", errors.New("object without a name")
	}
	path, err := client.ResourcePath(r, u.Namespace, u.Name, subresource)
	return d.path + path, err
}

// Watch lists and watches r in all workspaces until ctx ends: one stream for each where they are configured one by one, else one for
// each shard. Scopes names all scopes, before any other event; every other event carries its scope. emit is called by one goroutine
// at a time. Failed reports a stream that is retried; it does not hold up the others.
func (c *Client) Watch(ctx context.Context, r ref.Resource, want ref.Want, emit ref.Emit) {
	if c.export != nil {
		c.export.watch(ctx, r, want, emit)
		return
	}
	scopes := c.Workspaces()
	emit(ref.Event{Type: ref.Scopes, Scopes: scopes})
	var turn sync.Mutex
	var streams sync.WaitGroup
	for _, w := range scopes {
		scoped := func(e ref.Event) {
			e.Scope = w
			turn.Lock()
			defer turn.Unlock()
			emit(e)
		}
		streams.Go(func() { client.Persist(ctx, c.settings.Logger, func() { c.watch(ctx, r, w, want, scoped) }) })
	}
	streams.Wait()
}

// watch is one stream: of a workspace of the configured server, or of all.
func (c *Client) watch(ctx context.Context, r ref.Resource, w ref.Workspace, want ref.Want, emit ref.Emit) {
	d := c.front
	if w != "" {
		d = d.in(w)
	}
	place := func(o *ref.Object) { o.Workspace = w }
	if w == All {
		c.watchAll(ctx, d, r, want, emit)
		return
	}
	d.watch(ctx, r, want, c.settings, place, emit)
}

// watchAll is one stream of all workspaces behind a endpoint.
func (c *Client) watchAll(ctx context.Context, d endpoint, r ref.Resource, want ref.Want, emit ref.Emit) {
	want.Annotations = append(slices.Clone(want.Annotations), logicalcluster.AnnotationKey)
	d.watch(ctx, r, want, c.settings, placeByAnnotation, emit)
}

func (d endpoint) watch(ctx context.Context, r ref.Resource, want ref.Want, settings lean.Settings, place func(*ref.Object), emit ref.Emit) {
	path, err := client.ResourcePath(r, "", "", "")
	if err != nil {
		emit(ref.Event{Type: ref.Failed, Err: err})
		<-ctx.Done()
		return
	}
	lean.NewSource(d.conn, d.path+path, want, settings, place).Watch(ctx, emit)
}

// placeByAnnotation is for watches over all workspaces, where an annotation of the server names the workspace of each object.
func placeByAnnotation(o *ref.Object) {
	o.Workspace = ref.Workspace(o.Annotations[logicalcluster.AnnotationKey])
	if !isWorkspace(o.Workspace) && o.Err == nil {
		o.Err, o.Status = fmt.Errorf("the annotation %s does not say which workspace it is: %.100q", logicalcluster.AnnotationKey, o.Workspace), nil
	}
}
