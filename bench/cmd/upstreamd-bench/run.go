package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/upstreamd/upstreamd/bench/report"
	"github.com/upstreamd/upstreamd/bench/scenario"
	"github.com/upstreamd/upstreamd/bench/subject"
)

// runFlags are the flags of a run.
type runFlags struct {
	scenarios  []string
	short      bool
	only       []string
	subjects   []string
	rounds     int
	results    string
	kubeconfig string
}

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use: "run", Short: "Measure all scenarios, and write the results, their tables and plots", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.scenarios, "scenarios", []string{"scenarios"}, "files of scenarios, or folders of them")
	flags.BoolVar(&f.short, "short", false, "only the short set")
	flags.StringSliceVar(&f.only, "only", nil, "names of scenarios; default all")
	flags.StringSliceVar(&f.subjects, "subjects", nil, "subjects to measure; default all of the scenario")
	flags.IntVar(&f.rounds, "rounds", 1, "how often everything is measured")
	flags.StringVar(&f.results, "results", "results", "the folder for results")
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "an upstream for scenarios with servers: kubeconfig: any API server, or a workspace of a kcp")
	return cmd
}

// job is one attempt of a run.
type job struct {
	scenario scenario.Scenario
	subject  string
	round    int
}

func (f *runFlags) run(ctx context.Context, out io.Writer) error {
	jobs, run, err := f.plan()
	if err != nil {
		return err
	}
	begin := time.Now()
	var failed []error
	for n, j := range jobs {
		fmt.Fprintf(os.Stderr, "[%d/%d, %s] %s: %s\n", n+1, len(jobs), time.Since(begin).Round(time.Second), j.scenario.Title, subject.Titles[j.subject])
		result, err := f.attempt(ctx, j)
		if ctx.Err() != nil { // keep the measurements so far
			failed = append(failed, fmt.Errorf("interrupted after %d of %d", n, len(jobs)))
			break
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "   failed:", err)
			failed = append(failed, fmt.Errorf("%s, %s: %w", j.scenario.Name, j.subject, err))
			continue
		}
		result.Round = j.round
		run.Results = append(run.Results, *result)
		fmt.Fprintln(os.Stderr, "   "+report.Line(*result, j.scenario))
	}
	return errors.Join(append(failed, write(run, f.results, out))...)
}

// plan lists the attempts to make. The subjects of a scenario take turns, so that a machine that changes its pace is fair to all.
func (f *runFlags) plan() ([]job, *report.Run, error) {
	all, err := scenario.Read(f.scenarios...)
	if err != nil {
		return nil, nil, err
	}
	run := &report.Run{Date: time.Now().UTC().Truncate(time.Second), Revision: revision(), Machine: machine(), Set: "full"}
	if f.short {
		run.Set = "short"
	}
	var jobs []job
	for _, s := range all {
		if len(f.only) > 0 && !slices.Contains(f.only, s.Name) || s.Servers == scenario.Existing && f.kubeconfig == "" {
			continue
		}
		subjects := s.Subjects
		if f.short {
			subjects = s.Short
		}
		subjects = slices.DeleteFunc(slices.Clone(subjects), func(name string) bool {
			return len(f.subjects) > 0 && !slices.Contains(f.subjects, name)
		})
		if len(subjects) == 0 {
			continue
		}
		run.Scenarios = append(run.Scenarios, s)
		for round := range f.rounds {
			for _, name := range subjects {
				jobs = append(jobs, job{s, name, round})
			}
		}
	}
	if len(jobs) == 0 {
		return nil, nil, errors.New("nothing to measure: no scenario has that name, or subject")
	}
	return jobs, run, nil
}

// attempt measures in a process of its own. Its standard error is its progress.
func (f *runFlags) attempt(ctx context.Context, j job) (*report.Result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "attempt", j.scenario.File, j.subject, "--kubeconfig", f.kubeconfig) //nolint:gosec // ourselves
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, indented{os.Stderr}
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	var result report.Result
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		return nil, fmt.Errorf("reading the result: %w", err)
	}
	return &result, nil
}

type indented struct{ io.Writer }

func (i indented) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		if _, err := fmt.Fprint(i.Writer, "   ", line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// write writes DATE.json, DATE.md and the plots, and prints the table.
func write(run *report.Run, folder string, out io.Writer) error {
	base := filepath.Join(folder, run.Date.Format("2006-01-02T1504")+"-"+run.Set)
	if err := run.Write(base + ".json"); err != nil {
		return err
	}
	plots, err := run.Plots(base)
	if err != nil {
		return err
	}
	var table bytes.Buffer
	if err := run.Markdown(&table); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\nwritten: %s.json, %s.md and %d plots in %s/\n", table.String(), base, base, len(plots), base)
	table.WriteString("\n")
	for _, name := range plots {
		fmt.Fprintf(&table, "![%s](%s/%s)\n", strings.TrimSuffix(name, ".svg"), filepath.Base(base), name)
	}
	return os.WriteFile(base+".md", table.Bytes(), 0o644) //nolint:gosec // to be read by anybody
}

// revision is that of the checkout, with a + if it has changes.
func revision() string {
	out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	r := strings.TrimSpace(string(out))
	if changed, err := exec.Command("git", "status", "--porcelain", "-uno").Output(); err == nil && len(changed) > 0 {
		r += "+"
	}
	return r
}

// machine describes the machine of the measurements.
func machine() string {
	model := runtime.GOARCH
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	load := ""
	if average, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = ", load " + strings.Fields(string(average))[0] + " at the begin"
	}
	return fmt.Sprintf("%d cores (%s), %s%s", runtime.NumCPU(), model, runtime.Version(), load)
}

func compareCommand() *cobra.Command {
	return &cobra.Command{
		Use: "compare A.json B.json", Short: "Lay the figures of two runs side by side", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := report.Read(args[0])
			if err != nil {
				return err
			}
			b, err := report.Read(args[1])
			if err != nil {
				return err
			}
			return report.Compare(cmd.OutOrStdout(), a, b)
		},
	}
}
