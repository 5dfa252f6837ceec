package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/upstreamd/upstreamd/internal/app"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/shown"
)

func newPolicy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "List, check, test and try out status policies",
		Long: text(`
			A StatusPolicy says how the statuses of several clusters become one. There are built-in ones for the workload kinds,
			a library for the custom resources of common projects, and one for any other kind; documents in policies.directory add
			to them or replace them. No command here asks a cluster.`),
		Example: example(`
			# Start from a built-in one
			upstreamd policy show deployments.apps > mine.yaml

			# Is it right? What would it publish, and why?
			upstreamd policy validate mine.yaml
			upstreamd policy render --policy mine.yaml --upstream web.yaml --target us-east1=us.yaml --target eu-west1=eu.yaml --explain

			# Keep it right
			upstreamd policy test cases/...`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyList(), newPolicyShow(), newPolicyValidate(), newPolicyTest(), newPolicyRender())
	return cmd
}

// directoryFlag adds the flag that names a folder of policies beside the built-in ones.
func directoryFlag(cmd *cobra.Command, directory *string) {
	cmd.Flags().StringVarP(directory, "directory", "d", "", "`folder` of policies that are added to the built-in ones, as policies.directory does")
	must(cmd.MarkFlagDirname("directory"))
}

func outputFlag(cmd *cobra.Command, output *string, forms ...string) {
	cmd.Flags().StringVarP(output, "output", "o", forms[0], "`form` of the answer: "+strings.Join(forms, " or "))
	must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp)))
}

func unknownOutput(output string, forms ...string) error {
	return fmt.Errorf("output %q: must be %s", output, strings.Join(forms, " or "))
}

func newPolicyList() *cobra.Command {
	var directory, output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the policies in force, and what each is for",
		Example: example(`
			upstreamd policy list
			upstreamd policy list --directory ./policies -o json`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := app.Policies(directory)
			if err != nil {
				return err
			}
			switch output {
			case "table":
				return listPolicies(cmd.OutOrStdout(), set)
			case "json":
				documents := []*policy.Document{}
				for _, p := range set.All() {
					documents = append(documents, p.Document)
				}
				return printJSON(cmd.OutOrStdout(), documents)
			default:
				return unknownOutput(output, "table", "json")
			}
		},
	}
	directoryFlag(cmd, &directory)
	outputFlag(cmd, &output, "table", "json")
	return cmd
}

func listPolicies(w io.Writer, set *policy.Set) error {
	table := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	_, _ = fmt.Fprintln(table, "KIND\tGROUP\tSTRATEGY\tSTALE\tSOURCE\tPOLICY") // Flush reports errors
	for _, p := range set.All() {
		for _, r := range set.Resources(p) {
			kind := r.Resource
			if r.Version != "" {
				kind += " (" + r.Version + ")"
			}
			source := cmp.Or(p.Document.Source, "folder")
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", kind, cmp.Or(r.Group, "core"), p.Strategy, p.Stale, source, p.Name)
		}
	}
	return table.Flush()
}

func newPolicyShow() *cobra.Command {
	var directory string
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "Print a policy's document",
		Example: example(`upstreamd policy show deployments.apps`),
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := app.Policies(directory)
			if err != nil {
				return err
			}
			p, err := named(set, args[0])
			if err != nil {
				return err
			}
			out, err := toYAML(p.Document)
			if err != nil {
				return fmt.Errorf("printing policy %s: %w", p.Name, err)
			}
			_, err = cmd.OutOrStdout().Write(out)
			return err
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			set, err := app.Policies(directory)
			if err != nil || len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return policyNames(set), cobra.ShellCompDirectiveNoFileComp
		},
	}
	directoryFlag(cmd, &directory)
	return cmd
}

func named(set *policy.Set, name string) (*policy.Policy, error) {
	for _, p := range set.All() {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("there is no policy %q; there are: %s", name, strings.Join(policyNames(set), ", "))
}

func policyNames(set *policy.Set) []string {
	var names []string
	for _, p := range set.All() {
		names = append(names, p.Name)
	}
	return names
}

func newPolicyValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE...",
		Short: "Say all that is wrong with policy documents",
		Long: text(`
			Read policy documents together, as the daemon does with policies.directory, and say all that is wrong with them, with their
			paths. A file may hold several documents.`),
		Example:           example(`upstreamd policy validate policies/*.yaml`),
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeYAML,
		RunE: func(cmd *cobra.Command, args []string) error {
			docs, err := app.ParsePolicies(args)
			if err != nil {
				return err
			}
			set, err := policy.Builtin()
			if err != nil {
				return err
			}
			if _, err := set.With(docs...); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, all valid\n", plural(len(docs), "policy", "policies"))
			return err
		},
	}
}

// printJSON prints a value that may stem from a cluster: with escapes for what does not print.
func printJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(shown.JSON(b.Bytes()))
	return err
}

// toYAML is a value as YAML. If something in it does not print, or YAML has no form for it, it is JSON, which is YAML too and has
// escapes for that.
func toYAML(v any) ([]byte, error) {
	out, err := yaml.Marshal(v)
	if err == nil && shown.Printable(string(out)) {
		return out, nil
	}
	var b bytes.Buffer
	err = printJSON(&b, v)
	return b.Bytes(), err
}
