package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/copier"
	"github.com/upstreamd/upstreamd/sandbox/daemon"
	"github.com/upstreamd/upstreamd/sandbox/front"
	"github.com/upstreamd/upstreamd/sandbox/oracle"
	"github.com/upstreamd/upstreamd/sandbox/simulator"
	"github.com/upstreamd/upstreamd/sandbox/topology"
)

const (
	settleTimeout   = 60 * time.Second // for the SyncTargets, after the load has ended
	convergeTimeout = 30 * time.Second // for the published statuses, after the SyncTargets have settled
)

var errIncorrect = errors.New("published statuses differ from the SyncTargets")

// demo is a running demo.
type demo struct {
	options    options
	sandbox    *sandbox.Sandbox
	workspaces []topology.Workspace
	targets    []topology.SyncTarget
	copier     *copier.Copier
	simulator  *simulator.Simulator
	daemon     *daemon.Daemon
}

// run runs the demo from its start to its summary. The context load ends the load; ctx ends everything at once.
func run(ctx, load context.Context, o options) (err error) {
	fmt.Printf("starting %d workspaces and %d SyncTargets, a real API server each (seed %d)\n", len(workspaceNames), len(syncTargetNames), o.seed)
	d := &demo{options: o}
	if d.sandbox, err = sandbox.Start(ctx, sandbox.Options{Workspaces: workspaceNames, SyncTargets: syncTargetNames, Dir: o.dir}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.sandbox.Stop()) }()
	d.workspaces, d.targets = d.sandbox.Topology()

	if err := populate(ctx, d.workspaces, d.targets, o.deployments); err != nil {
		return err
	}
	d.copier, err = copier.Start(ctx, copier.Options{Workspaces: d.workspaces, SyncTargets: d.targets, Resources: resources})
	if err != nil {
		return err
	}
	defer d.copier.Stop()
	if err := d.copier.Settle(ctx); err != nil {
		return err
	}
	if d.daemon, err = startDaemon(ctx, o.daemon, d.sandbox); err != nil {
		return err
	}
	defer d.daemon.Kill() // a no-op after an orderly stop
	d.simulator, err = simulator.Start(ctx, simulator.Options{SyncTargets: d.targets, Rate: o.rate, Seed: o.seed})
	if err != nil {
		return err
	}
	defer d.simulator.Stop()

	var s summary
	if s.load, err = d.watchLoad(ctx, load); err != nil {
		return err
	}
	if err := d.check(ctx, &s); err != nil {
		return err
	}
	s.print(os.Stdout)
	if s.incorrect != nil {
		err = errIncorrect
	}
	return errors.Join(stopDaemon(ctx, d.daemon), err)
}

// watchLoad displays the load until it ends, and returns its duration.
func (d *demo) watchLoad(ctx, load context.Context) (time.Duration, error) {
	if d.options.runFor > 0 {
		var cancel context.CancelFunc
		load, cancel = context.WithTimeout(load, d.options.runFor)
		defer cancel()
	}
	watching, stopWatching := context.WithCancel(ctx)
	b, err := openBoard(watching, d.copier, d.workspaces, d.targets)
	if err != nil {
		stopWatching()
		return 0, err
	}
	defer func() {
		stopWatching()
		b.close()
	}()
	users := make(chan error, 1)
	go func() { users <- scale(load, d.workspaces, d.options.seed) }()

	started := time.Now()
	display := openView(os.Stdout, d.options.plain)
	defer display.close()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		m, err := readMetrics(ctx, d.daemon)
		if err != nil {
			return 0, err
		}
		display.draw(frame{
			elapsed: time.Since(started), changes: d.changes(), metrics: m, patches: d.patches(), targets: b.targets, rows: b.rows(),
		})
		select {
		case <-tick.C:
		case err := <-users: // ends with the load
			return time.Since(started), errors.Join(err, ctx.Err())
		case <-d.daemon.Done():
			return 0, died(d.daemon)
		}
	}
}

// check settles the SyncTargets and compares the published statuses with them.
func (d *demo) check(ctx context.Context, s *summary) error {
	fmt.Println("the load has ended; settling the SyncTargets")
	s.changes = d.changes()
	settling, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	d.simulator.Pause()
	if err := d.copier.Settle(settling); err != nil {
		return errors.Join(err, died(d.daemon))
	}
	if err := d.simulator.Settle(settling); err != nil {
		return errors.Join(err, died(d.daemon))
	}
	if err := d.converge(ctx, s); err != nil {
		return err
	}
	s.patches = d.patches()
	var err error
	if s.metrics, err = readMetrics(ctx, d.daemon); err != nil {
		return err
	}
	return died(d.daemon)
}

// converge checks until every status is right or convergeTimeout is over; then the summary lists the wrong ones.
func (d *demo) converge(ctx context.Context, s *summary) error {
	calculator := oracle.Oracle{Workspaces: d.workspaces, SyncTargets: d.targets}
	started := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		report, err := calculator.Check(ctx)
		if err != nil {
			return err
		}
		s.checked, s.incorrect, s.settled = report.Checked, report.Err(), time.Since(started)
		if s.checked < d.options.deployments {
			s.incorrect = errors.Join(s.incorrect, fmt.Errorf("only %d objects could be checked", s.checked))
		}
		if s.incorrect == nil || s.settled > convergeTimeout {
			return nil
		}
		select {
		case <-tick.C:
		case <-d.daemon.Done():
			return died(d.daemon)
		}
	}
}

func (d *demo) changes() int {
	writes := 0
	for _, s := range d.simulator.Stats() {
		writes += s.Writes
	}
	return writes
}

func (d *demo) patches() int { return d.sandbox.Calls().Count(front.Call{Verb: "patch"}) }
