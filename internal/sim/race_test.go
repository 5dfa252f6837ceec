//go:build race

package sim

// The race detector makes seeds slow.
const (
	manySeeds = 30 // are run where no number is asked for
	replays   = 1  // seeds that are run three times
)
