package supervisor

import (
	"testing"
	"time"
)

func TestRestartPauseGrowsToItsLimit(t *testing.T) {
	if pauseAfter(1, 0.5) != 0 {
		t.Error("the first failure is restarted at once")
	}
	last := time.Duration(0)
	for n := 2; n < 40; n++ {
		least, most := pauseAfter(n, 0), pauseAfter(n, 1)
		if least < last/2 || most > maxRestartPause || least <= 0 {
			t.Errorf("after %d failures the pause is between %v and %v", n, least, most)
		}
		last = most
	}
	if last != maxRestartPause {
		t.Errorf("it grows to %v, want %v", last, maxRestartPause)
	}
}
