package sandbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/upstreamd/upstreamd/sandbox/controlplane"
)

// AddWorkspace starts another workspace.
func (s *Sandbox) AddWorkspace(ctx context.Context, name string) (*Workspace, error) {
	if err := (Options{Workspaces: []string{name}}).validate(); err != nil {
		return nil, err
	}
	file := "workspace-" + strings.ReplaceAll(name, ":", "_") // names hold no underscore, so file names are unique
	server, err := s.startAPIServer(ctx, file)
	if err != nil {
		return nil, err
	}
	w := &Workspace{Name: name, APIServer: server, Kubeconfig: s.file(file + ".kubeconfig"), config: s.Upstream()}
	w.config.Host = s.Front.WorkspaceURL(name)
	if err := enter(s, s.workspaces, name, w); err != nil {
		server.Close(ctx)
		return nil, err
	}
	if err := errors.Join(writeKubeconfig(w.Kubeconfig, w.config), s.Front.Add(name, server.Config())); err != nil {
		return nil, errors.Join(err, s.RemoveWorkspace(ctx, name))
	}
	return w, nil
}

// RemoveWorkspace stops a workspace's server permanently and removes it from the front.
func (s *Sandbox) RemoveWorkspace(ctx context.Context, name string) error {
	w, err := leave(s, s.workspaces, name)
	if err != nil {
		return err
	}
	s.Front.Remove(name)
	w.APIServer.Close(ctx)
	return nil
}

// AddSyncTarget starts another SyncTarget. If it reuses the name of a removed one, it is empty and has another uid and address.
func (s *Sandbox) AddSyncTarget(ctx context.Context, name string) (*SyncTarget, error) {
	if err := (Options{SyncTargets: []string{name}}).validate(); err != nil {
		return nil, err
	}
	file := "synctarget-" + name
	server, err := s.startAPIServer(ctx, file)
	if err != nil {
		return nil, err
	}
	t := &SyncTarget{
		Name: name, Cluster: s.options.Cluster, UID: uuid.NewUUID(), APIServer: server, Kubeconfig: s.file(file + ".kubeconfig"),
	}
	if err := enter(s, s.syncTargets, name, t); err != nil {
		server.Close(ctx)
		return nil, err
	}
	if err := t.WriteKubeconfig(); err != nil {
		return nil, errors.Join(err, s.RemoveSyncTarget(ctx, name))
	}
	return t, nil
}

// RemoveSyncTarget stops a SyncTarget's server permanently.
func (s *Sandbox) RemoveSyncTarget(ctx context.Context, name string) error {
	t, err := leave(s, s.syncTargets, name)
	if err != nil {
		return err
	}
	t.Close(ctx)
	return nil
}

// Workspace returns the workspace of that name, nil if there is none.
func (s *Sandbox) Workspace(name string) *Workspace {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.workspaces[name]
}

// Workspaces returns all workspaces, sorted by name.
func (s *Sandbox) Workspaces() []*Workspace { return members(s, s.workspaces) }

// SyncTarget returns the SyncTarget of that name, nil if there is none.
func (s *Sandbox) SyncTarget(name string) *SyncTarget {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.syncTargets[name]
}

// SyncTargets returns all SyncTargets, sorted by name.
func (s *Sandbox) SyncTargets() []*SyncTarget { return members(s, s.syncTargets) }

// startAPIServer starts a server with a new etcd prefix and a new log.
func (s *Sandbox) startAPIServer(ctx context.Context, name string) (*controlplane.APIServer, error) {
	s.mu.Lock()
	s.started++
	name = fmt.Sprintf("%s-%d", name, s.started)
	s.mu.Unlock()
	return controlplane.StartAPIServer(ctx, controlplane.APIServerOptions{
		Name: name, Binaries: s.options.Binaries, Dir: s.dir.path, Etcd: s.Etcd, Identity: s.identity,
		Users: s.users, RBAC: s.options.RBAC, Args: s.options.APIServerArgs,
	})
}

func (s *Sandbox) file(name string) string { return filepath.Join(s.dir.path, name) }

func enter[M any](s *Sandbox, into map[string]M, name string, member M) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := into[name]; taken {
		return fmt.Errorf("the sandbox already has a %s", name)
	}
	into[name] = member
	return nil
}

func leave[M any](s *Sandbox, from map[string]M, name string) (M, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	member, ok := from[name]
	if !ok {
		return member, fmt.Errorf("the sandbox has no %s", name)
	}
	delete(from, name)
	return member, nil
}

func members[M any](s *Sandbox, of map[string]M) []M {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []M
	for _, name := range slices.Sorted(maps.Keys(of)) {
		all = append(all, of[name])
	}
	return all
}
