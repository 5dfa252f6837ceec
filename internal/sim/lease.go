package sim

import (
	"context"
	"sync"
	"time"

	"github.com/upstreamd/upstreamd/internal/ref"
)

const (
	leaseDuration = 15 * time.Second // others may take it so long after the last renewal
	leaseDeadline = 10 * time.Second // its holder stops so long after it began the last renewal that succeeded
	leaseRetry    = 2 * time.Second
)

// lease is the one that daemons compete for, as an API server would hold it.
type lease struct {
	mu      sync.Mutex
	holder  string
	renewed time.Time
}

// acquire takes the lease, or renews it.
func (l *lease) acquire(candidate string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.holder != candidate && l.holder != "" && now.Sub(l.renewed) < leaseDuration {
		return false
	}
	l.holder, l.renewed = candidate, now
	return true
}

func (l *lease) release(candidate string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder == candidate {
		l.holder = ""
	}
}

// elector keeps one life of a daemon's part in the election.
type elector struct {
	lease *lease
	name  string
	reach func() (delay time.Duration, ok bool) // how the lease's server is reached now

	mu    sync.Mutex
	until time.Time // when the right to write ends
}

// run takes part until ctx ends.
func (e *elector) run(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		if delay, ok := e.reach(); ok && pause(ctx, delay) && e.lease.acquire(e.name) {
			e.mu.Lock()
			e.until = began.Add(leaseDeadline)
			e.mu.Unlock()
		}
		pause(ctx, leaseRetry)
	}
}

// holds reports until when this life may write.
func (e *elector) holds() (until time.Time, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.until, time.Now().Before(e.until)
}

// fence is the product's, with the lease behind it.
func (e *elector) fence(ctx context.Context) (context.Context, context.CancelFunc, bool) {
	until, ok := e.holds()
	if !ok {
		return ctx, func() {}, false
	}
	bounded, cancel := context.WithDeadline(ctx, until)
	return bounded, cancel, true
}

var _ ref.Fence = (*elector)(nil).fence

// pause waits, and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
