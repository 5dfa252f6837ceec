package supervisor_test

import (
	"testing"
	"time"
)

// A SyncTarget whose connection comes and goes every 5 s for ten minutes costs no more than two writes: one if it becomes stale, and one when
// it is fresh again. A change that it makes afterwards arrives as ever.
func TestFlappingCostsTwoWrites(t *testing.T) {
	inWorld(t, three, everywhere(2), func(w *world) {
		w.settle()
		before := len(w.upstream.patches())
		for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); {
			w.clusters["west"].goAway(true)
			time.Sleep(5 * time.Second)
			w.clusters["west"].goAway(false)
			time.Sleep(5300 * time.Millisecond) // so that probes, every 10 s, meet both
		}
		time.Sleep(2 * time.Minute)
		w.wantState(6, "True", "3/3 SyncTargets reporting")
		writes := len(w.upstream.patches()) - before
		t.Logf("%d writes for 60 times away", writes)
		if writes > 2 {
			t.Errorf("%d writes for 60 times away, want two at most", writes)
		}
		w.clusters["west"].goAway(true)
		w.clusters["west"].goAway(false)
		w.ready("west", 5)
		w.settle()
		w.wantState(9, "True", "3/3 SyncTargets reporting")
	})
}
