//go:build race

package sim

// manySeeds are run where no number is asked for: the race detector makes them slow.
const manySeeds = 30
