// Package patch turns a decision into the smallest write that makes it true, and queues the writes that are due.
//
// It promises:
//   - Diff is nil if and only if nothing that counts would change, so no write is sent for nothing (semantics of equality: see Diff);
//   - a patch never removes or replaces values of other writers, and holds nothing outside status;
//   - the same inputs give the same bytes;
//   - Queue loses nothing, keeps only the latest per key, serves workspaces in turn and lets nothing wait for ever;
//   - Slots let no more calls begin than a server can use, and none of its workspaces take all of them.
//
// It is pure: no I/O, no clock, no goroutine.
package patch
