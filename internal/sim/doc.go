// Package sim runs the whole of upstreamd against API servers in memory, in virtual time, under injected faults: the real actors and the
// real connections over a network that delays, loses and breaks, with daemons that are restarted, killed and frozen, and users that change
// their objects meanwhile. Everything is drawn from a seed, so that a run can be repeated.
//
//	world (users, way down, controllers) ──► API servers ◄── network (latency, faults) ◄── daemons (supervisor.System)
//	                                               │                   │
//	                                               └──► judge ◄────────┘
//
// During the run, the judge compares every write of upstreamd with the observations of that daemon. Once all faults have ended, the published
// statuses have to become equal to those that an independent calculation finds from the SyncTargets' stores, and stay so without a further
// write.
//
// It is a test of the product and never part of it.
package sim
