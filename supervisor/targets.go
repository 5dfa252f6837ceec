package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Target is a SyncTarget that may contribute.
type Target struct {
	Name       actors.SyncTarget
	Cluster    string             // the logical cluster that holds the SyncTarget object, for its key and locators; may be empty
	UID        string             // of the SyncTarget object; empty: not checked
	Workspaces []actors.Workspace // those that it may report for without a placement label

	Scheduling reconcile.Scheduling // by its SyncTarget object
}

// registration is a SyncTarget and its connection.
type registration struct {
	name    ref.SyncTarget
	path    string // of its actor below the root
	source  actors.Downstream
	pushed  bool // the embedding program hands objects over
	facts   atomic.Pointer[facts]
	removed chan struct{} // closed when its actors are gone

	// The root actor's.
	epoch   uint64        // from which on it may contribute
	leaving bool          // it is being removed
	next    *registration // takes its place then; nil: none
	waiting bool          // for the one in its place to leave
}

// facts are the facts about a SyncTarget, immutable: SetTarget replaces them as a whole, whenever actors read them.
type facts struct {
	target     locator.Target
	scheduling reconcile.Scheduling
	resolver   *locator.Resolver
}

func (s *System) factsOf(t Target) (*facts, error) {
	target := locator.Target{Name: t.Name, Cluster: t.Cluster, UID: t.UID, Workspaces: slices.Clone(t.Workspaces)}
	resolver, err := locator.New(s.options.Locators, target)
	if err != nil {
		return nil, err
	}
	return &facts{target: target, scheduling: t.Scheduling, resolver: resolver}, nil
}

// AddTarget starts to watch a SyncTarget. The System closes d when the SyncTarget is removed or the System stops.
func (s *System) AddTarget(t Target, d actors.Downstream) error {
	return s.register(t, d, false)
}

func (s *System) register(t Target, d actors.Downstream, pushed bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.registration(t, d, pushed)
	if err != nil {
		return err
	}
	if s.targets[t.Name] != nil {
		return fmt.Errorf("SyncTarget %q is there already: remove it first", t.Name)
	}
	s.targets[t.Name] = r
	s.send(addTarget{r})
	return nil
}

// registration is called with s.mu held.
func (s *System) registration(t Target, d actors.Downstream, pushed bool) (*registration, error) {
	if t.Name == "" {
		return nil, errors.New("a SyncTarget needs a name")
	}
	known, err := s.factsOf(t)
	if err != nil {
		return nil, err
	}
	s.added++
	r := &registration{
		name: t.Name, source: d, pushed: pushed, removed: make(chan struct{}),
		path: targetPrefix + string(t.Name) + "#" + strconv.FormatUint(s.added, 10),
	}
	r.facts.Store(known)
	return r, nil
}

// SetTarget changes the facts about a SyncTarget that is there: its uid, its cluster, the workspaces that it is bound to. Its connection
// stays, its objects are located again, and those that still belong to the same upstream objects go on counting.
func (s *System) SetTarget(t Target) error {
	known, err := s.factsOf(t)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.targets[t.Name]
	if r == nil {
		return fmt.Errorf("there is no SyncTarget %q", t.Name)
	}
	r.facts.Store(known)
	s.send(changeTarget{r})
	return nil
}

// ReplaceTarget puts another SyncTarget in the place of one of its name. Contributions of the old one are withdrawn; published statuses
// stay until the new one has listed. It returns when the old one's actors are gone. The System closes d in any case.
func (s *System) ReplaceTarget(ctx context.Context, t Target, d actors.Downstream) error {
	old, err := s.replace(t, d)
	if err != nil {
		d.Close()
		return err
	}
	select {
	case <-old.removed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("replacing SyncTarget %q: %w", t.Name, ctx.Err())
	}
}

func (s *System) replace(t Target, d actors.Downstream) (old *registration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old = s.targets[t.Name]
	if old == nil || !s.running {
		return nil, fmt.Errorf("there is no SyncTarget %q to replace", t.Name)
	}
	next, err := s.registration(t, d, false)
	if err != nil {
		return nil, err
	}
	s.targets[t.Name] = next
	s.send(replaceTarget{old, next})
	return old, nil
}

// RemoveTarget stops watching a SyncTarget and withdraws its contributions. It returns when its actors are gone.
func (s *System) RemoveTarget(ctx context.Context, name actors.SyncTarget) error {
	s.mu.Lock()
	r := s.targets[name]
	if r == nil {
		s.mu.Unlock()
		return fmt.Errorf("there is no SyncTarget %q", name)
	}
	if !s.running {
		delete(s.targets, name)
		s.mu.Unlock()
		return nil
	}
	s.send(removeTarget{r})
	s.mu.Unlock()
	select {
	case <-r.removed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("removing SyncTarget %q: %w", name, ctx.Err())
	}
}

// forget drops the registration of a SyncTarget that was removed, unless another one took its place.
func (s *System) forget(r *registration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.targets[r.name] == r {
		delete(s.targets, r.name)
	}
}

func (s *System) registrations() []*registration {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Collect(maps.Values(s.targets))
	slices.SortFunc(list, func(a, b *registration) int { return strings.Compare(string(a.name), string(b.name)) })
	return list
}

// end closes the connection of a SyncTarget that is gone, and ends the calls that wait for it. A connection that panics hurts no other.
func (r *registration) end() {
	defer close(r.removed)
	defer func() { _ = recover() }()
	r.source.Close()
}
