package lean

import (
	"context"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Backoff is the wait between attempts: Initial after the first failure, twice as long after each further one, at most Max. Jitter is
// the share (0 to 1) of a wait that is added at random, so that a hundred watches do not come back in one instant.
type Backoff struct {
	Initial, Max time.Duration
	Jitter       float64
}

// after is the wait after so many failures before this one.
func (b Backoff) after(failures int) time.Duration {
	wait := min(b.Initial<<min(failures, 16), b.Max)
	if b.Jitter > 0 {
		wait += time.Duration(rand.Float64() * b.Jitter * float64(wait)) //nolint:gosec // no secret
	}
	return wait
}

// defaultBackoff is what a zero Backoff means.
var defaultBackoff = Backoff{Initial: 500 * time.Millisecond, Max: 30 * time.Second, Jitter: 0.5}

const (
	// healthyAfter is how long a watch has to live for the waits to begin anew.
	healthyAfter = 5 * time.Second
	// maxRetryAfter bounds what a server may ask for with Retry-After.
	maxRetryAfter = time.Minute
)

// pace spaces out the attempts of one Source. It belongs to one goroutine at a time.
type pace struct {
	backoff  Backoff
	failures int           // in a row
	due      time.Duration // to be waited before the next attempt

	quarantine  Backoff
	quarantines int           // in a row
	quarantined time.Duration // the last one
}

func (p *pace) failed(err error) {
	if overLimit(err) {
		p.due = p.quarantine.after(p.quarantines)
		p.quarantined = p.due
		p.quarantines++
		return
	}
	p.due = p.backoff.after(p.failures)
	p.failures++
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
		p.due = max(p.due, min(time.Duration(seconds)*time.Second, maxRetryAfter))
	}
}

// lived notes that a watch was open for so long.
func (p *pace) lived(d time.Duration) {
	if d >= healthyAfter {
		p.failures, p.due = 0, 0
	}
	if d > p.quarantined {
		p.quarantines, p.quarantined = 0, 0
	}
}

// wait waits for what is due, or until sooner or ctx ends that.
func (p *pace) wait(ctx context.Context, sooner <-chan struct{}) error {
	due := p.due
	p.due = 0
	if due <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(due)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-sooner:
		p.failures, p.quarantines = 0, 0
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
