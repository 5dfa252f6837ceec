package simulator

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Settle pauses the simulator and brings every object to its final state: roll-outs finished, most Pods ready, some
// failing permanently. It returns when the API servers hold these states; it retries API server errors until
// ctx ends. Resume continues the changes.
func (s *Simulator) Settle(ctx context.Context) error {
	s.Pause()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var moved atomic.Int64
		group, passing := errgroup.WithContext(ctx)
		for _, c := range s.all() {
			group.Go(func() error {
				if err := c.settle(passing, &moved); err != nil {
					return fmt.Errorf("SyncTarget %s: %w", c.name, err)
				}
				return nil
			})
		}
		err := group.Wait()
		if err == nil && moved.Load() == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the SyncTargets are not settled: %w", errors.Join(ctx.Err(), err))
		}
	}
}

// settle makes one pass over all objects and counts those that it changed.
func (c *cluster) settle(ctx context.Context, moved *atomic.Int64) error {
	for _, kind := range behaviours() {
		objects, err := kind.list(ctx, c.client, c.selector)
		if err != nil {
			return err
		}
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(writersPerCluster)
		for _, o := range objects {
			if o.GetDeletionTimestamp() != nil {
				continue
			}
			changed := kind.rest(o, clock())
			if changed == nil {
				continue
			}
			moved.Add(1)
			group.Go(func() error { return c.write(ctx, kind, changed) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}
