package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/upstreamd/upstreamd/internal/policytest"
	"github.com/upstreamd/upstreamd/internal/shown"
)

// caseFile is how the name of a case file ends.
const caseFile = ".txtar"

func newPolicyTest() *cobra.Command {
	var output string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "test FILE...",
		Short: "Run case files: what SyncTargets say, and what is to be published then",
		Long: text(`
			Run case files. A case is a txtar archive: a comment, then "-- name --" lines, each followed by a file:

			  policy.yaml         a StatusPolicy, or {builtin: deployments.apps}
			  upstream.yaml       the upstream object, with what is published now
			  target/NAME.yaml    the copy in each SyncTarget
			  given.yaml          what cannot be seen from these: SyncTargets that are stale, unknown, or have no copy
			  want.yaml           the status that is to be published
			  want.reason         why: the reason, or "Reason: message"

			Each case is also decided again with its result published, which must change nothing, and with the SyncTargets in other
			orders, which must not matter.

			An argument is a file, a folder (its *.txtar files), or folder/... (those below it too). The exit status is 1 if a case fails.`),
		Example: example(`
			upstreamd policy test cases/...
			upstreamd policy test cases/deployment/rollout.txtar -o json`),
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := caseFiles(args)
			if err != nil {
				return err
			}
			results := make([]policytest.Result, 0, len(files))
			failed := 0
			for _, name := range files {
				r := runCase(name)
				results = append(results, r)
				if !r.Passed {
					failed++
				}
			}
			switch output {
			case "text":
				err = reportCases(cmd.OutOrStdout(), results, failed, verbose)
			case "json":
				err = printJSON(cmd.OutOrStdout(), results)
			default:
				return unknownOutput(output, "text", "json")
			}
			if err == nil && failed > 0 {
				err = errSaid
			}
			return err
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{strings.TrimPrefix(caseFile, ".")}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "list the cases that pass, too")
	outputFlag(cmd, &output, "text", "json")
	return cmd
}

// runCase reads and runs one case. A file that cannot be read is a case that fails.
func runCase(name string) policytest.Result {
	data, err := os.ReadFile(name)
	if err != nil {
		return policytest.Result{Name: name, Failures: []string{err.Error()}}
	}
	c, err := policytest.Load(name, data)
	if err != nil {
		return policytest.Result{Name: name, Failures: []string{err.Error()}}
	}
	return policytest.Run(c)
}

func reportCases(w io.Writer, results []policytest.Result, failed int, verbose bool) error {
	var b strings.Builder
	for _, r := range results {
		switch {
		case !r.Passed:
			fmt.Fprintf(&b, "FAIL %s\n", line(r.Name))
			for _, f := range r.Failures {
				fmt.Fprintf(&b, "     %s\n", strings.ReplaceAll(shown.Lines(f, longError), "\n", "\n     "))
			}
		case verbose:
			fmt.Fprintf(&b, "ok   %s\n", line(r.Name))
		}
	}
	fmt.Fprintf(&b, "%s, %d failed\n", count(len(results), "case"), failed)
	_, err := io.WriteString(w, b.String())
	return err
}

// caseFiles finds the case files that arguments name, each once, in order.
func caseFiles(args []string) ([]string, error) {
	var files []string
	for _, arg := range args {
		root, below := strings.CutSuffix(arg, "...")
		if below {
			root = strings.TrimSuffix(root, "/")
			if root == "" {
				root = "."
			}
		}
		info, err := os.Stat(root)
		if err != nil {
			return nil, err
		}
		found := []string{root}
		if info.IsDir() {
			if found, err = caseFilesIn(root, below); err != nil {
				return nil, err
			}
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s holds no case files (*%s)", arg, caseFile)
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

func caseFilesIn(root string, below bool) ([]string, error) {
	var files []string
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != root && !below:
			return fs.SkipDir
		case !entry.IsDir() && filepath.Ext(name) == caseFile:
			files = append(files, name)
		}
		return nil
	})
	return files, err
}
