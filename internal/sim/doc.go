// Package sim runs the whole of upstreamd against API servers in memory, in virtual time, and lets everything go wrong that may: the real
// actors and the real connections, over a network that delays, loses and breaks, with daemons that are restarted, killed and frozen, and
// users who change their minds. Everything is drawn from a seed, so that a run can be had again.
//
//	world (users, way down, controllers) ──► API servers ◄── network (latency, faults) ◄── daemons (supervisor.System)
//	                                               │                   │
//	                                               └──► judge ◄────────┘
//
// While it runs, the judge holds every write of upstreamd against what that daemon could know. Once everything is healed, what is published
// has to come to equal what follows from the SyncTargets' stores, by a calculation of its own, and then stay without a further write.
//
// It is a test of the product and never part of it.
package sim
