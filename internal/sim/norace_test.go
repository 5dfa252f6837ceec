//go:build !race

package sim

const (
	manySeeds = 50 // are run where no number is asked for
	replays   = 3  // seeds that are run three times
)
