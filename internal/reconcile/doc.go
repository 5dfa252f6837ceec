// Package reconcile is the state machine of one resource in one bucket of namespaces. Facts about SyncTargets, copies, upstream objects
// and writes come in as events; writes, reads, logs and counts go out as effects. It does nothing itself: no I/O, no clock, no goroutine.
//
//	effects := state.Step(now, event)
//
// Events and effects are plain data. The caller performs the effects, in their order, before the next Step, and reports the outcome of a
// write or a read as a later event. A Wake effect moves the one timer that the caller keeps for this State; a Continue effect asks for
// another Step with a Continue event, soon: long work goes on in slices, so that no Step takes long, however much there is to do.
//
// The cost of a Step follows the objects that its event concerns. Five indexes see to that: SyncTarget → copies, placement key → objects,
// scope → objects, place (scope and workspace) → objects, and a heap of due times.
//
// Decisions of one object are atomic. A panic in a policy, a merge or a diff parks that object with the reason Panicked until its inputs
// change, and leaves its state as it was.
package reconcile
