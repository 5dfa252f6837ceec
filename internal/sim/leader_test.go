package sim

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Two daemons compete for the lease. Again and again the leader is paused for a minute just when it sends a write; the other one takes over, and
// the inputs of the write change, or change back so that no write is due. No decision of the paused one overwrites a later one when it goes on.
func TestAPausedLeaderOverwritesNothing(t *testing.T) {
	all := pauses{}
	for seed := Seed(1); seed <= pausedSeeds; seed++ {
		synctest.Test(t, func(t *testing.T) { newPaused(t, seed, &all).run() })
	}
	t.Logf("%d pauses of the leader between decision and sending, %d on the way to the socket: %d stale overwrites; %d writes slipped through where no other had written since, and were repaired",
		all.before, all.within, all.overwrites, all.slipped)
	if all.before == 0 || all.within == 0 || all.slipped == 0 || all.overwrites > 0 { // none that slips through: the pauses were not long enough
		t.Fail()
	}
}

// pauses are counted.
type pauses struct {
	before     int // the lease was checked, the call not made
	within     int // the call was made, and goes out when the process goes on though its deadline has passed
	overwrites int // writes of a paused daemon that took place though another had written since, or that were not made yet
	slipped    int // writes on the way to the socket that took place where no other had written
}

// paused is a simulation in which nothing goes wrong but that.
type paused struct {
	*simulation
	*pauses

	t    *testing.T
	rand *rand.Rand

	mu    sync.Mutex
	next  *object // the next write to it is where the leader is paused
	late  bool    // on the way to the socket
	hit   *life   // it was paused there; nil: not yet
	wrote map[*object]written
}

// written is a write of a daemon that took place.
type written struct {
	by *life
	at time.Time
}

// pause is how long a daemon is paused.
const pauseLasts = 60 * time.Second

func newPaused(t *testing.T, seed Seed, all *pauses) *paused {
	began := time.Now()
	tr := &trace{begin: began}
	j := &judge{trace: tr}
	n := &network{seed: seed, trace: tr, judge: j, log: zerolog.Nop(), plan: &plan{seed: seed, begin: began, injected: map[string]int{}}}
	p := &paused{t: t, pauses: all, rand: seed.generator(4), wrote: map[*object]written{}}
	w := newWorld(seed, tr, func(write memapi.Write) {
		j.wrote(write)
		p.observe(write)
	})
	n.strike = p.strike
	j.world, j.net = w, n
	p.simulation = &simulation{network: n, world: w, lease: &lease{}, daemons: []string{"a", "b"}}
	p.lives, p.births = make([]*life, 2), make([]int, 2)
	return p
}

func (p *paused) run() {
	for d := range p.daemons {
		p.up(d)
	}
	p.world.settle()
	p.true("at the beginning")
	for range 10 {
		p.once()
	}
	for _, l := range p.lives {
		l.stop(p.trace)
	}
	p.world.close()
	time.Sleep(2 * pauseLasts) // late requests arrive at closed servers
	for _, wrong := range p.judge.verdict() {
		p.t.Errorf("seed %d: %s", p.seed, wrong)
	}
	if p.t.Failed() {
		p.t.Log(p.trace)
	}
}

// once pauses the leader in the midst of a write.
func (p *paused) once() {
	o, target, back := p.object()
	if o == nil {
		return
	}
	p.world.report(o, target, 3)
	p.true("before")
	p.aim(o, p.rand.IntN(2) == 0)
	p.world.report(o, target, 7)
	early := p.rand.IntN(2) == 0
	if time.Sleep(5 * time.Second); early { // there is no leader
		p.world.report(o, target, back)
	}
	time.Sleep(20 * time.Second) // the lease has gone to the other one
	hit := p.struck()
	if hit == nil {
		p.t.Fatalf("seed %d: nothing was written for %s", p.seed, o)
	}
	if until, leads := hit.elector.holds(); leads {
		p.t.Fatalf("seed %d: %s leads until %v though it is paused", p.seed, hit.name, until)
	}
	if !early {
		p.world.report(o, target, back)
	}
	time.Sleep(pauseLasts)
	p.true("after")
}

// object picks an object, one of its SyncTargets, and the value that this reports while the leader is paused: the published one, or a new one.
func (p *paused) object() (o *object, target, back int) {
	for range 100 {
		o = p.world.objects[p.rand.IntN(len(p.world.objects))]
		if placed := o.placed(p.world); len(placed) == 1 || len(placed) > 1 && o.kind != pods { // else another one's Pod may be published
			target = placed[p.rand.IntN(len(placed))]
			if _, err := p.world.targets[target].server.Cluster("").Get(o.kind.resource, p.world.downNamespace(o, target), o.name); err == nil {
				return o, target, []int{3, 5}[p.rand.IntN(2)]
			}
		}
	}
	return nil, 0, 0
}

// aim has the next write to an object paused.
func (p *paused) aim(o *object, late bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.late, p.hit = o, late, nil
}

// struck is the life that was paused since; nil: none yet.
func (p *paused) struck() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hit
}

// strike pauses the life that is about to write the object.
func (p *paused) strike(l *life, c call) (late time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == nil || p.world.find(p.next.kind, c) != p.next {
		return 0
	}
	p.next, p.hit = nil, l
	p.plan.freeze(l.daemon, pauseLasts)
	p.trace.note("%s is paused: %s", l.name, c)
	if p.late {
		p.within++
		return pauseLasts
	}
	p.before++
	return 0
}

// observe counts writes that took place long after they were decided.
func (p *paused) observe(w memapi.Write) {
	if w.Manager != ref.FieldManager {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.network.writing
	o := p.world.find(kindOf(w.Resource.Resource), s.call)
	last := p.wrote[o]
	p.wrote[o] = written{s.life, time.Now()}
	switch {
	case time.Since(s.called) < leaseDeadline:
	case !p.late || last.by != s.life && last.at.After(s.called):
		p.overwrites++
		p.trace.note("WRONG: a stale overwrite by %s: %s", s.life.name, s.call)
	default:
		p.slipped++
	}
}

// true waits until everything is true.
func (p *paused) true(when string) {
	began := time.Now()
	for wrong := p.world.wrong(); len(wrong) > 0; wrong = p.world.wrong() {
		if time.Since(began) > 30*time.Second {
			p.t.Fatalf("seed %d, %s: %s\n%s", p.seed, when, lines(wrong), p.trace)
		}
		time.Sleep(time.Second)
	}
}
