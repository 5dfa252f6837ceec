package measure_test

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/upstreamd/upstreamd/bench/measure"
)

func TestABusyProcessIsToldFromAnIdleOne(t *testing.T) {
	busy := exec.Command("sh", "-c", "while :; do :; done")
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Process.Kill(); _ = busy.Wait() }()
	deadline := time.Now().Add(10 * time.Second)
	for {
		u, err := measure.Process(busy.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if u.CPU >= 100*time.Millisecond && u.RSS > 0 && u.PeakRSS >= u.RSS {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a process that never rests has used %+v", u)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := measure.Process(1 << 30); err == nil {
		t.Error("a process that does not exist was measured")
	}
}

func TestWhatAProcessStartsStaysOnItsCores(t *testing.T) {
	cores, err := measure.Available()
	if err != nil || len(cores) == 0 {
		t.Fatal(cores, err)
	}
	last := cores[len(cores)-1]
	sh := exec.Command("sh", "-c", "read line; grep Cpus_allowed_list /proc/self/status")
	in, err := sh.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	sh.Stdout = &out
	if err := sh.Start(); err != nil {
		t.Fatal(err)
	}
	if err := measure.Cores(sh.Process.Pid, last); err != nil {
		t.Error(err)
	}
	if _, err := in.Write([]byte("go on\n")); err != nil {
		t.Error(err)
	}
	if err := sh.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, cores, _ := strings.Cut(out.String(), ":"); strings.TrimSpace(cores) != strconv.Itoa(last) {
		t.Errorf("a process that was kept to core %d started one on cores %s", last, cores)
	}
	if err := measure.Cores(os.Getpid(), 1<<9); err == nil {
		t.Error("a core that no machine has was taken")
	}
}

func TestLiveHeapSeesWhatIsKept(t *testing.T) {
	before := measure.LiveHeap()
	kept := make([]byte, 32<<20)
	if got := measure.LiveHeap() - before; got < 31<<20 || got > 40<<20 {
		t.Errorf("32 MiB more are seen as %d bytes", got)
	}
	runtime.KeepAlive(kept)
	if self := measure.Self(); self.CPU <= 0 || self.RSS <= 0 {
		t.Errorf("of process %d: %+v", os.Getpid(), self)
	}
}

func TestQuantiles(t *testing.T) {
	var sorted []time.Duration
	for n := range 1000 {
		sorted = append(sorted, time.Duration(n)*time.Millisecond)
	}
	if got := measure.Quantile(sorted, .99); got != 990*time.Millisecond {
		t.Errorf("p99 is %v", got)
	}
	if got := measure.Quantile(nil, .5); got != 0 {
		t.Errorf("p50 of nothing is %v", got)
	}
	points := measure.Distribution(sorted)
	for i := 1; i < len(points); i++ {
		if points[i].X < points[i-1].X || points[i].Y < points[i-1].Y {
			t.Fatalf("the distribution falls at %v", points[i])
		}
	}
	if last := points[len(points)-1]; last.X != 999 || last.Y != 1 {
		t.Errorf("it ends at %v", last)
	}
}
