// Command mutate breaks upstreamd on purpose, one promise at a time, and wants a test to notice. It is run from the top of the repository;
// the sources stay as they are (go build -overlay). Arguments pick mutations by parts of their names.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mutation is one deliberate break.
type mutation struct {
	name string // of the broken promise
	file string
	old  string // must be in the file once
	new  string
	by   trial // has to fail
}

// trial is a go test.
type trial struct {
	folder, name string
	seeds        int // of the simulation, until one fails; 0: it is not one
}

func (t trial) arguments() []string {
	args := []string{"./" + t.folder, "-run", "^" + t.name + "$"}
	if t.seeds > 0 {
		args = append(args, "-args", "-sim.failfast", "-sim.seeds="+strconv.Itoa(t.seeds))
	}
	return args
}

func (t trial) String() string { return strings.Join(t.arguments(), " ") }

// patience is the longest that one mutation's test may take, building included.
const patience = 10 * time.Minute

func main() {
	var wanted []mutation
	for _, m := range mutations {
		if picked(m.name, os.Args[1:]) {
			wanted = append(wanted, m)
		}
	}
	if err := unbroken(wanted); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	survived := 0
	for _, m := range wanted {
		began := time.Now()
		seen, err := m.run()
		switch took := time.Since(began).Round(time.Second); {
		case err != nil:
			survived++
			fmt.Printf("SURVIVED %-70s %v: %v\n", m.name, took, err)
		default:
			fmt.Printf("caught   %-70s %v: %s\n", m.name, took, seen)
		}
	}
	fmt.Printf("%d of %d deliberate breaks were noticed\n", len(wanted)-survived, len(wanted))
	if survived > 0 || len(wanted) == 0 {
		os.Exit(1)
	}
}

// unbroken checks that all tests that have to fail later pass now, and that every break finds its place: else a failure would prove nothing.
func unbroken(wanted []mutation) error {
	began := time.Now()
	trials := map[trial]int{} // the most seeds of each test
	for _, m := range wanted {
		if _, _, err := m.broken(); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		unique := trial{folder: m.by.folder, name: m.by.name}
		trials[unique] = max(trials[unique], m.by.seeds)
	}
	for t, seeds := range trials {
		t.seeds = seeds
		if output, err := t.run(); err != nil {
			return fmt.Errorf("go test %s fails with nothing broken: %w: %s", t, err, output)
		}
	}
	fmt.Printf("nothing broken, and all tests pass: %v\n", time.Since(began).Round(time.Second))
	return nil
}

// run runs the tests with further flags of go test. They may take patience.
func (t trial) run(flags ...string) (output string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, "go", slices.Concat([]string{"test", "-count=1"}, flags, t.arguments())...) //nolint:gosec // arguments of our own
	text, err := command.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("it does not end: %w", ctx.Err())
	}
	return string(text), err
}

func picked(name string, wanted []string) bool {
	return len(wanted) == 0 || slices.ContainsFunc(wanted, func(w string) bool { return strings.Contains(name, w) })
}

// run breaks the product and runs the tests. It returns the first sign of the failure; an error says that there was none.
func (m mutation) run() (seen string, err error) {
	folder, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	overlay, err := m.overlay(folder)
	if err != nil {
		return "", err
	}
	output, err := m.by.run("-overlay=" + overlay)
	failed := (*exec.ExitError)(nil)
	switch {
	case err == nil:
		return "", fmt.Errorf("go test %s passes", m.by)
	case !errors.As(err, &failed):
		return "", fmt.Errorf("%w: %s", err, output)
	case strings.Contains(output, "[build failed]") || strings.Contains(output, "[setup failed]"):
		return "", fmt.Errorf("it does not compile: %s", output)
	default:
		return sign(output), nil
	}
}

// broken is the file's path and its content with the break.
func (m mutation) broken() (path, source string, err error) {
	if path, err = filepath.Abs(m.file); err != nil {
		return "", "", err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return "", "", fmt.Errorf("%s holds the text to be broken %d times, not once", m.file, n)
	}
	return path, strings.Replace(string(text), m.old, m.new, 1), nil
}

// overlay writes the broken file and the description that the go command takes.
func (m mutation) overlay(folder string) (string, error) {
	path, source, err := m.broken()
	if err != nil {
		return "", err
	}
	broken := filepath.Join(folder, filepath.Base(path))
	if err := os.WriteFile(broken, []byte(source), 0o600); err != nil {
		return "", err
	}
	description, err := json.Marshal(map[string]any{"Replace": map[string]string{path: broken}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(folder, "overlay.json")
	return file, os.WriteFile(file, description, 0o600)
}

// sign is the first line that tells of a failure.
func sign(output string) string {
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		for _, start := range []string{"seed ", "--- FAIL", "panic:", "FAIL"} {
			if strings.HasPrefix(line, start) {
				return line
			}
		}
	}
	return strings.TrimSpace(output)
}
