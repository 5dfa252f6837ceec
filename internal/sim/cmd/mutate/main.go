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
	"strings"
	"time"
)

// mutation is one deliberate break.
type mutation struct {
	name string // what is broken
	file string
	old  string // must be in the file once
	new  string
	by   []string // arguments of the go test that has to fail
}

// patience is the longest that one mutation's test may take, building included.
const patience = 10 * time.Minute

func main() {
	survived := 0
	for _, m := range mutations {
		if !picked(m.name, os.Args[1:]) {
			continue
		}
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
	if survived > 0 {
		fmt.Printf("%d mutations were not noticed\n", survived)
		os.Exit(1)
	}
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
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, "go", append([]string{"test", "-count=1", "-overlay=" + overlay}, m.by...)...) //nolint:gosec // arguments of our own
	output, err := command.CombinedOutput()
	failed := (*exec.ExitError)(nil)
	switch text := string(output); {
	case err == nil:
		return "", fmt.Errorf("go test %s passes", strings.Join(m.by, " "))
	case !errors.As(err, &failed) || ctx.Err() != nil:
		return "", fmt.Errorf("%w: %s", err, text)
	case strings.Contains(text, "[build failed]") || strings.Contains(text, "[setup failed]"):
		return "", fmt.Errorf("it does not compile: %s", text)
	default:
		return sign(text), nil
	}
}

// overlay writes the broken file and the description that the go command takes.
func (m mutation) overlay(folder string) (string, error) {
	path, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(source), m.old); n != 1 {
		return "", fmt.Errorf("%s holds what is to be broken %d times, not once", m.file, n)
	}
	broken := filepath.Join(folder, filepath.Base(path))
	if err := os.WriteFile(broken, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600); err != nil { //nolint:gosec // a folder of our own
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
