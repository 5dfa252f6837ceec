// Command upstreamd-demo demonstrates upstreamd: real API servers as workspaces and SyncTargets, a spec syncer, a load, the daemon
// as a process of its own, and a live table of the published statuses. At the end it compares them with an independent calculation.
//
// It exits with 0 if every published status is right, else, or if the daemon died, with 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are the demo's flags.
type options struct {
	daemon      string
	runFor      time.Duration
	rate        float64
	seed        uint64
	deployments int
	dir         string
	plain       bool
}

func main() {
	var o options
	flag.StringVar(&o.daemon, "daemon", "bin/upstreamd", "the daemon's program `file`")
	flag.DurationVar(&o.runFor, "for", 0, "end the load after this `time`; 0: at Ctrl-C")
	flag.Float64Var(&o.rate, "rate", 100, "status changes per second over all SyncTargets")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "`number` that seeds the load")
	flag.IntVar(&o.deployments, "deployments", 60, "`number` of Deployments over all workspaces")
	flag.StringVar(&o.dir, "dir", "", "`folder` for configuration, logs and data, kept at the end; empty: a temporary one")
	flag.BoolVar(&o.plain, "plain", false, "plain lines on a terminal too")
	flag.Parse()
	if flag.NArg() > 0 || o.deployments < 1 || o.rate <= 0 {
		flag.Usage()
		os.Exit(2)
	}

	// The first Ctrl-C ends the load, and the check follows; the second ends everything.
	ctx, cancel := context.WithCancel(context.Background())
	load, endLoad := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		endLoad()
		<-signals
		cancel()
	}()

	err := run(ctx, load, o)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}
