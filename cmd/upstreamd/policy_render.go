package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/upstreamd/upstreamd/internal/app"
	"github.com/upstreamd/upstreamd/internal/policytest"
)

func newPolicyRender() *cobra.Command {
	var r render
	cmd := &cobra.Command{
		Use:   "render --policy FILE|NAME --upstream FILE --target NAME=FILE...",
		Short: "Show what a policy would publish for given objects, and why",
		Long: text(`
			A dry run: decide what would be published for an upstream object if these were its copies. Nothing is written, and no cluster is
			asked; take the objects with kubectl get -o yaml. With --explain: for each field its rule, and what each SyncTarget says.`),
		Example: example(`
			upstreamd policy render --policy deployments.apps --upstream web.yaml --target us-east1=us.yaml --target eu-west1=eu.yaml

			# eu-west1 is not heard of, and ap-south1 has no copy yet
			upstreamd policy render --policy mine.yaml --upstream web.yaml --target us-east1=us.yaml --target eu-west1=eu.yaml \
			    --target ap-south1 --stale eu-west1 --explain`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := r.load()
			if err != nil {
				return err
			}
			return r.print(cmd.OutOrStdout(), explain(c, policytest.Run(c)))
		},
	}
	cmd.Flags().StringVarP(&r.policy, "policy", "p", "", "`file` with the policy, or the name of a built-in one (required)")
	cmd.Flags().StringVarP(&r.upstream, "upstream", "u", "", "`file` with the upstream object (required)")
	cmd.Flags().StringArrayVarP(&r.targets, "target", "t", nil, "`NAME=FILE` of a SyncTarget and its copy; NAME alone: it has none; may be repeated")
	cmd.Flags().StringSliceVar(&r.stale, "stale", nil, "`names` of SyncTargets that are not heard of")
	cmd.Flags().BoolVar(&r.explain, "explain", false, "show for each field its rule and what each SyncTarget says")
	outputFlag(cmd, &r.output, "yaml", "json")
	must(cmd.MarkFlagRequired("policy"))
	must(cmd.MarkFlagRequired("upstream"))
	must(cmd.MarkFlagRequired("target"))
	return cmd
}

// render is the dry run's command line.
type render struct {
	policy, upstream string
	targets, stale   []string
	explain          bool
	output           string
}

// load makes a case of the files: what a case file holds, without what is wanted.
func (r *render) load() (*policytest.Case, error) {
	archive := &txtar.Archive{Files: []txtar.File{{Name: "want.yaml"}}}
	var errs []error
	add := func(name string, data []byte, err error) {
		archive.Files = append(archive.Files, txtar.File{Name: name, Data: data})
		errs = append(errs, err)
	}
	document, err := r.readPolicy()
	add("policy.yaml", document, err)
	upstream, err := os.ReadFile(r.upstream)
	add("upstream.yaml", upstream, err)

	given := policytest.Given{Targets: map[string]policytest.GivenTarget{}}
	for _, t := range r.targets {
		name, file, hasCopy := strings.Cut(t, "=")
		if _, twice := given.Targets[name]; twice || name == "" {
			errs = append(errs, fmt.Errorf("--target %s: each SyncTarget needs a name of its own", t))
			continue
		}
		given.Targets[name] = policytest.GivenTarget{Stale: slices.Contains(r.stale, name)}
		if hasCopy {
			data, err := os.ReadFile(file)
			add("target/"+name+".yaml", data, err)
		}
	}
	for _, name := range r.stale {
		if _, known := given.Targets[name]; !known {
			errs = append(errs, fmt.Errorf("--stale %s: there is no such --target", name))
		}
	}
	data, err := yaml.Marshal(given)
	add("given.yaml", data, err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return policytest.Load("dry run", txtar.Format(archive))
}

// readPolicy gives a case's policy.yaml: the file's content, or the document of a built-in policy.
func (r *render) readPolicy() ([]byte, error) {
	data, err := os.ReadFile(r.policy)
	if !errors.Is(err, os.ErrNotExist) {
		return data, err
	}
	set, builtinErr := app.Policies("")
	if builtinErr != nil {
		return nil, builtinErr
	}
	p, namedErr := named(set, r.policy)
	if namedErr != nil {
		return nil, fmt.Errorf("--policy: %w, and no file of that name", namedErr)
	}
	return yaml.Marshal(map[string]string{"builtin": p.Name})
}

func (r *render) print(w io.Writer, e explanation) error {
	switch r.output {
	case "json":
		if !r.explain {
			e.Fields = nil
		}
		return printJSON(w, e)
	case "yaml":
	default:
		return unknownOutput(r.output, "yaml", "json")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s", line(e.Reason))
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", line(e.Message))
	}
	b.WriteByte('\n')
	if !e.Publish {
		b.WriteString("# what is published stays as it is\n")
	}
	for _, err := range e.Errors {
		fmt.Fprintf(&b, "# error: %s\n", line(err))
	}
	if r.explain {
		e.write(&b)
	}
	status, err := toYAML(map[string]any{"status": e.Status})
	if err != nil {
		return fmt.Errorf("printing the status: %w", err)
	}
	b.Write(status)
	_, err = io.WriteString(w, b.String())
	return err
}
