package runner

import (
	"time"

	"github.com/upstreamd/upstreamd/bench/load"
	"github.com/upstreamd/upstreamd/bench/measure"
	"github.com/upstreamd/upstreamd/bench/scenario"
	"github.com/upstreamd/upstreamd/bench/subject"
	"github.com/upstreamd/upstreamd/bench/wire"
)

// snapshot holds usage and counts up to a moment.
type snapshot struct {
	at     time.Time
	usage  measure.Usage
	server measure.Usage // of a real API server
	calls  wire.Calls
	cpu    time.Duration // of servers in this process
}

func (a *attempt) snapshot() snapshot {
	s := snapshot{at: time.Now(), usage: a.subject.usage(), calls: a.arena.Calls()}
	if counted, ok := a.arena.(interface{ Counted() (wire.Calls, error) }); ok {
		var err error
		if s.calls, err = counted.Counted(); err != nil {
			a.failed(err)
		}
	}
	if metered, ok := a.arena.(interface{ CPU() time.Duration }); ok {
		s.cpu = metered.CPU()
	}
	if pid := a.arena.Server(); pid != 0 {
		s.server, _ = measure.Process(pid) // it may have ended; then its share is 0
	}
	return s
}

// figures sums up the time between two moments.
func (a *attempt) figures(from, to snapshot, made load.Made) {
	took := to.at.Sub(from.at).Seconds()
	patches := to.calls.Patches - from.calls.Patches
	a.figure("seconds", took)
	a.figure("patches", float64(patches))
	a.figure("noOps", float64(to.calls.NoOps-from.calls.NoOps))
	a.figure("conflicts", float64(to.calls.Conflicts-from.calls.Conflicts))
	a.figure("calls", float64(patches+to.calls.Gets-from.calls.Gets+to.calls.Others-from.calls.Others+to.calls.Conflicts-from.calls.Conflicts))
	a.figure("patchesPerSecond", float64(patches)/took)
	cpu := to.usage.CPU - from.usage.CPU
	if _, here := a.arena.World(); here {
		a.figure("cpuSecondsWithServers", cpu.Seconds())
		cpu -= made.CPU + to.cpu - from.cpu
	}
	a.figure("cpuSeconds", cpu.Seconds())
	a.figure("cpuMicrosPerPatch", cpu.Seconds()*1e6/float64(max(1, patches)))
	if server := to.server.CPU - from.server.CPU; server > 0 {
		a.figure("serverCPUSeconds", server.Seconds())
		a.figure("cpuOverServerCPU", cpu.Seconds()/server.Seconds())
	}
	if slots := a.subject.slots(); slots > 0 {
		a.figure("slots", float64(slots))
	}
	a.curve(from.at, to.at)
	if a.name == subject.Bare {
		return
	}
	a.figure("events", float64(made.Changes))
	a.figure("eventsPerSecond", float64(made.Changes)/took)
	a.figure("eventsReadPerSecond", float64(made.Changes)/made.Took.Seconds())
	a.figure("eventsPerCPUSecond", float64(made.Changes)/cpu.Seconds())
	a.figure("cpuMicrosPerEvent", cpu.Seconds()*1e6/float64(max(1, made.Changes)))
	a.figure("callsPerEvent", a.out.Figures["calls"]/float64(max(1, made.Changes)))
	a.figure("patchesPerEvent", float64(patches)/float64(max(1, made.Changes)))
	unseen, _ := a.tracker.Unseen()
	a.figure("unseenChanges", float64(unseen))
	a.figure("generatorLateMillis", millis(made.Late))
	switch l := a.scenario.Load; l.Pattern {
	case scenario.Burst, scenario.Hammer, scenario.RollOut:
		turns := float64(int(l.For.Duration / l.Every.Duration))
		a.figure("patchesPerTurn", float64(patches)/turns)
		a.figure("callsPerTurn", a.out.Figures["calls"]/turns)
		if l.Pattern == scenario.Hammer {
			a.figure("patchesPerQuietWindow", float64(patches)/turns/max(1, l.Within.Seconds()/quietWindow(a.scenario).Seconds()))
		}
		a.latencies()
	case scenario.Steady, scenario.Noisy, scenario.Faulty:
		a.latencies()
	}
}

func quietWindow(s scenario.Scenario) time.Duration {
	if q := s.Quiet.Duration; q > 0 {
		return q
	}
	return 200 * time.Millisecond // upstreamd's default
}

// latencies are those from the time that a change was planned for to the PATCH that carries it being at the server.
func (a *attempt) latencies() {
	calm, troubled := a.tracker.Latencies(0), a.tracker.Latencies(1)
	for _, q := range []struct {
		name string
		of   float64
	}{{"p50", .5}, {"p90", .9}, {"p99", .99}, {"p999", .999}} {
		a.figure(q.name+"Millis", millis(measure.Quantile(calm, q.of)))
		if len(troubled) > 0 {
			a.figure(q.name+"MillisInTrouble", millis(measure.Quantile(troubled, q.of)))
		}
	}
	if len(troubled) > 0 {
		a.figure("p99InTroubleOverCalm", millis(measure.Quantile(troubled, .99))/millis(measure.Quantile(calm, .99)))
	}
	a.out.Latency = measure.Distribution(calm)
}

func (a *attempt) curve(from, to time.Time) {
	const parts = 40
	width := to.Sub(from).Seconds() / parts
	for i, n := range a.tracker.PatchesIn(from, to, parts) {
		a.out.Throughput = append(a.out.Throughput, measure.Point{X: (float64(i) + .5) * width, Y: n / width})
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
