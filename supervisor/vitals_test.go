package supervisor

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var errAway = errors.New("connection refused")

// observeFor feeds a probe every 10 s and reports at which offsets staleness changed.
func observeFor(v *vitals, from time.Time, probes []error) (changes []time.Duration) {
	for n, probe := range probes {
		now := from.Add(time.Duration(n+1) * 10 * time.Second)
		if v.observe(now, time.Time{}, probe) {
			changes = append(changes, now.Sub(from))
		}
	}
	return changes
}

func TestStalenessHasAGraceBothWays(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	away, here := errAway, error(nil)
	for name, c := range map[string]struct {
		probes []error
		want   []time.Duration
	}{
		"healthy":                         {[]error{here, here, here, here, here, here}, nil},
		"a short outage":                  {[]error{here, away, away, away, here, here}, nil},
		"an outage":                       {[]error{here, away, away, away, away, away}, []time.Duration{50 * time.Second}},
		"back after an outage":            {[]error{away, away, away, away, here, here, here, here, here, here}, []time.Duration{40 * time.Second, 90 * time.Second}},
		"a break starts the health anew":  {[]error{away, away, away, away, here, here, here, away, here, here, here, here}, []time.Duration{40 * time.Second}},
		"away from the start":             {[]error{away, away, away, away}, []time.Duration{40 * time.Second}},
		"flapping does not flap the fact": {[]error{here, away, here, away, here, away, here, away, here, away}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := observeFor(newVitals(40*time.Second, start), start, c.probes)
			if len(got) != len(c.want) {
				t.Fatalf("staleness changed at %v, want %v", got, c.want)
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("staleness changed at %v, want %v", got, c.want)
				}
			}
		})
	}
}

// Bytes on a watch are a contact, even while probes fail.
func TestBytesOnAWatchCountAsContact(t *testing.T) {
	start := time.Now()
	v := newVitals(40*time.Second, start)
	for n := range 20 {
		now := start.Add(time.Duration(n) * 10 * time.Second)
		if v.observe(now, now.Add(-time.Second), errAway) {
			t.Fatalf("stale after %v though it answered a second ago", now.Sub(start))
		}
	}
}

// With any sequence of probes, staleness changes at most once per grace period.
func TestStalenessNeverFlaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		var probes []error
		for _, away := range rapid.SliceOfN(rapid.Bool(), 1, 200).Draw(t, "away") {
			if away {
				probes = append(probes, errAway)
			} else {
				probes = append(probes, nil)
			}
		}
		changes := observeFor(newVitals(40*time.Second, start), start, probes)
		for i := 1; i < len(changes); i++ {
			if changes[i]-changes[i-1] < 40*time.Second {
				t.Fatalf("changed at %v", changes)
			}
		}
	})
}

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
