package supervisor

import "time"

// vitals tells from what was heard whether a SyncTarget is stale. It has no clock.
type vitals struct {
	grace time.Duration // without a sign of life: stale; of health without a break: fresh again

	heard   time.Time // the newest sign of life
	healthy time.Time // since when every probe succeeded; zero: the last one failed
	stale   bool
}

// newVitals starts with the benefit of the doubt.
func newVitals(grace time.Duration, now time.Time) *vitals {
	return &vitals{grace: grace, heard: now}
}

// observe takes what the connection last heard and how a probe went, and reports whether staleness has changed.
func (v *vitals) observe(now, heard time.Time, probe error) (changed bool) {
	if heard.After(v.heard) {
		v.heard = heard
	}
	switch {
	case probe != nil:
		v.healthy = time.Time{}
	default:
		v.heard = now
		if v.healthy.IsZero() {
			v.healthy = now
		}
	}
	before := v.stale
	switch {
	case now.Sub(v.heard) >= v.grace:
		v.stale = true
	case v.stale && !v.healthy.IsZero() && now.Sub(v.healthy) >= v.grace:
		v.stale = false
	}
	return v.stale != before
}
