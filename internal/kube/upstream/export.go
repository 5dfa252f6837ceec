package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kcp-dev/logicalcluster/v3"
	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Export names an APIExport. All workspaces that are bound to it are served, through the virtual workspaces that its
// APIExportEndpointSlice of the same name publishes: one for each shard of the kcp.
type Export struct {
	Workspace string // the provider's: the logical cluster that holds the APIExport, name or path
	Name      string
	Direct    bool // statuses are written to the workspaces at the configured server, not through the virtual workspace
}

const apisGroup = "apis.kcp.io"

var endpointSlices = ref.Resource{Group: apisGroup, Version: "v1alpha1", Resource: "apiexportendpointslices"}

// export follows an APIExport: its shards, and which of them has which workspace. Shards are followed as long as anything is watched.
type export struct {
	Export
	client   *Client
	settings lean.Settings
	log      zerolog.Logger

	life sync.Mutex // keeps the first to come and the last to go apart
	end  func()

	mu        sync.RWMutex             // guards the fields below, and those of the shards about workspaces
	shards    map[string]*shard        // by URL without its scheme
	changed   chan struct{}            // closed when shards change
	homes     map[ref.Workspace]*shard // of all workspaces that are bound, or were seen
	listeners map[*listener]struct{}
}

func newExport(e Export, c *Client) (*export, error) {
	if !logicalcluster.NewPath(e.Workspace).IsValid() {
		return nil, fmt.Errorf("APIExport in %q: neither the name of a workspace nor a path like root:provider", e.Workspace)
	}
	if e.Name == "" {
		return nil, errors.New("APIExport without a name")
	}
	return &export{
		Export:    e,
		client:    c,
		settings:  c.settings,
		log:       c.settings.Logger.With().Str("api_export", e.Workspace+":"+e.Name).Logger(),
		shards:    map[string]*shard{},
		changed:   make(chan struct{}),
		homes:     map[ref.Workspace]*shard{},
		listeners: map[*listener]struct{}{},
	}, nil
}

// endpoint is where the objects of a workspace that is bound are read.
func (x *export) endpoint(w ref.Workspace) (endpoint, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if s := x.homes[w]; s != nil {
		return s.endpoint.in(w), nil
	}
	return endpoint{}, fmt.Errorf("%w: %q is not bound to the APIExport", ErrForeign, w)
}

// inScope is where all workspaces of a shard are read.
func (x *export) inScope(scope ref.Workspace) (endpoint, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, s := range x.shards {
		if s.scope == scope {
			return s.endpoint.in(All), nil
		}
	}
	return endpoint{}, fmt.Errorf("%w: %q is no endpoint of the APIExport (any more)", ErrForeign, scope)
}

// writes is where the statuses of a workspace are written.
func (x *export) writes(w ref.Workspace) endpoint {
	if !x.Direct {
		x.mu.RLock()
		defer x.mu.RUnlock()
		if s := x.homes[w]; s != nil {
			return s.endpoint.in(w)
		}
	}
	return x.client.front.in(w)
}

// watch keeps one stream of r for each shard until ctx ends.
func (x *export) watch(ctx context.Context, r ref.Resource, want ref.Want, emit ref.Emit) {
	l := &listener{emit: emit}
	x.join(l)
	defer x.leave(l)
	open := map[*shard]func(){} // how to end each stream
	var scopes []ref.Workspace  // as last reported
	for {
		shards, changed := x.current()
		for s, end := range open {
			if !slices.Contains(shards, s) {
				end()
				delete(open, s)
				l.notify(func() *ref.Event { return &ref.Event{Type: ref.Left, Scope: s.scope} })
			}
		}
		if now := scopesOf(shards); !slices.Equal(now, scopes) {
			scopes = now
			l.notify(func() *ref.Event { return &ref.Event{Type: ref.Scopes, Scopes: now} })
		}
		for _, s := range shards {
			if open[s] == nil {
				open[s] = x.inBackground(ctx, func(ctx context.Context) {
					x.client.watchAll(ctx, s.endpoint.in(All), r, want, func(e ref.Event) { l.notify(func() *ref.Event { return s.filter(e) }) })
				})
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			for _, end := range open {
				end()
			}
			return
		}
	}
}

func scopesOf(shards []*shard) []ref.Workspace {
	scopes := make([]ref.Workspace, 0, len(shards))
	for _, s := range shards {
		scopes = append(scopes, s.scope)
	}
	slices.Sort(scopes)
	return scopes
}

// inBackground runs fn until the returned function is called, which waits for its end.
func (x *export) inBackground(ctx context.Context, fn func(context.Context)) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		client.Persist(ctx, x.log, func() { fn(ctx) })
	}()
	return func() {
		cancel()
		<-done
	}
}

// current returns the shards, and a channel that is closed when they change.
func (x *export) current() ([]*shard, <-chan struct{}) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Collect(maps.Values(x.shards)), x.changed
}

// follow watches the endpoint slice until ctx ends, and the APIBindings of each shard that it names.
func (x *export) follow(ctx context.Context) {
	defer x.setShards(ctx, nil)
	outage := client.NewOutage(x.log, "the APIExportEndpointSlice cannot be watched; it is retried", "the APIExportEndpointSlice is watched again")
	provider := x.client.front.in(ref.Workspace(x.Workspace))
	provider.watch(ctx, endpointSlices, ref.Want{}, x.settings, nil, func(e ref.Event) {
		if e.Type == ref.Failed {
			outage.Failed(e.Err)
			return
		}
		outage.Over()
		if e.Type == ref.Resumed {
			return
		}
		i := slices.IndexFunc(e.Objects, func(o *ref.Object) bool { return o.Name == x.Name })
		switch {
		case e.Type == ref.Listed && i < 0:
			x.missing(ctx, provider)
		case i < 0:
		case e.Type == ref.Deleted:
			x.log.Warn().Msg("the APIExportEndpointSlice was deleted")
			x.setShards(ctx, nil)
		default:
			x.published(ctx, e.Objects[i])
		}
	})
}

// confirmAfter is the wait before a second read confirms that the APIExportEndpointSlice is gone.
const confirmAfter = 5 * time.Second

// missing handles a list that lacks the slice. Endpoints in use are given up only when a second read confirms it: with them, every
// workspace would leave at once.
func (x *export) missing(ctx context.Context, provider endpoint) {
	x.log.Warn().Msg("there is no APIExportEndpointSlice of this name")
	for shards, _ := x.current(); len(shards) > 0; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(confirmAfter):
		}
		o, err := x.client.read(ctx, provider, endpointSlices, ref.Upstream{Name: x.Name}, ref.Want{})
		switch {
		case err == nil:
			x.published(ctx, o)
			return
		case ctx.Err() != nil:
			return
		case apierrors.IsNotFound(err):
			x.setShards(ctx, nil)
			return
		}
		x.log.Warn().Err(err).Msg("the APIExportEndpointSlice cannot be read; its endpoints stay until it can")
	}
}

// published takes the endpoints of a slice. One that cannot be read leaves things as they are.
func (x *export) published(ctx context.Context, o *ref.Object) {
	var status struct {
		Endpoints []struct{ URL string }
	}
	err := o.Err
	if err == nil && o.Status != nil {
		err = json.Unmarshal(o.Status, &status)
	}
	if err != nil {
		x.log.Warn().Err(err).Msg("the APIExportEndpointSlice cannot be read")
		return
	}
	endpoints := map[string]endpoint{}
	for _, e := range status.Endpoints {
		d, err := x.client.hosts.published(e.URL, x.client.front.conn.Base())
		if err != nil {
			x.log.Warn().Err(err).Str("url", e.URL).Msg("an endpoint of the APIExport is left out")
			continue
		}
		endpoints[d.host()+d.path] = d
	}
	x.setShards(ctx, endpoints)
}

// setShards follows these shards from now on, and no others.
func (x *export) setShards(ctx context.Context, endpoints map[string]endpoint) {
	var ended []*shard
	x.mu.Lock()
	before := len(x.shards)
	for url, s := range x.shards {
		if _, stays := endpoints[url]; !stays {
			ended = append(ended, s)
			delete(x.shards, url)
		}
	}
	maps.DeleteFunc(x.homes, func(_ ref.Workspace, s *shard) bool { return slices.Contains(ended, s) })
	for url, d := range endpoints {
		if x.shards[url] == nil {
			s := newShard(x, url, d)
			s.end = x.inBackground(ctx, s.follow)
			x.shards[url] = s
		}
	}
	if len(ended) > 0 || len(x.shards) != before {
		close(x.changed)
		x.changed = make(chan struct{})
		x.log.Info().Str("endpoints", strings.Join(slices.Sorted(maps.Keys(x.shards)), " ")).Msg("the APIExport's endpoints are others now")
	}
	x.mu.Unlock()
	for _, s := range ended {
		s.end()
	}
	x.client.hosts.keep(append(slices.Collect(maps.Values(endpoints)), x.client.front))
}

// leftFor is how long events of a workspace that left are compared with the version at which it left.
const leftFor = 10 * time.Minute
