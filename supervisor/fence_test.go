package supervisor_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/supervisor"
)

// fenced runs a system that may write while may is true.
func fenced(t *testing.T, test func(f *flow, may *atomic.Bool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &flow{t: t, upstream: newWorkspaces()}
		var may atomic.Bool
		system, err := supervisor.New(supervisor.Options{Upstream: f.upstream, Fence: func(ctx context.Context) (context.Context, context.CancelFunc, bool) {
			return ctx, func() {}, may.Load()
		}})
		f.must(err)
		f.system = system
		f.must(system.AddResource(deployments))
		f.must(system.Start(t.Context()))
		f.must(system.AddPushTarget(supervisor.Target{Name: "east", Workspaces: []actors.Workspace{"team-a"}}))
		f.upstream.put(web, 1, nil)
		f.reports("east", 1)
		f.synced("east")
		test(f, &may)
	})
}

// A standby decides all the same, and writes its latest decisions as soon as it may, after any wait.
func TestAStandbyWritesItsQueueWhenItMay(t *testing.T) {
	fenced(t, func(f *flow, may *atomic.Bool) {
		time.Sleep(10 * time.Minute)
		f.reports("east", 2)
		time.Sleep(7 * time.Second)
		f.wantReady(0)
		may.Store(true)
		f.system.MayWrite()
		synctest.Wait()
		f.wantReady(2)
		may.Store(false)
		f.reports("east", 3)
		f.settle()
		f.wantReady(2)
		may.Store(true)
		time.Sleep(time.Minute) // without a notification; it is tried again
		synctest.Wait()
		f.wantReady(3)
		f.stop()
	})
}

// The leader decides on the same: a standby has nothing to wait for when it stops.
func TestAStandbyStopsAtOnce(t *testing.T) {
	fenced(t, func(f *flow, _ *atomic.Bool) {
		time.Sleep(time.Minute) // it waits between two tries
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := f.system.Stop(ctx); err != nil {
			t.Errorf("did not end well: %v", err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %v", took)
		}
		f.wantReady(0)
		time.Sleep(2 * time.Second) // dead letters are counted for a second
	})
}
