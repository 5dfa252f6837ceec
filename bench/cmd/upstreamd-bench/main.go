// Command upstreamd-bench measures upstreamd beside the ways in which others do the same.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/upstreamd/upstreamd/bench/runner"
	"github.com/upstreamd/upstreamd/bench/scenario"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use: "upstreamd-bench", Short: "Measures upstreamd beside the ways in which others do the same",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(runCommand(), compareCommand(), attemptCommand(), subjectCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "upstreamd-bench:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// attemptCommand measures one subject in one scenario, in a process that nothing ran in before.
func attemptCommand() *cobra.Command {
	var profiles, kubeconfig, servers string
	cmd := &cobra.Command{
		Use: "attempt SCENARIO SUBJECT", Short: "Measure one subject in one scenario; the result goes to standard output as JSON",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			scenarios, err := scenario.Read(args[0])
			if err != nil {
				return err
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			o := runner.Options{Self: self, Progress: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
			o.Kubeconfig = kubeconfig
			if servers != "" {
				scenarios[0].Servers = servers
			}
			if profiles != "" {
				o.Profile = runner.ProfileInto(profiles)
			}
			result, err := runner.Attempt(cmd.Context(), scenarios[0], args[1], o)
			if err != nil {
				return err
			}
			return json.NewEncoder(os.Stdout).Encode(result)
		},
	}
	cmd.Flags().StringVar(&profiles, "profiles", "", "folder for CPU and heap profiles of this process under load")
	cmd.Flags().StringVar(&servers, "servers", "", "kind of servers, overrides the scenario")
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "upstream, if the scenario's servers are kubeconfig")
	return cmd
}

// subjectCommand is the process of a subject, started by an attempt.
func subjectCommand() *cobra.Command {
	return &cobra.Command{
		Use: "subject NAME", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runner.ServeSubject(cmd.Context(), args[0], os.Stdin, os.Stdout)
		},
	}
}
