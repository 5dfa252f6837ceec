package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upstreamd/upstreamd/sandbox/daemon"
	"github.com/upstreamd/upstreamd/sandbox/topology"
)

func TestDemoSucceedsIfEveryStatusIsRight(t *testing.T) {
	binary := buildDaemon(t)
	dir := t.TempDir()
	if err := run(t.Context(), t.Context(), options{daemon: binary, runFor: 3 * time.Second, rate: 50, seed: 1, deployments: 10, dir: dir}); err != nil {
		t.Fatal(err)
	}
}

func TestDemoFailsIfTheDaemonDies(t *testing.T) {
	binary := buildDaemon(t)
	mortal := filepath.Join(t.TempDir(), "mortal")
	script := fmt.Sprintf("#!/bin/sh\n%q \"$@\" &\nchild=$!\nsleep 3\nkill -9 $child\nexit 3\n", binary)
	if err := os.WriteFile(mortal, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	err := run(ctx, ctx, options{daemon: mortal, rate: 50, seed: 1, deployments: 10})
	if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), errDaemonDied.Error()) {
		t.Errorf("got %v", err)
	}
}

func buildDaemon(t *testing.T) string {
	t.Helper()
	binary, err := daemon.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

func TestChooseVariesThePlacement(t *testing.T) {
	targets := []topology.SyncTarget{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	counts, alone := map[int]int{}, map[string]bool{}
	for n := range 30 {
		chosen := choose(targets, n)
		counts[len(chosen)]++
		if len(chosen) == 1 {
			alone[chosen[0].Name] = true
		}
	}
	if counts[1] != 6 || counts[2] != 6 || counts[3] != 18 || len(alone) != 3 {
		t.Errorf("got %v, alone %v", counts, alone)
	}
}

func TestQuantile(t *testing.T) {
	inf := math.Inf(1)
	for _, test := range []struct {
		q    float64
		all  []bucket
		want float64
	}{
		{.5, []bucket{{1, 0}, {2, 10}, {inf, 10}}, 1.5},
		{.5, []bucket{{1, 10}, {2, 20}, {inf, 20}}, 1},
		{.99, []bucket{{1, 50}, {2, 100}, {inf, 100}}, 1.98},
		{.99, []bucket{{1, 50}, {inf, 100}}, math.NaN()},
		{.5, []bucket{{1, 0}, {inf, 0}}, math.NaN()},
		{.5, nil, math.NaN()},
	} {
		got := quantile(test.q, test.all)
		if math.Abs(got-test.want) > 1e-9 || math.IsNaN(got) != math.IsNaN(test.want) {
			t.Errorf("quantile %v of %v: got %v, want %v", test.q, test.all, got, test.want)
		}
	}
}

func TestViews(t *testing.T) {
	f := frame{elapsed: 6 * time.Second, changes: 60, targets: []string{"a", "b"}}
	for n := range 10 {
		f.rows = append(f.rows, row{object: fmt.Sprintf("w|n/app-%02d", n), ready: []string{"1/1", "-"}, published: "1/1", behind: n == 9})
	}
	screen := page(f, 60, 10) // five rows fit: two pages, the second after 5 s
	for _, want := range []string{"app-05", "app-09", "page 2 of 2"} {
		if !strings.Contains(screen, want) {
			t.Errorf("%s is missing on\n%s", want, screen)
		}
	}
	if strings.Contains(screen, "app-04") || strings.Count(screen, "\n") > 10 {
		t.Errorf("too much on\n%s", screen)
	}
	for line := range strings.Lines(screen) {
		for _, escape := range []string{home, clearLine, clearBelow, dim, normal, "\n"} {
			line = strings.ReplaceAll(line, escape, "")
		}
		if len([]rune(line)) > 60 {
			t.Errorf("wider than the screen: %q", line)
		}
	}

	var out bytes.Buffer
	plain := &lines{out: &out}
	f.rows[3].changed = time.Now()
	plain.draw(f)
	plain.draw(f) // too soon
	text := out.String()
	if strings.Count(text, "status changes 60 (10/s)") != 1 || !strings.Contains(text, "pending 1 of 10") || !strings.Contains(text, "app-03: a 1/1, b -; published 1/1") {
		t.Errorf("got\n%s", text)
	}
	if strings.Contains(text, "\x1b") {
		t.Error("escapes in plain lines")
	}
}

func TestSummary(t *testing.T) {
	var out bytes.Buffer
	s := summary{
		load: 10 * time.Second, changes: 100, patches: 51, settled: 400 * time.Millisecond, checked: 7,
		metrics: metrics{events: 120, patches: 50, suppressed: 30, coalesced: 40, propagation: []bucket{{.1, 50}, {.2, 100}, {math.Inf(1), 100}}},
	}
	s.print(&out)
	for _, want := range []string{"100 status changes in the SyncTargets (10/s)", "120\n", "50 (PATCH calls counted at the workspaces: 51)", "30\n", "40\n", "p50 100ms, p99 198ms", "0.4 s", "7\n", "every published status is right"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	out.Reset()
	s.incorrect = errors.New("replicas")
	s.print(&out)
	if !strings.Contains(out.String(), "WRONG: replicas") {
		t.Errorf("got\n%s", out.String())
	}
}
