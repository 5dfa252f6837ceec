package sim

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Result is the outcome of a run.
type Result struct {
	Seed     Seed
	Wrong    []string // empty: all was well
	Plan     string
	Trace    string
	Injected map[string]int // how often each fault was
	Healed   time.Duration  // how long it took after the last fault until everything was true
	Virtual  time.Duration  // how long all took
	Writes   int            // PATCH calls
}

const (
	// heals is the longest time until all statuses are true: writes refused as forbidden or invalid are retried after 10 minutes.
	heals = 15 * time.Minute
	// healsDenied is that where some objects are denied for good: they may be tried before others, at every other pause.
	healsDenied = 45 * time.Minute
	mostDenied  = 300             // PATCH calls that are refused for good
	quiet       = 3 * time.Minute // in which nothing may be written then
)

// Run runs one seed in a bubble of virtual time. The daemons log to log.
func Run(t *testing.T, seed Seed, log zerolog.Logger) Result {
	t.Helper()
	var result Result
	synctest.Test(t, func(*testing.T) { result = run(seed, log) })
	return result
}

// simulation is one run.
type simulation struct {
	*network
	world    *world
	lease    *lease
	daemons  []string
	wildcard bool
	lives    []*life // by daemon; nil: it is down
	births   []int
}

func run(seed Seed, log zerolog.Logger) Result {
	began := time.Now()
	r := seed.generator(3)
	chaos := time.Duration(120+r.IntN(180)) * time.Second
	t := &trace{begin: began}
	j := &judge{trace: t}
	n := &network{seed: seed, trace: t, judge: j, log: log}
	w := newWorld(seed, t, j.wrote)
	j.world, j.net = w, n
	s := &simulation{network: n, world: w, lease: &lease{}, daemons: []string{"a", "b"}[:1+r.IntN(2)], wildcard: !w.typed && r.IntN(2) == 0}
	n.plan = newPlan(seed, began, chaos, s.daemons, names(w.targets))
	s.lives, s.births = make([]*life, len(s.daemons)), make([]int, len(s.daemons))

	for d := range s.daemons {
		w.within(10*time.Second, func() { s.up(d) })
	}
	for range r.IntN(5) {
		s.restart(r.IntN(len(s.daemons)), r.IntN(2) == 0, time.Duration(r.Int64N(int64(chaos))), time.Duration(r.Int64N(int64(40*time.Second))))
	}
	for range r.IntN(3) {
		at, i := time.Duration(r.Int64N(int64(chaos))), r.IntN(len(w.targets))
		if r.IntN(2) == 0 {
			w.after(at, func() { s.replaceTarget(i) })
			continue
		}
		back := time.Duration(r.Int64N(int64(time.Minute)))
		w.after(at, func() {
			s.removeTarget(i)
			w.after(back, func() { s.addTarget(i) })
		})
	}
	w.drawDenials(chaos)
	n.denies = w.deniesCall
	w.register(n.plan)
	w.plan(chaos)
	w.overdo(n.plan)
	w.vanish(n.plan)
	w.tenants(n.plan)
	w.busy(n.plan)
	w.live(chaos + 30*time.Second)
	result := s.heal()
	result.Seed, result.Plan = seed, n.plan.String()
	for _, l := range s.lives {
		l.stop(t)
	}
	w.close()
	time.Sleep(time.Minute) // late requests arrive at closed servers
	if limit := 3*j.others + 20*len(w.objects); result.Writes > limit {
		j.fail("%d PATCH calls, though there were only %d other writes", result.Writes, j.others)
	}
	if j.denied > mostDenied {
		j.fail("%d PATCH calls to objects that are denied", j.denied)
	}
	result.Wrong, result.Injected = j.verdict(), n.plan.counts()
	result.Virtual, result.Trace = time.Since(began), t.String()
	return result
}

// up starts a daemon that is down.
func (s *simulation) up(d int) {
	if s.lives[d] != nil {
		return
	}
	s.births[d]++
	l, err := s.begin(s.world, s.daemons[d], s.births[d], s.wildcard, s.lease)
	if err != nil {
		panic(fmt.Sprintf("a daemon that does not start: %v", err))
	}
	s.lives[d] = l
}

// restart ends a daemon at a time, and starts it after a pause.
func (s *simulation) restart(d int, kill bool, at, pause time.Duration) {
	s.world.after(at, func() {
		l := s.lives[d]
		if l == nil {
			return
		}
		s.lives[d] = nil
		if kill {
			s.plan.count("daemon killed")
			l.kill(s.trace)
		} else {
			s.plan.count("daemon stopped")
			l.stop(s.trace)
		}
		s.world.after(pause, func() { s.up(d) })
	})
}

// removeTarget removes a SyncTarget from all daemons.
func (s *simulation) removeTarget(i int) {
	t := s.world.targets[i]
	if t.gone {
		return
	}
	s.plan.count("SyncTarget removed")
	s.trace.note("%s is removed", t.name)
	s.world.change(t, func() { t.gone = true })
	s.each(func(ctx context.Context, l *life) error {
		l.mu.Lock()
		l.observed[i] = newObservations()
		l.mu.Unlock()
		return l.system.RemoveTarget(ctx, t.located.Name)
	})
}

func (s *simulation) addTarget(i int) {
	t := s.world.targets[i]
	if !t.gone {
		return
	}
	s.trace.note("%s is added", t.name)
	s.world.change(t, func() { t.gone = false })
	s.each(func(_ context.Context, l *life) error { return l.system.AddTarget(s.connect(l, t, i)) })
}

// replaceTarget puts an empty cluster in the place of a SyncTarget, under the same name.
func (s *simulation) replaceTarget(i int) {
	t := s.world.targets[i]
	if t.gone {
		return
	}
	s.plan.count("SyncTarget replaced under its name")
	s.trace.note("%s is replaced", t.name)
	all, err := t.server.Cluster("").List(namespaces)
	if err != nil {
		panic(err) // it is served
	}
	for _, ns := range all {
		if ns.Meta.Name != namespace {
			_ = t.server.Cluster("").Delete(namespaces, "", ns.Meta.Name)
		}
	}
	s.world.change(t, func() { t.become(t.located.UID + "+") })
	s.each(func(ctx context.Context, l *life) error {
		target, connection := s.connect(l, t, i)
		return l.system.ReplaceTarget(ctx, target, connection)
	})
	for _, o := range s.world.objects {
		s.world.spread(o)
	}
}

// each calls all daemons that are up, which takes them no time.
func (s *simulation) each(call func(context.Context, *life) error) {
	for _, l := range s.lives {
		if l == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if err := call(ctx, l); err != nil {
			s.judge.fail("%s: %v", l.name, err)
		}
		cancel()
	}
}

// heal waits until everything is true, and a while longer to see that nothing more is written.
func (s *simulation) heal() Result {
	for d := range s.daemons {
		s.up(d)
	}
	for i := range s.world.targets {
		s.addTarget(i)
	}
	s.world.steps = nil // planned steps are dropped
	s.world.serveAll(s.plan)
	s.world.healed.Store(true)
	s.world.settle()
	healed := time.Now()
	var wrong []string
	limit := heals
	if len(s.world.denials) > 0 {
		limit = healsDenied
	}
	for wrong = s.wrong(); len(wrong) > 0 && time.Since(healed) < limit; wrong = s.wrong() {
		time.Sleep(time.Second)
	}
	for _, line := range wrong {
		s.judge.fail("%v after everything was healed: %s", limit, line)
	}
	if len(wrong) > 0 {
		s.explain()
	}
	took := time.Since(healed)
	if len(wrong) == 0 {
		time.Sleep(30 * time.Second) // true statuses may be written once more, where a write was in flight or a contribution was stale
		before := s.judge.sends()
		time.Sleep(quiet)
		if n := s.judge.sends() - before; n > 0 {
			s.judge.fail("%d writes although nothing changes", n)
		}
		for _, line := range s.wrong() {
			s.judge.fail("true, and then not any more: %s", line)
		}
	}
	return Result{Healed: took, Writes: s.judge.sends()}
}

// wrong is all that is not true yet.
func (s *simulation) wrong() []string {
	lines := s.world.wrong()
	for _, l := range s.lives {
		lines = append(lines, l.discovering.wrong()...)
	}
	return lines
}

// explain adds to the trace the knowledge of the daemons about wrong objects.
func (s *simulation) explain() {
	for _, o := range s.world.objects {
		for _, l := range s.lives {
			e, err := l.system.Explain(context.Background(), o.kind.resource, ref.Upstream{
				Workspace: ref.Workspace(o.workspace), Namespace: o.namespace, Name: o.name,
			})
			s.trace.note("%s knows of %s: known %v, %s, %s, %q, %v", l.name, o, e.Known, e.Reason, e.Message, e.Suppressed, err)
		}
	}
}
