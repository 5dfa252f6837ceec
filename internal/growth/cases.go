package growth

import (
	"runtime"
	"time"
)

// Cases are all cases, in the order of the table.
func Cases() ([]Case, []Turn) {
	fleets := map[int]*fleet{}
	in := func(size int) (f *fleet, err error) {
		if f = fleets[size]; f == nil {
			f, err = newFleet(size)
			fleets[size] = f
		}
		return f, err
	}
	step := func(work func(*fleet)) func(int) (func(), error) {
		return func(size int) (func(), error) {
			f, err := in(size)
			return func() { work(f) }, err
		}
	}
	turns := func(work func(*fleet)) func(int) (func() []time.Duration, error) {
		return func(size int) (func() []time.Duration, error) {
			f, err := in(size)
			return func() []time.Duration {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				f.timed, f.steps = true, nil
				work(f)
				f.timed = false
				return f.steps
			}, err
		}
	}
	const turn = 5 * time.Millisecond
	return []Case{
			{"writer's queue, all workspaces wait for their host", 1_000, 10_000, 1.5, func(size int) (func(), error) { return queue(size, false) }},
			{"writer's queue, one workspace of many may write", 1_000, 10_000, 1.5, func(size int) (func(), error) { return queue(size, true) }},
			{"write that is sent at once, workspaces that wait", 1_000, 10_000, 1.5, writer},
			{"end of a park, parked workspaces", 1_000, 10_000, 1.5, parks},
			{"decision on 3 copies, SyncTargets bound to the workspace", 100, 1_000, 2, decide},
			{"relist of 1 of 200 SyncTargets, copies in all", 100_000, 1_000_000, 1.5, step(func(f *fleet) { f.list(f.next()) })},
			{"flap of 1 of 200 SyncTargets, copies in all", 100_000, 1_000_000, 1.5, step(func(f *fleet) { f.flap(f.next()) })},
		}, []Turn{
			{"relist of a SyncTarget, copies in all", 1_000_000, turn, turns(func(f *fleet) { f.list(f.largest) })},
			{"flap of a SyncTarget, copies in all", 1_000_000, turn, turns(func(f *fleet) { f.flap(f.largest) })},
			{"relist of upstream objects", 1_000_000, turn, turns((*fleet).listed)},
			{"policy change, upstream objects", 1_000_000, turn, turns((*fleet).change)},
		}
}
