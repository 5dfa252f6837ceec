package supervisor

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/debounce"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
)

// Options configure a System. Upstream is required; everything else has a default.
type Options struct {
	Upstream     actors.Upstream
	Policies     *policy.Set          // nil: the built-in ones
	Locators     []string             // default: NamespaceLocator, Prefix
	Debounce     debounce.Window      // default: quiet 200 ms, maximum wait 2 s
	Writer       actors.WriterOptions // default: no cap, 16 calls in flight
	Staleness    Staleness
	Limits       status.Limits    // a zero field means its default
	Fence        ref.Fence        // the right to write; nil: always
	Workers      int              // goroutines that run actors; default: GOMAXPROCS
	Buckets      int              // parts of each resource that are decided in parallel, a power of two; default: 1
	Jitter       actors.Jitter    // of pauses after failures; default: at random
	Logger       zerolog.Logger   // default: none
	SystemLogger *slog.Logger     // of the actor engine; default: none
	Metrics      *metrics.Metrics // default: counted, but registered nowhere
}

// Staleness says when a resource of a SyncTarget counts as stale.
type Staleness struct {
	Grace    time.Duration // not observed for so long: stale. Default 40 s
	Probe    time.Duration // between two probes. Default 10 s
	Deadline time.Duration // how long the policies Exclude and Zero wait for a SyncTarget's first list. Default 60 s
}

// maxBuckets bounds Options.Buckets.
const maxBuckets = 1024

func (o *Options) complete() error {
	var err error
	if o.Policies == nil {
		if o.Policies, err = policy.Builtin(); err != nil {
			return err
		}
	}
	if o.Metrics == nil {
		if o.Metrics, err = metrics.New(nil); err != nil {
			return err
		}
	}
	if len(o.Locators) == 0 {
		o.Locators = []string{"NamespaceLocator", "Prefix"}
	}
	if o.SystemLogger == nil {
		o.SystemLogger = slog.New(slog.DiscardHandler)
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Buckets <= 0 {
		o.Buckets = 1
	}
	if o.Buckets&(o.Buckets-1) != 0 || o.Buckets > maxBuckets {
		return fmt.Errorf("supervisor: Options.Buckets is %d: use a power of two up to %d", o.Buckets, maxBuckets)
	}
	orDefault(&o.Debounce.Quiet, 200*time.Millisecond)
	orDefault(&o.Debounce.MaxWait, 2*time.Second)
	orDefault(&o.Staleness.Grace, 40*time.Second)
	orDefault(&o.Staleness.Probe, 10*time.Second)
	orDefault(&o.Staleness.Deadline, time.Minute)
	return nil
}

func orDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}
