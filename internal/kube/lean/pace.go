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
}

func (p *pace) failed(err error) {
	p.due = min(p.backoff.Initial<<min(p.failures, 16), p.backoff.Max)
	if p.backoff.Jitter > 0 {
		p.due += time.Duration(rand.Float64() * p.backoff.Jitter * float64(p.due)) //nolint:gosec // no secret
	}
	p.failures++
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
		p.due = max(p.due, min(time.Duration(seconds)*time.Second, maxRetryAfter))
	}
}

func (p *pace) succeeded() { p.failures, p.due = 0, 0 }

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
		p.failures = 0
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
