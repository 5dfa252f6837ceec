//go:build !race

package endtoend

// mostObjects is how many objects of one kind a SyncTarget that turns may have: the default.
const mostObjects = 200_000
