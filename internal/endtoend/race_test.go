//go:build race

package endtoend

// mostObjects is how many objects of one kind a SyncTarget that turns may have: the race detector makes each dear.
const mostObjects = 20_000
