package actors

import (
	"math/rand/v2"
	"time"
)

// Jitter draws from [0,1), so that waits for the same thing do not end at one instant; nil draws at random.
type Jitter func() float64

// jittered is a part of d.
func jittered(j Jitter, d time.Duration) time.Duration {
	if j == nil {
		j = rand.Float64
	}
	return time.Duration(j() * float64(d))
}
