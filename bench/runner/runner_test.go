package runner_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/upstreamd/upstreamd/bench/fleet"
	"github.com/upstreamd/upstreamd/bench/report"
	"github.com/upstreamd/upstreamd/bench/runner"
	"github.com/upstreamd/upstreamd/bench/scenario"
	"github.com/upstreamd/upstreamd/bench/subject"
)

// TestMain is also the process of a subject, as the command is.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "subject" {
		if err := runner.ServeSubject(context.Background(), os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func attempt(t *testing.T, s scenario.Scenario, name string) *report.Result {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s.Name, s.Concurrency = t.Name(), 4
	result, err := runner.Attempt(t.Context(), s, name, runner.Options{Self: self, Progress: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func lasting(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }

var small = fleet.Shape{Objects: 40, Copies: 1, SyncTargets: 2, Workspaces: 3, Namespaces: 1}

func TestEverybodyPublishesTheTruthOfEveryObject(t *testing.T) {
	for _, servers := range []string{scenario.Memory, scenario.Loopback, scenario.Memapi, scenario.MemapiUp} {
		for _, name := range []string{subject.Upstreamd, subject.Sketch, subject.Karmada, subject.Reconciler} {
			t.Run(servers+"/"+name, func(t *testing.T) {
				r := attempt(t, scenario.Scenario{
					Servers: servers, Shape: small, Load: scenario.Load{Pattern: scenario.Steady, Rate: 40, For: lasting(time.Second)},
				}, name)
				f := r.Figures
				if f["wrongObjects"] != 0 || f["unseenChanges"] != 0 || len(r.Errors) > 0 {
					t.Errorf("wrong %v (%s), unseen %v, errors %v", f["wrongObjects"], r.Wrong, f["unseenChanges"], r.Errors)
				}
				if f["events"] != 40 || f["patches"] < 40 || f["p50Millis"] <= 0 || len(r.Latency) == 0 {
					t.Errorf("figures %v", f)
				}
				if name == subject.Karmada && f["callsPerEvent"] < 3 {
					t.Errorf("%v calls per event: a status object, a GET and the aggregate are three", f["callsPerEvent"])
				}
			})
		}
	}
}

func TestTheBareLoopPatches(t *testing.T) {
	r := attempt(t, scenario.Scenario{Servers: scenario.Loopback, Shape: small, Load: scenario.Load{For: lasting(time.Second)}}, subject.Bare)
	if f := r.Figures; f["patches"] < 100 || f["noOps"] != 0 || f["conflicts"] != 0 || f["cpuSeconds"] <= 0 || len(r.Errors) > 0 {
		t.Errorf("figures %v, errors %v", f, r.Errors)
	}
}

func TestOnlyUpstreamdAddsUpCopies(t *testing.T) {
	shape := small
	shape.Copies = 2
	s := scenario.Scenario{Servers: scenario.Memory, Shape: shape, Load: scenario.Load{
		Pattern: scenario.Burst, Within: lasting(50 * time.Millisecond), Every: lasting(500 * time.Millisecond), For: lasting(time.Second),
	}}
	if r := attempt(t, s, subject.Upstreamd); r.Figures["wrongObjects"] != 0 || r.Figures["patchesPerTurn"] > 2 {
		t.Errorf("figures %v, %s", r.Figures, r.Wrong)
	}
	if r := attempt(t, s, subject.Sketch); r.Figures["wrongObjects"] == 0 || r.Wrong == "" {
		t.Errorf("the check took one SyncTarget's status for the sum of two: %v", r.Figures)
	}
}

func TestASecondStartWritesNothingAndTellsItsMemory(t *testing.T) {
	for _, servers := range []string{scenario.Memory, scenario.Loopback} {
		r := attempt(t, scenario.Scenario{Servers: servers, Shape: small, Load: scenario.Load{Pattern: scenario.Start}}, subject.Upstreamd)
		f := r.Figures
		if f["startPatches"] != 0 || f["objects"] != 40 || f["peakRSSMiB"] <= 0 || servers == scenario.Loopback && f["heapMiB"] <= 0 {
			t.Errorf("%s: figures %v", servers, f)
		}
	}
}

func TestInformersTellTheirMemory(t *testing.T) {
	r := attempt(t, scenario.Scenario{Servers: scenario.Loopback, Shape: small, Load: scenario.Load{Pattern: scenario.Start}}, subject.Informers)
	if f := r.Figures; f["heapMiB"] <= 0 || f["objects"] != 40 || f["startSeconds"] <= 0 {
		t.Errorf("figures %v", f)
	}
}

func TestTroubleIsMeasuredApart(t *testing.T) {
	s := scenario.Scenario{
		Servers: scenario.Memory, Shape: small,
		Load: scenario.Load{Pattern: scenario.Faulty, Rate: 40, Delay: lasting(300 * time.Millisecond), For: lasting(2 * time.Second)},
	}
	if f := attempt(t, s, subject.Upstreamd).Figures; f["p99Millis"] <= 0 || f["p99MillisInTrouble"] <= 0 || f["p99InTroubleOverCalm"] <= 0 {
		t.Errorf("figures %v", f)
	}
}

func TestProfilesAreWritten(t *testing.T) {
	folder := t.TempDir()
	profile := runner.ProfileInto(folder)
	for _, begin := range []bool{true, false} {
		if err := profile(begin, "load"); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"load.cpu.pprof", "load.heap.pprof"} {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnknownSubjectsAreRefused(t *testing.T) {
	_, err := runner.Attempt(t.Context(), scenario.Scenario{Servers: scenario.Memory, Shape: small}, "unknown", runner.Options{Progress: t.Logf})
	if err == nil {
		t.Error("a subject that does not exist was started")
	}
}
