//go:build !race

package sim

// manySeeds are run where no number is asked for.
const manySeeds = 50
