package lean

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Backoff is the wait between attempts: Initial after the first failure, doubled after each further one, at most Max. Jitter is the
// share (0 to 1) of a wait that is added at random, so that a hundred watches do not reopen at one instant.
type Backoff struct {
	Initial, Max time.Duration
	Jitter       float64
}

// after is the wait after a number of failures before this one.
func (b Backoff) after(failures int) time.Duration {
	wait := min(b.Initial<<min(failures, 16), b.Max)
	if b.Jitter > 0 {
		wait += time.Duration(rand.Float64() * b.Jitter * float64(wait)) //nolint:gosec // no secret
	}
	return wait
}

// defaultBackoff is what a zero Backoff means.
var defaultBackoff = Backoff{Initial: 500 * time.Millisecond, Max: 10 * time.Second, Jitter: 0.5}

const (
	// healthyAfter is how long a watch has to live for the waits to begin anew.
	healthyAfter = 5 * time.Second
	// maxRetryAfter bounds the Retry-After of a server.
	maxRetryAfter = time.Minute
	// answeredMost is the longest wait after an error that the server answered: it is there, and recovery is due within 10 s.
	answeredMost = 5 * time.Second
	// A refusal (403) ends when the right is granted: it is retried every forbiddenFirst, forbiddenTimes times, then more rarely.
	forbiddenFirst = 10 * time.Second
	forbiddenMost  = time.Minute
	forbiddenTimes = 30
)

// pace spaces out the attempts of one Source. It belongs to one goroutine at a time.
type pace struct {
	backoff   Backoff
	failures  int           // in a row
	forbidden int           // of these, refusals in a row
	due       time.Duration // to be waited before the next attempt
	firm      bool          // due is not cut short when the server answers again

	quarantine  Backoff
	quarantines int           // in a row
	quarantined time.Duration // the last one
}

// failed notes a failed attempt.
func (p *pace) failed(err error) {
	if overLimit(err) {
		p.due, p.firm = p.quarantine.after(p.quarantines), true
		p.quarantined = p.due
		p.quarantines++
		return
	}
	p.due, p.firm = p.retry(err).after(p.failures), false
	p.failures++
	if !apierrors.IsForbidden(err) {
		p.forbidden = 0
	} else if p.forbidden++; p.forbidden <= forbiddenTimes {
		p.failures = 0
	}
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
		asked := min(time.Duration(seconds)*time.Second, maxRetryAfter)
		p.due, p.firm = max(p.due, asked), asked > p.due
	}
}

// absent notes that the server does not serve the resource, which only discovery or a new attempt finds to have changed.
func (p *pace) absent() {
	p.due, p.firm = p.backoff.after(p.failures), false
	p.failures++
}

// retry is the Backoff after an error.
func (p *pace) retry(err error) Backoff {
	b := p.backoff
	switch {
	case apierrors.IsForbidden(err):
		b.Max = min(forbiddenMost, 6*b.Max)
		b.Initial = min(forbiddenFirst, b.Max)
	case !errors.Is(err, ref.ErrUnreachable):
		b.Max = min(answeredMost, b.Max)
	}
	return b
}

// lived notes that a watch was open for some time.
func (p *pace) lived(d time.Duration) {
	if d >= healthyAfter {
		p.failures, p.forbidden, p.due = 0, 0, 0
	}
	if d > p.quarantined {
		p.quarantines, p.quarantined = 0, 0
	}
}

// wait waits until the next attempt is due. New credentials end the wait; so does a server that answers again, unless the wait is firm.
func (p *pace) wait(ctx context.Context, renewed, recovered <-chan struct{}) error {
	due := p.due
	p.due = 0
	if due <= 0 {
		return ctx.Err()
	}
	if p.firm {
		recovered = nil
	}
	timer := time.NewTimer(due)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-renewed:
		p.failures, p.forbidden, p.quarantines = 0, 0, 0
	case <-recovered:
		p.failures, p.forbidden = 0, 0
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
