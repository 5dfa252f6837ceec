package supervisor

import (
	"cmp"
	"slices"
	"time"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// freshness decides for each resource of one SyncTarget whether its reports are up to date. It has no clock.
//
// A resource is live while three conditions hold: its own list is complete and its watch open, so are those of the Namespaces, and the
// connection has answered within the last probe interval. A resource that is not live for the grace period is stale. It is fresh again as
// soon as it is live; after two stalenesses within flapMemory only once it has been live for the grace period.
//
// A watch that exceeds a limit makes its resource stale at once, and for the grace period after it keeps to its limits again: a SyncTarget
// that exceeds a limit again and again is stale all the time.
type freshness struct {
	grace, interval time.Duration // interval: between two probes
	contact         time.Time     // when the connection answered last

	connection condition
	namespaces condition
	resources  map[ref.Resource]*resourceFreshness
}

// flapMemory is how long a staleness counts for the damping of the next one.
const flapMemory = 10 * time.Minute

// condition is one that has to hold for a resource to be live.
type condition struct {
	broken time.Time // since when it does not hold; zero: it holds
	held   time.Time // since when it holds again
	over   ref.Limit // the limit that was exceeded, until the condition has held for the grace period
	cause  error     // of the latest failure
}

func (c *condition) breaks(since time.Time, cause error) {
	if c.broken.IsZero() {
		c.broken = since
	}
	c.held, c.cause = time.Time{}, cmp.Or(cause, c.cause)
}

func (c *condition) holds(now time.Time) {
	if c.held.IsZero() {
		c.held = now
	}
	c.broken, c.cause = time.Time{}, nil
}

// mended reports whether a limit that was exceeded has been kept to for the grace period.
func (c *condition) mended(now time.Time, grace time.Duration) bool {
	return c.over != "" && c.broken.IsZero() && now.Sub(c.held) >= grace
}

// resourceFreshness is how up to date one resource is.
type resourceFreshness struct {
	watch condition

	broken time.Time // since when a condition does not hold; zero: live
	live   time.Time // since when all hold
	known  bool      // it was live or stale once: before, nothing is known
	stale  bool
	since  time.Time // of the last contact, if stale
	over   ref.Limit // if stale for that reason

	began, before time.Time // when the last staleness began, and the one before
	announced     bool      // as stale, in the log and to subscribers
}

func newFreshness(grace, interval time.Duration, now time.Time) *freshness {
	return &freshness{
		grace: grace, interval: interval, contact: now, namespaces: condition{broken: now}, resources: map[ref.Resource]*resourceFreshness{},
	}
}

// add begins with a resource: its watch is being opened.
func (f *freshness) add(now time.Time, r ref.Resource) {
	f.resources[r] = &resourceFreshness{watch: condition{broken: now}}
}

func (f *freshness) remove(r ref.Resource) { delete(f.resources, r) }

// condition is that of the watch of a resource; without a resource, of the Namespaces. nil: it is not watched.
func (f *freshness) condition(r ref.Resource) *condition {
	if r == (ref.Resource{}) {
		return &f.namespaces
	}
	if known := f.resources[r]; known != nil {
		return &known.watch
	}
	return nil
}

// watchBroke takes that a watch is not live. It reports whether another limit is exceeded than before.
func (f *freshness) watchBroke(r ref.Resource, since time.Time, over ref.Limit, cause error) (exceeded bool) {
	c := f.condition(r)
	if c == nil {
		return false
	}
	c.breaks(since, cause)
	exceeded = over != "" && over != c.over
	c.over = cmp.Or(over, c.over)
	return exceeded
}

// watchLive takes that a watch is live, which is a contact.
func (f *freshness) watchLive(now time.Time, r ref.Resource) {
	if c := f.condition(r); c != nil {
		c.holds(now)
		f.contact = now
		f.connection.holds(now)
	}
}

// probed takes the outcome of a probe, and when the connection answered last. Any answer is a contact, while probes fail too.
func (f *freshness) probed(now, contact time.Time, err error) {
	if err == nil {
		contact = now
	}
	if contact.After(f.contact) {
		f.contact = contact
	}
	if now.Sub(f.contact) > f.interval {
		f.connection.breaks(f.contact, err)
	} else {
		f.connection.holds(now)
	}
}

// verdicts are the conclusions of an update.
type verdicts struct {
	changed []ref.Resource // resources of which the freshness is to be reported
	mended  []ref.Resource // watches that kept to their limits for the grace period; without a resource, that of the Namespaces
}

// update decides anew, as of now.
func (f *freshness) update(now time.Time) (v verdicts) {
	mend := func(r ref.Resource, c *condition) {
		if c.mended(now, f.grace) {
			c.over = ""
			v.mended = append(v.mended, r)
		}
	}
	mend(ref.Resource{}, &f.namespaces)
	for _, r := range f.sorted() {
		k := f.resources[r]
		mend(r, &k.watch)
		if f.decide(now, k) {
			v.changed = append(v.changed, r)
		}
	}
	return v
}

// sorted are the resources in an order that does not depend on a map.
func (f *freshness) sorted() []ref.Resource {
	list := make([]ref.Resource, 0, len(f.resources))
	for r := range f.resources {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b ref.Resource) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Version, b.Version))
	})
	return list
}

// decide reports whether the freshness of a resource, or the reason, has changed.
func (f *freshness) decide(now time.Time, k *resourceFreshness) (changed bool) {
	f.assess(now, k)
	over := cmp.Or(f.namespaces.over, k.watch.over)
	known := k.known
	k.known = known || k.broken.IsZero()
	switch {
	case !k.stale && (over != "" || !k.broken.IsZero() && now.Sub(k.broken) >= f.grace):
		k.known, k.stale = true, true
		k.since = k.broken
		if k.broken.IsZero() {
			k.since = now
		}
		k.before, k.began = k.began, now
		k.over = over
		return true
	case k.stale && over == "" && k.broken.IsZero() && (!k.flaps() || now.Sub(k.live) >= f.grace):
		k.stale, k.over = false, ""
		return true
	case k.stale && over != k.over:
		k.over = over
		return true
	}
	return k.known != known
}

// assess brings up to date since when a resource is live or broken.
func (f *freshness) assess(now time.Time, k *resourceFreshness) {
	var broken time.Time
	for _, c := range []*condition{&f.connection, &f.namespaces, &k.watch} {
		if !c.broken.IsZero() && (broken.IsZero() || c.broken.Before(broken)) {
			broken = c.broken
		}
	}
	switch {
	case broken.IsZero() && k.live.IsZero():
		k.broken, k.live = time.Time{}, now
	case !broken.IsZero() && k.broken.IsZero():
		k.broken, k.live = broken, time.Time{}
	}
}

// flaps reports whether the last two stalenesses began close to each other.
func (k *resourceFreshness) flaps() bool {
	return !k.before.IsZero() && k.began.Sub(k.before) < flapMemory
}

// due is when update is needed if nothing happens until then; zero: not at all.
func (f *freshness) due() (at time.Time) {
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	mending := func(c *condition) {
		if c.over != "" && c.broken.IsZero() {
			sooner(c.held.Add(f.grace))
		}
	}
	mending(&f.namespaces)
	for _, k := range f.resources {
		mending(&k.watch)
		switch {
		case !k.stale && !k.broken.IsZero():
			sooner(k.broken.Add(f.grace))
		case k.stale && k.broken.IsZero() && k.flaps():
			sooner(k.live.Add(f.grace))
		}
	}
	return at
}

// cause is the error that made a resource stale; nil: there was none.
func (f *freshness) cause(r ref.Resource) error {
	return cmp.Or(f.resources[r].watch.cause, f.namespaces.cause, f.connection.cause)
}

// anyStale reports whether a resource is stale.
func (f *freshness) anyStale() bool {
	for _, k := range f.resources {
		if k.stale {
			return true
		}
	}
	return false
}
