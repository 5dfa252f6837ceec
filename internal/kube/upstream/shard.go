package upstream

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// shard is one endpoint of an APIExport: a virtual workspace that has all bound workspaces of one shard. Its fields below endpoint are
// guarded by the export's lock.
type shard struct {
	export   *export
	url      string // without its scheme
	scope    ref.Workspace
	endpoint endpoint
	end      func()

	bindings map[ref.Upstream]struct{} // APIBindings, without namespace
	bound    map[ref.Workspace]int     // how many of them each workspace has
	left     map[ref.Workspace]departure
	cleaned  time.Time // when expired entries were last removed from left
}

// departure is when a workspace left, as a resourceVersion of the shard: older events of its objects may still arrive.
type departure struct {
	version string
	at      time.Time
}

func newShard(x *export, url string, d endpoint) *shard {
	return &shard{
		export: x, url: url, scope: All + "@" + ref.Workspace(url), endpoint: d,
		bindings: map[ref.Upstream]struct{}{}, bound: map[ref.Workspace]int{}, left: map[ref.Workspace]departure{},
	}
}

// follow watches the APIBindings until ctx ends.
func (s *shard) follow(ctx context.Context) {
	outage := client.NewOutage(s.export.log.With().Str("endpoint", string(s.scope)).Logger(),
		"APIBindings cannot be watched; they are retried", "APIBindings are watched again")
	version, ok := s.bindingVersion(ctx, outage)
	if !ok {
		return
	}
	resource := ref.Resource{Group: apisGroup, Version: version, Resource: "apibindings"}
	s.export.client.watchAll(ctx, s.endpoint.in(All), resource, ref.Want{}, func(e ref.Event) {
		switch e.Type {
		case ref.Failed:
			outage.Failed(e.Err)
			return
		case ref.Listed:
			s.listed(e)
		case ref.Changed:
			s.bind(e.Objects[0])
		case ref.Deleted:
			s.unbind(e.Objects[0])
		case ref.Left, ref.Scopes, ref.Resumed:
		}
		outage.Over()
	})
}

// bindingVersion asks which version of the group the endpoint prefers: kcp serves several, from release to release others. An
// endpoint may be published before it serves.
func (s *shard) bindingVersion(ctx context.Context, outage *client.Outage) (string, bool) {
	backoff := s.export.settings.Backoff
	for pause := backoff.Initial; ; pause = min(2*pause, backoff.Max) {
		var group metav1.APIGroup
		err := s.export.client.document(ctx, s.endpoint.in(All), "/apis/"+apisGroup, &group)
		version := group.PreferredVersion.Version
		if err == nil && version == "" {
			err = fmt.Errorf("the group %s has no preferred version", apisGroup)
		}
		if err == nil {
			if _, err = client.ResourcePath(ref.Resource{Group: apisGroup, Version: version, Resource: "apibindings"}, "", "", ""); err == nil {
				return version, true
			}
		}
		if ctx.Err() == nil {
			outage.Failed(err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return "", false
		}
	}
}

func keyOf(binding *ref.Object) ref.Upstream {
	return ref.Upstream{Workspace: binding.Workspace, Name: binding.Name}
}

// listed takes all APIBindings. Workspaces that have none any more left unobserved.
func (s *shard) listed(e ref.Event) {
	x := s.export
	x.mu.Lock()
	before := s.bound
	s.bindings, s.bound = map[ref.Upstream]struct{}{}, make(map[ref.Workspace]int, len(e.Objects))
	for _, o := range e.Objects {
		s.add(o)
	}
	gone := maps.Clone(before)
	maps.DeleteFunc(gone, func(w ref.Workspace, _ int) bool { return s.bound[w] > 0 })
	if doubtful := len(gone) > 20 && 2*len(gone) > len(before); doubtful {
		x.log.Warn().Str("endpoint", s.url).Int("vanished", len(gone)).Int("known", len(before)).
			Msg("more than half of the workspaces lack an APIBinding in one list; their objects stay until their own lists or events say otherwise")
		clear(gone)
	}
	for w := range gone {
		s.depart(w, e.Version)
	}
	x.mu.Unlock()
	for w := range gone {
		s.notify(w, e.Version)
	}
}

func (s *shard) bind(o *ref.Object) {
	s.export.mu.Lock()
	defer s.export.mu.Unlock()
	s.add(o)
}

func (s *shard) add(o *ref.Object) {
	key := keyOf(o)
	if _, known := s.bindings[key]; known || o.Err != nil {
		return
	}
	s.bindings[key] = struct{}{}
	s.bound[o.Workspace]++
	delete(s.left, o.Workspace)
	s.export.homes[o.Workspace] = s
}

func (s *shard) unbind(o *ref.Object) {
	x := s.export
	x.mu.Lock()
	_, known := s.bindings[keyOf(o)]
	if known {
		delete(s.bindings, keyOf(o))
		s.bound[o.Workspace]--
	}
	last := known && s.bound[o.Workspace] == 0
	if last {
		delete(s.bound, o.Workspace)
		s.depart(o.Workspace, o.ResourceVersion)
	}
	x.mu.Unlock()
	if last {
		s.notify(o.Workspace, o.ResourceVersion)
	}
}

// depart records that a workspace left, before listeners are notified.
func (s *shard) depart(w ref.Workspace, version string) {
	now := time.Now()
	if now.Sub(s.cleaned) > leftFor {
		s.cleaned = now
		maps.DeleteFunc(s.left, func(_ ref.Workspace, d departure) bool { return now.Sub(d.at) > leftFor })
	}
	s.left[w] = departure{version, now}
	if s.export.homes[w] == s {
		delete(s.export.homes, w)
	}
}

// notify reports to every watch that a workspace left.
func (s *shard) notify(w ref.Workspace, version string) {
	s.export.mu.RLock()
	listeners := slices.Collect(maps.Keys(s.export.listeners))
	s.export.mu.RUnlock()
	for _, l := range listeners {
		l.notify(func() *ref.Event { return &ref.Event{Type: ref.Left, Scope: s.scope, Workspace: w, Version: version} })
	}
}

// filter returns an event of a stream without objects that are older than the departure of their workspace; nil: none is left.
func (s *shard) filter(e ref.Event) *ref.Event {
	e.Scope = s.scope
	if e.Type != ref.Deleted {
		if e.Objects = s.present(e.Objects); len(e.Objects) == 0 && e.Type == ref.Changed {
			return nil
		}
	}
	return &e
}

// present are the objects without those of workspaces that left since. It learns where the others live.
func (s *shard) present(objects []*ref.Object) []*ref.Object {
	x := s.export
	x.mu.RLock()
	settled := true
	for _, o := range objects {
		_, left := s.left[o.Workspace]
		settled = settled && !left && (o.Workspace == "" || x.homes[o.Workspace] == s)
	}
	x.mu.RUnlock()
	if settled {
		return objects
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	present := make([]*ref.Object, 0, len(objects))
	for _, o := range objects {
		if d, left := s.left[o.Workspace]; left && !newer(o.ResourceVersion, d.version) {
			continue
		}
		if o.Err == nil && x.shards[s.url] == s {
			x.homes[o.Workspace] = s
		}
		present = append(present, o)
	}
	return present
}

// newer reports whether resourceVersion a is newer than b. Versions that can't be compared are taken for newer.
func newer(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err != nil || order > 0
}
