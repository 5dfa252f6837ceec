//go:build !race

package sim

const (
	manySeeds = 50 // are run where no number is asked for
	replays   = 3  // seeds that are run three times

	pausedSeeds = 20 // in which leaders are paused, ten times each

	outageScale = 1 // divides the load under which upstream goes away
)
