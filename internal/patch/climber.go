package patch

import (
	"slices"
	"time"
)

const (
	window   = time.Second      // the least time that a throughput is measured over
	turnover = 4                // and the least number of calls, for each slot
	believed = 30 * time.Second // how long it is believed
	asGood   = 0.97             // a lower level is better if it still does this much of the best throughput
	patience = 5 * time.Second  // after an overload, higher levels are not tried for so long
)

// climber finds the smallest number of calls at a time at which an API server's throughput has stopped to grow: beyond it, calls only
// wait at the server, where nothing overtakes them or takes them back. While all slots are taken it measures the throughput, and that of
// the neighbouring levels now and then, and goes to the lowest that does nearly as well as the best. It begins at the top.
type climber struct {
	levels []level // from one slot to the most
	at     int     // the present one

	since time.Time // when this measurement began; zero: there is none, as not all slots are taken
	calls int       // that have ended since

	retreated time.Time // when the server was overloaded last
}

// level is a number of calls at a time, and its measurements.
type level struct {
	slots int
	rate  float64 // calls a second
	taken time.Time
}

// newClimber makes levels that are a quarter apart.
func newClimber(most int) climber {
	var levels []level
	for n := most; n > 0; n = n * 3 / 4 {
		levels = append(levels, level{slots: n})
	}
	slices.Reverse(levels)
	return climber{levels: levels, at: len(levels) - 1}
}

func (c *climber) limit() int { return c.levels[c.at].slots }

// fill says that all slots are taken.
func (c *climber) fill(now time.Time) {
	if c.since.IsZero() {
		c.since, c.calls = now, 0
	}
}

// ended counts a call. Full says that all slots were taken until now: else the server could have done more.
func (c *climber) ended(full bool, now time.Time) {
	switch {
	case !full:
		c.since = time.Time{}
		return
	case c.since.IsZero():
		return
	}
	c.calls++
	if took := now.Sub(c.since); took >= window && c.calls >= turnover*c.limit() {
		c.levels[c.at].measured(float64(c.calls)/took.Seconds(), now)
		c.at = c.next(now)
		c.since, c.calls = now, 0
	}
}

func (l *level) measured(rate float64, now time.Time) {
	if l.known(now) {
		rate = (rate + l.rate) / 2
	}
	l.rate, l.taken = rate, now
}

func (l *level) known(now time.Time) bool { return !l.taken.IsZero() && now.Sub(l.taken) < believed }

// next is the level to go to from the present one, which was just measured.
func (c *climber) next(now time.Time) int {
	best := c.at
	for i := range c.levels {
		if l := &c.levels[i]; l.known(now) && l.rate > c.levels[best].rate {
			best = i
		}
	}
	enough := asGood * c.levels[best].rate
	lower, higher := c.at-1, c.at+1
	switch {
	case lower >= 0 && c.levels[lower].known(now) && c.levels[lower].rate >= enough:
		return lower
	case c.levels[c.at].rate < enough && best < c.at:
		return lower
	case c.levels[c.at].rate < enough:
		return higher
	case lower >= 0 && !c.levels[lower].known(now):
		return lower
	case higher < len(c.levels) && !c.levels[higher].known(now) && now.Sub(c.retreated) >= patience:
		return higher
	}
	return c.at
}

// retreat halves the slots, as the server said at now that it is overloaded. Calls that began before the last retreat say nothing new.
func (c *climber) retreat(began, now time.Time) {
	c.since = time.Time{}
	if !c.retreated.IsZero() && !began.After(c.retreated) {
		return
	}
	c.retreated = now
	half := c.limit() / 2
	for c.at > 0 && c.limit() > half {
		c.levels[c.at].taken = time.Time{}
		c.at--
	}
	c.levels[c.at].taken = time.Time{}
}
