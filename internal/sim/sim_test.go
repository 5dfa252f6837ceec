package sim

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"
)

var (
	first = flag.Uint64("sim.from", 1, "the first seed")
	count = flag.Int("sim.seeds", manySeeds, "how many seeds are run")
	only  = flag.Uint64("sim.seed", 0, "the one seed to run, with its trace")
	fast  = flag.Bool("sim.failfast", false, "stop at the first seed that fails")
	logs  = flag.Bool("sim.log", false, "with -sim.seed: the logs of the daemons, too")
)

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard())
	utilruntime.ErrorHandlers = utilruntime.ErrorHandlers[:1] // the others slow everything down, by the clock of whichever bubble is first
	utilruntime.PanicHandlers = nil                           // panics are injected
	goleak.VerifyTestMain(m)
}

func printTo(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }

func TestSeeds(t *testing.T) {
	if *only != 0 {
		t.Skip("one seed is asked for")
	}
	began, injected := time.Now(), map[string]int{}
	writes := 0
	var healed []time.Duration
	for i := range *count {
		seed := Seed(*first + uint64(i))
		r := Run(t, seed, zerolog.Nop())
		healed = append(healed, r.Healed)
		writes += r.Writes
		for name, n := range r.Injected {
			injected[name] += n
		}
		if len(r.Wrong) > 0 {
			t.Fail()
			printTo(os.Stderr, "seed %d fails; to have it again: make sim SEED=%d\n%s", seed, seed, lines(r.Wrong[:min(len(r.Wrong), 5)]))
			if *fast {
				return
			}
		}
	}
	took := time.Since(began)
	slices.Sort(healed)
	printTo(os.Stderr, "%d seeds, %.1f a second; true again after %v (median), %v (longest)", *count, float64(*count)/took.Seconds(),
		healed[len(healed)/2], healed[len(healed)-1])
	printTo(os.Stderr, "%d PATCH calls; how often each of %d faults was:", writes, len(injected))
	for _, name := range slices.Sorted(maps.Keys(injected)) {
		printTo(os.Stderr, "%8d  %s", injected[name], name)
	}
}

func TestSeed(t *testing.T) {
	if *only == 0 {
		t.Skip("no seed is asked for")
	}
	log := zerolog.Nop()
	if *logs {
		log = zerolog.New(os.Stderr).Level(zerolog.DebugLevel)
	}
	r := Run(t, Seed(*only), log)
	printTo(os.Stderr, "%s\n%s\n%s", r.Plan, r.Trace, lines(r.Wrong))
	if len(r.Wrong) > 0 {
		t.Fail()
	}
}

// Seeds that have found bugs. docs/decisions describes each bug, and a test of the mended package covers it; "make mutate" puts most of them
// back and checks that a test fails.
var found = map[Seed]string{
	1:   "the answer to a write lacked placement",
	3:   "a copy that was replaced unseen was missed in between",
	10:  "parked writes waited for ever for their probe",
	906: "a late deletion event removed the successor of an object",
}

func TestSeedsThatFoundSomething(t *testing.T) {
	for seed, finding := range found {
		if r := Run(t, seed, zerolog.Nop()); len(r.Wrong) > 0 {
			t.Errorf("seed %d, which once found that %s:\n%s", seed, finding, lines(r.Wrong[:min(len(r.Wrong), 5)]))
		}
	}
}

// The same seed gives the same run.
func TestReplay(t *testing.T) {
	for seed := Seed(1); seed <= replays; seed++ {
		one := Run(t, seed, zerolog.Nop())
		for range 2 {
			if again := Run(t, seed, zerolog.Nop()); again.Trace != one.Trace {
				t.Fatalf("seed %d is not the same twice:\n%s", seed, cmp.Diff(strings.Split(one.Trace, "\n"), strings.Split(again.Trace, "\n")))
			}
		}
	}
}
