package sim

import (
	"math/rand/v2"
	"time"
)

// Seed determines everything that is drawn in a run.
type Seed uint64

// generator is for draws of one goroutine, in order.
func (s Seed) generator(purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(s), purpose)) //nolint:gosec // to be had again, not secret
}

// draw is a number that depends on nothing but the seed, a name, and a number: goroutines that draw in another order draw the same.
func (s Seed) draw(name string, n int) draw {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return draw(mix(h ^ mix(uint64(s)) ^ mix(uint64(n)+0x51ed27))) //nolint:gosec // bits, not a number
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

// draw is 64 random bits, of which more can be had.
type draw uint64

// also is an independent draw.
func (d draw) also(n uint64) draw { return draw(mix(uint64(d) + n*0x9e3779b97f4a7c15)) }

// below reports true with a probability.
func (d draw) below(p float64) bool { return float64(d>>11)/(1<<53) < p }

// between is a duration, to the nanosecond: no two that matter are the same.
func (d draw) between(least, most time.Duration) time.Duration {
	return least + time.Duration(uint64(d)%uint64(most-least)) //nolint:gosec // durations are positive
}

// upTo is a number in [0, n).
func (d draw) upTo(n int) int { return int(uint64(d) % uint64(n)) } //nolint:gosec // counts are positive
