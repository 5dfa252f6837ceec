package upstream

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/upstreamd/upstreamd/internal/kube/discovery"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// At is a workspace of the configured server (name or path; empty: the server itself), whether its objects are served or not.
func (c *Client) At(workspace string) discovery.Server {
	d := c.front
	if workspace != "" {
		d = d.in(ref.Workspace(workspace))
	}
	return discovery.Server{Conn: d.conn, Prefix: d.path}
}

// Attend follows the endpoints of the APIExport, if there is one, until the returned function is called: Kinds needs them before
// anything is watched.
func (c *Client) Attend() (leave func()) {
	if c.export == nil {
		return func() {}
	}
	l := &listener{emit: func(ref.Event) {}}
	c.export.join(l)
	return func() { c.export.leave(l) }
}

// Bind replaces the workspaces (names or paths) for Name to know beside the served ones, from the next Resolve on. It reports whether any
// of them is new.
func (c *Client) Bind(workspaces []string) (news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	bound := map[string]struct{}{}
	for _, w := range workspaces {
		if w == string(All) || slices.Contains(c.served, w) {
			continue
		}
		bound[w] = struct{}{}
		if _, known := c.names[w]; !known {
			c.names[w] = ref.Workspace(w)
			news = true
		}
	}
	maps.DeleteFunc(c.names, func(w string, _ ref.Workspace) bool {
		_, isBound := bound[w]
		return !isBound && !slices.Contains(c.served, w)
	})
	c.bound = slices.Sorted(maps.Keys(bound))
	return news
}

func (c *Client) alsoBound() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.bound)
}

// Kinds lists the kinds of each place that is served on its own: a workspace, or a shard with all of its workspaces. The error joins
// those of places that do not answer.
func (c *Client) Kinds(ctx context.Context) (map[string][]discovery.Kind, error) {
	endpoints := map[string]endpoint{}
	var failed []error
	if c.export != nil {
		shards, _ := c.export.current()
		for _, s := range shards {
			endpoints[string(s.scope)] = s.endpoint.in(All)
		}
		if len(shards) == 0 {
			failed = append(failed, errors.New("the APIExport has no endpoint (yet)"))
		}
	} else {
		for _, w := range c.Workspaces() {
			d, err := c.inScope(w)
			failed = append(failed, err)
			if err == nil {
				endpoints[string(w)] = d
			}
		}
	}
	kinds := make(map[string][]discovery.Kind, len(endpoints))
	for _, name := range slices.Sorted(maps.Keys(endpoints)) {
		some, err := c.kinds(ctx, endpoints[name])
		failed = append(failed, err)
		if err == nil {
			kinds[name] = some
		}
	}
	return kinds, errors.Join(failed...)
}

func (c *Client) kinds(ctx context.Context, d endpoint) ([]discovery.Kind, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return discovery.Server{Conn: d.conn, Prefix: d.path}.Kinds(ctx)
}
