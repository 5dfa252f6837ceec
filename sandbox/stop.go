package sandbox

import (
	"context"
	"sync"
)

// Stop ends all servers, API servers before their etcd, and removes the folder if it was a temporary one. It takes a sandbox
// that was started in part, and one that was stopped already.
func (s *Sandbox) Stop() error {
	ctx := context.Background() // each server has StopGrace, then it is killed
	var err error
	if s.Front != nil {
		err = s.Front.Stop()
	}
	var stopping sync.WaitGroup
	for _, w := range s.Workspaces() {
		stopping.Go(func() { _ = s.RemoveWorkspace(ctx, w.Name) }) // fails only if somebody else removes it
	}
	for _, t := range s.SyncTargets() {
		stopping.Go(func() { _ = s.RemoveSyncTarget(ctx, t.Name) })
	}
	stopping.Wait()
	if s.Etcd != nil {
		s.Etcd.Close(ctx)
	}
	if s.dir != nil {
		s.dir.close()
	}
	return err
}
