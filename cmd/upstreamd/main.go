// Command upstreamd brings the status of objects in physical Kubernetes clusters up to kcp workspaces. See `upstreamd --help`.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/upstreamd/upstreamd/internal/shown"
)

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// errSaid ends a command with exit status 1 after it has printed its errors.
var errSaid = errors.New("printed already")

// longError is how many characters of an error are printed.
const longError = 64 << 10

// execute runs one command line and returns the exit status. Results go to stdout; errors, progress and logs to stderr.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case !errors.Is(err, errSaid):
		_, _ = fmt.Fprintln(stderr, "Error:", shown.Lines(err.Error(), longError))
	}
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "upstreamd",
		Short: "Bring the status of objects in physical clusters up to kcp workspaces",
		Long: text(`
			upstreamd watches the objects that were synced down to physical Kubernetes clusters (SyncTargets), takes their
			status, merges the statuses of several clusters, and writes one status to the object in its kcp workspace.

			It keeps nothing on disk: stop it and start it at any time.`),
		Example: example(`
			# A configuration to start from
			upstreamd config print-defaults > upstreamd.yaml

			# Is it right?
			upstreamd config validate upstreamd.yaml

			# Go
			upstreamd run --config upstreamd.yaml`),
		SilenceUsage:  true, // an error names the mistake; --help prints the usage
		SilenceErrors: true, // execute prints them
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(newRun(), newConfig(), newPolicy(), newVersion())
	return root
}

// text takes the indentation of the source code off a help text.
func text(s string) string {
	indented := strings.Split(strings.TrimPrefix(s, "\n"), "\n")
	for i, line := range indented {
		indented[i] = strings.TrimPrefix(line, "\t\t\t")
	}
	return strings.TrimSpace(strings.Join(indented, "\n"))
}

// example is a help text that stands under a heading.
func example(s string) string {
	return "  " + strings.ReplaceAll(strings.ReplaceAll(text(s), "\n", "\n  "), "\n  \n", "\n\n")
}
