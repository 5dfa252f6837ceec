// Package arena puts up the servers of a scenario, wherever they are to run, and makes them look alike to load and measurements.
package arena

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/upstreamd/upstreamd/bench/baselines/world"
	"github.com/upstreamd/upstreamd/bench/scenario"
	"github.com/upstreamd/upstreamd/bench/subject"
	"github.com/upstreamd/upstreamd/bench/wire"
)

// Arena is upstream and the SyncTargets.
type Arena interface {
	Change(number int) (changes int) // of a copy
	Waiting() int                    // unread events of SyncTargets
	OnPatch(report func(wire.Patch)) // set before anybody patches
	Calls() wire.Calls
	Check() (wrong int, first error) // compares the published statuses with the copies
	Delay(by func(workspace int) time.Duration)
	Silence(target int, silent bool)
	// Server is the process of an API server that is real, 0 if there is none.
	Server() int
	// World is for a subject in this process; ok is false where it has to be in another.
	World() (w world.World, ok bool)
	Spec() subject.Spec
	Close()
}

// Options are the flags of the command line.
type Options struct {
	Kubeconfig string // of an upstream that exists already: any API server, or a workspace of a kcp
}

// Open starts the servers of a scenario.
func Open(ctx context.Context, s scenario.Scenario, o Options) (Arena, error) {
	switch s.Servers {
	case scenario.Memory:
		return drawn{wired: wire.New(s.Shape), s: s}, nil
	case scenario.Loopback:
		w := wire.New(s.Shape)
		return drawn{wired: w, s: s, apart: true}, w.Listen()
	case scenario.Memapi, scenario.MemapiUp:
		return openMemapi(s)
	case scenario.Sandbox:
		return openSandbox(ctx, s)
	case scenario.Existing:
		if o.Kubeconfig == "" {
			return nil, errors.New("servers: kubeconfig needs the flag --kubeconfig")
		}
		return openReal(ctx, s, subject.Server{Kubeconfig: o.Kubeconfig})
	}
	return nil, fmt.Errorf("servers %q are not known", s.Servers)
}

// drawn is a world with servers of package wire in this process.
type drawn struct {
	*wired
	s     scenario.Scenario
	apart bool // the subject runs in another process
}

func (d drawn) Server() int { return 0 }

func (d drawn) World() (world.World, bool) {
	w := common(d.s)
	w.Upstream = d.Upstream()
	for n := range d.s.Shape.SyncTargets {
		w.SyncTargets = append(w.SyncTargets, d.SyncTarget(n))
	}
	return w, !d.apart
}

func (d drawn) Spec() subject.Spec {
	upstream, targets := d.URLs()
	return subject.Spec{World: common(d.s), UpstreamServer: subject.Server{URL: upstream}, TargetURLs: targets}
}

func common(s scenario.Scenario) world.World {
	return world.World{Shape: s.Shape, Concurrency: s.Concurrency, Quiet: s.Quiet.Duration}
}

// wired is wire's world under a name that leaves World free.
type wired = wire.World
