package sandbox

import (
	"context"
	"sync"
)

// Stop stops all servers, API servers before their etcd, and removes a temporary folder. It accepts a partly started sandbox and
// one that was stopped before.
func (s *Sandbox) Stop() error {
	ctx := context.Background() // each server has StopGrace, then it is killed
	var err error
	if s.Front != nil {
		err = s.Front.Stop()
	}
	var stopping sync.WaitGroup
	for _, w := range s.Workspaces() {
		stopping.Go(func() { _ = s.RemoveWorkspace(ctx, w.Name) }) // fails only if it was removed concurrently
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
