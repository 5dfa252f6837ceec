package sim

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// plan is the schedule of faults of a run. Times are since the run's begin.
type plan struct {
	seed     Seed
	begin    time.Time
	chaos    time.Duration // after that nothing goes wrong
	episodes []episode
	outages  []outage

	vanishings []vanishing

	mu       sync.Mutex
	freezes  []outage       // of daemons: server is empty
	injected map[string]int // by name of the fault
}

// window is a span of time.
type window struct{ from, to time.Duration }

func (w window) holds(at time.Duration) bool { return w.from <= at && at < w.to }

// episode is a time in which a fault hits a share of the calls of one daemon (all if empty) to one server.
type episode struct {
	window
	name           string // observing episodes apart
	fault          *fault
	daemon, server string
}

// outage is a time in which nothing passes between one daemon (all if empty) and one server.
type outage struct {
	window
	name           string
	daemon, server string
	silent         bool // nothing is refused: there is no answer
}

// The outages.
const (
	away      = "SyncTarget away for minutes"
	flapping  = "SyncTarget flapping every 5 s"
	together  = "all SyncTargets away, back at once"
	swallowed = "SyncTarget silent, connections stay open"
	partition = "upstream away"
	frozen    = "daemon frozen for 60 s (SIGSTOP, SIGCONT)"
)

// newPlan draws the faults between daemons, "upstream" and targets.
func newPlan(seed Seed, begin time.Time, chaos time.Duration, daemons, targets []string) *plan {
	p := &plan{seed: seed, begin: begin, chaos: chaos, injected: map[string]int{}}
	r := seed.generator(1)
	span := func(least, most time.Duration) window {
		lasts := least + time.Duration(r.Int64N(int64(most-least)))
		from := time.Duration(r.Int64N(int64(chaos)))
		return window{from, min(from+lasts, chaos)}
	}
	anyOf := func(names []string) string { return names[r.IntN(len(names))] }
	for range 4 + r.IntN(6) {
		f := &faults[r.IntN(len(faults))]
		e := episode{window: span(5*time.Second, 60*time.Second), fault: f}
		servers := append([]string{"upstream"}, targets...)
		switch f.where {
		case atUpstream:
			servers = servers[:1]
		case atTargets:
			servers = servers[1:]
		case anywhere:
		}
		e.server = anyOf(servers)
		if r.IntN(4) == 0 {
			e.daemon = anyOf(daemons)
		}
		e.name = f.name + "/" + e.daemon + "/" + e.server + "/" + e.from.String()
		p.episodes = append(p.episodes, e)
	}
	for range r.IntN(3) {
		p.outage(r.IntN(6), span(30*time.Second, 150*time.Second), anyOf(targets), targets, r.IntN(4) == 0, anyOf(daemons))
	}
	if r.IntN(3) == 0 {
		w := span(59*time.Second, 61*time.Second)
		p.freezes = append(p.freezes, outage{window: w, name: frozen, daemon: anyOf(daemons)})
	}
	// Each of these draws from a generator of its own, so that the rest of a seed's plan does not depend on it.
	p.drawVanishings(targets)
	p.drawRestarts(targets)
	p.drawRefusals(targets)
	return p
}

func (p *plan) outage(kind int, w window, target string, targets []string, oneDaemon bool, daemon string) {
	if !oneDaemon {
		daemon = ""
	}
	switch kind {
	case 0, 1:
		p.outages = append(p.outages, outage{w, away, daemon, target, false})
	case 2:
		for from := w.from; from < w.to; from += 10*time.Second + 7*time.Millisecond {
			p.outages = append(p.outages, outage{window{from, min(from+5*time.Second, w.to)}, flapping, daemon, target, false})
		}
	case 3:
		for _, t := range targets {
			p.outages = append(p.outages, outage{w, together, daemon, t, false})
		}
	case 4:
		p.outages = append(p.outages, outage{w, swallowed, daemon, target, true})
	case 5:
		p.outages = append(p.outages, outage{w, partition, daemon, "upstream", false})
	}
}

// String lists the faults of a plan, one per line.
func (p *plan) String() string {
	var lines []string
	at := func(w window) string {
		return w.from.Round(time.Millisecond).String() + " to " + w.to.Round(time.Millisecond).String()
	}
	between := func(daemon, server string) string {
		if daemon == "" {
			daemon = "all"
		}
		return daemon + " → " + server
	}
	for _, e := range p.episodes {
		lines = append(lines, at(e.window)+": "+e.fault.name+", "+between(e.daemon, e.server))
	}
	for _, o := range slices.Concat(p.outages, p.freezes) {
		lines = append(lines, at(o.window)+": "+o.name+", "+between(o.daemon, o.server))
	}
	for _, v := range p.vanishings {
		lines = append(lines, at(v.window)+": "+vanished+", "+v.kind.resource.Resource+" of "+v.server)
	}
	return strings.Join(lines, "\n")
}

func (p *plan) now() time.Duration { return time.Since(p.begin) }

// count notes that a fault was injected.
func (p *plan) count(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.injected[name]++
}

func (p *plan) counts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.injected)
}

// harm draws the failure of the n-th call of its kind; name is empty for none.
func (p *plan) harm(daemon, server string, c call, kinds func(harm) bool, n int) (h harm, name string) {
	now := p.now()
	for i := range p.episodes {
		e := &p.episodes[i]
		if !e.holds(now) || e.server != server || e.daemon != "" && e.daemon != daemon || !e.fault.hits(c) {
			continue
		}
		d := p.seed.draw(e.name+"/"+daemon+"/"+c.String(), n)
		if !d.below(e.fault.share) {
			continue
		}
		if h := e.fault.harm(d.also(1)); kinds(h) {
			p.count(e.fault.name)
			return h, e.fault.name
		}
	}
	return harm{}, ""
}

// out is the outage that a daemon suffers with a server now; nil if there is none.
func (p *plan) out(daemon, server string) *outage {
	now := p.now()
	for i := range p.outages {
		if o := &p.outages[i]; o.holds(now) && o.server == server && (o.daemon == "" || o.daemon == daemon) {
			p.count(o.name)
			return o
		}
	}
	return nil
}

// nextOut is how long a connection that is opened now has until an outage breaks it; ok is false if none will.
func (p *plan) nextOut(daemon, server string) (in time.Duration, next *outage) {
	now := p.now()
	for i := range p.outages {
		o := &p.outages[i]
		if o.server == server && (o.daemon == "" || o.daemon == daemon) && o.from > now && (next == nil || o.from-now < in) {
			in, next = o.from-now, o
		}
	}
	return in, next
}

// freeze freezes a daemon from now on.
func (p *plan) freeze(daemon string, lasts time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.freezes = append(p.freezes, outage{window: window{now, now + lasts}, name: frozen, daemon: daemon})
}

// thaws is how long a daemon stays frozen from now on.
func (p *plan) thaws(daemon string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for i := range p.freezes {
		if f := &p.freezes[i]; f.daemon == daemon && f.holds(now) {
			p.injected[f.name]++
			return f.to - now
		}
	}
	return 0
}
