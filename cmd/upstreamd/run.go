package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/upstreamd/upstreamd/internal/app"
	"github.com/upstreamd/upstreamd/internal/config"
)

func newRun() *cobra.Command {
	var file, format, level string
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Run the daemon until it is told to stop",
		Long: text(`
			Run the daemon. It stops at SIGTERM or SIGINT, after pending writes are flushed, for shutdown.timeout at most. A
			second signal ends it at once; nothing is lost then either, since the next start reads everything again.

			SyncTargets and resources change while it runs, as the configuration file and the kubeconfigs that it names do;
			SIGHUP has them read at once. A file that is wrong by then changes nothing, and its mistakes are logged.

			A mistake in the configuration stops the start, with all mistakes listed. A cluster that cannot be reached does
			not: it is tried again until it can.

			With leaderElection several may run: one writes, the others stand by with everything read. The leader gives its
			lease back when it is told to stop; one that loses it stops writing at once, and stands by.

			/livez, /readyz and /metrics are served at serving.address, and the first two at serving.health.address, too, for
			probes. /readyz answers 200 once upstream was listed.`),
		Example: example(`
			upstreamd run --config upstreamd.yaml

			# For people, with more detail
			upstreamd run --config upstreamd.yaml --log-format console --log-level debug

			# Is it ready? Its metrics?
			curl http://127.0.0.1:8080/readyz
			curl -s http://127.0.0.1:8080/metrics | grep ^upstreamd_`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := app.NewLogger(cmd.ErrOrStderr(), format, level)
			if err != nil {
				return err
			}
			c, err := config.Load(file)
			if err != nil {
				return err
			}
			app.TakeOverLibraries(log)
			a, err := app.New(c, log)
			if err != nil {
				return err
			}
			ctx, stop := untilSignal(cmd.Context(), log, os.Exit)
			defer stop()
			hurry := make(chan os.Signal, 1)
			signal.Notify(hurry, syscall.SIGHUP)
			defer signal.Stop(hurry)
			a.Follow(file, hurry)
			return a.Run(ctx)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration `file` (required)")
	cmd.Flags().StringVar(&format, "log-format", app.LogJSON, "`form` of the log lines: json, or console for people")
	cmd.Flags().StringVar(&level, "log-level", "info", "least `level` that is logged: trace, debug, info, warn or error")
	must(cmd.MarkFlagRequired("config"))
	must(cmd.MarkFlagFilename("config", "yaml", "yml", "json"))
	must(cmd.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions(app.LogFormats, cobra.ShellCompDirectiveNoFileComp)))
	must(cmd.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions(app.LogLevels, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

// untilSignal gives a context that the first SIGTERM or SIGINT ends. The second ends the process through exit.
func untilSignal(ctx context.Context, log zerolog.Logger, exit func(int)) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	stopped := make(chan struct{})
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		for first := true; ; first = false {
			select {
			case s := <-signals:
				if !first {
					log.Warn().Stringer("signal", s).Msg("ending at once")
					exit(1)
					return
				}
				cancel(fmt.Errorf("signal %s", s))
			case <-stopped:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(stopped)
		cancel(context.Canceled)
	}
}

// must panics on an error that only a mistake in this program can cause.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
