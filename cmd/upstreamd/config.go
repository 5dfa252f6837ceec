package main

import (
	"fmt"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/upstreamd/upstreamd/internal/app"
	"github.com/upstreamd/upstreamd/internal/config"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check a configuration, or print one to start from",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigValidate(), newConfigPrintDefaults())
	return cmd
}

func newConfigValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE",
		Short: "Report all errors of a configuration file, and of the files that it names",
		Long: text(`
			Read a configuration file, the kubeconfigs and the policies that it names, and report all errors, each with its field
			and the fix. No cluster is contacted. The exit status is 0 if run would start with it.`),
		Example:           example(`upstreamd config validate upstreamd.yaml`),
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeYAML,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(args[0])
			if err != nil {
				return err
			}
			if _, err := app.New(c, zerolog.Nop()); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is valid: %s, %s, %s\n", args[0],
				count(len(c.Upstream.Workspaces), "workspace"), count(len(c.SyncTargets), "SyncTarget"), count(len(c.Resources), "resource"))
			return err
		},
	}
}

func newConfigPrintDefaults() *cobra.Command {
	return &cobra.Command{
		Use:   "print-defaults",
		Short: "Print a complete configuration with comments, in which all that is optional stands at its default",
		Example: example(`
			upstreamd config print-defaults > upstreamd.yaml`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), config.Example())
			return err
		},
	}
}

func count(n int, noun string) string { return plural(n, noun, noun+"s") }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func completeYAML(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
}
