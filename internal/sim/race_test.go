//go:build race

package sim

// The race detector makes seeds slow.
const (
	manySeeds = 30 // are run where no number is asked for
	replays   = 1  // seeds that are run three times

	pausedSeeds = 3 // in which leaders are paused, ten times each

	outageScale = 10 // divides the load under which upstream goes away
)
