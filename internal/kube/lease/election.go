package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Options of an Election. All but UserAgent and Logger are required.
type Options struct {
	Namespace, Name string        // of the Lease
	Identity        string        // of this process; no other has the same, before and after it
	Duration        time.Duration // others take the Lease when they saw no renewal for this long; whole seconds
	Renew           time.Duration // the right to write ends so long after the last renewal was begun; less than Duration
	Retry           time.Duration // between two attempts
	Elected         func()        // is called each time that the right to write begins; it must not block
	UserAgent       string
	Logger          zerolog.Logger
}

// Election is one process's part in it. Its methods may be called from any goroutine.
type Election struct {
	Options
	config *rest.Config
	lock   *lock
}

// New makes an Election that Run takes part in. It asks no server.
func New(cfg *rest.Config, o Options) (*Election, error) {
	e := &Election{Options: o, config: rest.CopyConfig(cfg)}
	leases, err := e.client(cfg)
	if err != nil {
		return nil, err
	}
	e.lock = &lock{
		LeaseLock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name},
			LockConfig: resourcelock.ResourceLockConfig{Identity: o.Identity},
		},
		term: o.Renew, elected: o.Elected, log: o.Logger, client: leases,
		outage: client.NewOutage(o.Logger, "leader election does not go on; it is retried", "leader election goes on"),
	}
	e.lock.Client = e.lock
	if _, err := e.elector(); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Election) client(cfg *rest.Config) (*coordinationv1.CoordinationV1Client, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.UserAgent, cfg.ContentType = e.UserAgent, runtime.ContentTypeJSON // as all other calls: not every server takes protobuf
	cfg.Timeout = max(e.Renew/2, time.Second)                             // one call that hangs must not end a term
	carrier, err := client.HTTPClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("client for the Lease: %w", err)
	}
	leases, err := coordinationv1.NewForConfigAndClient(cfg, carrier)
	if err != nil {
		return nil, fmt.Errorf("client for the Lease: %w", err)
	}
	return leases, nil
}

// RenewCredentials takes those of cfg from the next call on. The Lease of another server is another one, and refused.
func (e *Election) RenewCredentials(cfg *rest.Config) error {
	if !client.SameServer(e.config, cfg) {
		return errors.New("client for the Lease: the kubeconfig leads to another server")
	}
	leases, err := e.client(cfg)
	if err != nil {
		return err
	}
	e.lock.renew(leases)
	return nil
}

func (e *Election) elector() (*leaderelection.LeaderElector, error) {
	return leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: e.lock, Name: e.Name, LeaseDuration: e.Duration, RenewDeadline: e.Renew, RetryPeriod: e.Retry,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) {}, // the lock calls Elected, before the first write that may rely on it
			OnStoppedLeading: func() {},
			OnNewLeader: func(identity string) {
				if identity != e.Identity {
					e.Logger.Info().Str("leader", identity).Msg("standing by")
				}
			},
		},
	})
}

// Run takes part until ctx ends, term after term: after losing the Lease it stands by again. At the end the Lease stays as it is, see Release.
func (e *Election) Run(ctx context.Context) {
	ctx = klog.NewContext(ctx, logr.Discard()) // this package logs; client-go would log at every Retry
	for ctx.Err() == nil {
		elector, err := e.elector()
		if err != nil { // New made one of the same
			e.Logger.Error().Err(err).Msg("leader election ended")
			return
		}
		elector.Run(ctx)
		if ctx.Err() == nil {
			e.Logger.Warn().Msg("the Lease was lost: nothing is written until it is had again")
		}
	}
}

// Release ends the right to write, and gives the Lease back, so that another need not wait until it has run out. Run has ended, and no write
// is under way any more.
func (e *Election) Release(ctx context.Context) error {
	e.lock.end()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error { // a renewal that Run gave up may still arrive
		record, _, err := e.lock.Get(ctx)
		if apierrors.IsNotFound(err) || err == nil && record.HolderIdentity != e.Identity {
			return nil
		}
		if err != nil {
			return err
		}
		record.HolderIdentity, record.LeaseDurationSeconds, record.RenewTime = "", 1, metav1.Now()
		return e.lock.Update(ctx, *record)
	})
	if err != nil {
		return fmt.Errorf("giving the Lease %s back: %w", e.lock.Describe(), err)
	}
	return nil
}

// Fence is the right to write, for the writer.
func (e *Election) Fence(ctx context.Context) (context.Context, context.CancelFunc, bool) {
	until := e.lock.holds()
	if passed(until) {
		return ctx, func() {}, false
	}
	bounded, cancel := context.WithDeadline(ctx, until)
	return bounded, cancel, true
}

var _ ref.Fence = (*Election)(nil).Fence

// Leading reports whether this process has the right to write now.
func (e *Election) Leading() bool { return !passed(e.lock.holds()) }

// Leader is the holder of the Lease when it was last read; empty: there was none.
func (e *Election) Leader() string {
	e.lock.mu.Lock()
	defer e.lock.mu.Unlock()
	return e.lock.holder
}

// Err is why the last attempt did not reach the Lease; nil: it did.
func (e *Election) Err() error {
	e.lock.mu.Lock()
	defer e.lock.mu.Unlock()
	if !e.lock.asked {
		return errNotAsked
	}
	return e.lock.err
}

// passed reads both clocks: the monotonic one, which is never set, and the wall clock, which goes on while the machine sleeps or migrates.
// Either may end a term too early; that costs a pause until the next renewal.
func passed(until time.Time) bool {
	now := time.Now()
	return !now.Before(until) || !now.Round(0).Before(until.Round(0))
}
