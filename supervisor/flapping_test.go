package supervisor_test

import (
	"testing"
	"time"
)

// The connection of a SyncTarget comes and goes every 5 s for ten minutes. Only probes reach it, every 10 s. Where they always meet it up,
// nothing is written. Where they meet it down for minutes, then up for minutes, it becomes stale and fresh each time, which is two writes.
// It never costs one for each interruption.
func TestFlappingCostsFewWrites(t *testing.T) {
	for name, flap := range map[string]struct {
		there time.Duration
		most  int
	}{"in step with the probes": {5 * time.Second, 0}, "out of step": {5300 * time.Millisecond, 4}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, three, everywhere(2), func(w *world) {
				w.settle()
				before := len(w.upstream.patches())
				for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); {
					w.clusters["west"].goAway(true)
					time.Sleep(5 * time.Second)
					w.clusters["west"].goAway(false)
					time.Sleep(flap.there)
				}
				time.Sleep(2 * time.Minute)
				w.wantState(6, "True", "3/3 SyncTargets reporting")
				if writes := len(w.upstream.patches()) - before; writes > flap.most {
					t.Errorf("%d writes for about 60 times away, want %d at most", writes, flap.most)
				}
				w.ready("west", 5)
				w.settle()
				w.wantState(9, "True", "3/3 SyncTargets reporting")
			})
		})
	}
}
