package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/upstreamd/upstreamd/internal/kube/client"
)

var errNotAsked = errors.New("the Lease has not been asked for yet")

// lock is client-go's lock on a Lease, with the end of the right to write. The right is counted from when a renewal was sent; other
// candidates count from when they observed it, which is later, and wait longer. So the right ends here before they may take the Lease, by
// the difference of the lease's duration and its term.
type lock struct {
	*resourcelock.LeaseLock
	term    time.Duration
	elected func()
	log     zerolog.Logger
	outage  *client.Outage

	mu     sync.Mutex
	client coordinationv1.LeasesGetter
	until  time.Time // when the right to write ends
	ended  bool      // it does not begin again
	holder string
	asked  bool
	err    error // of the last call, if that did not reach the Lease
}

// Leases is the client that LeaseLock takes for each call.
func (l *lock) Leases(namespace string) coordinationv1.LeaseInterface {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.client.Leases(namespace)
}

func (l *lock) renew(c coordinationv1.LeasesGetter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.client = c
}

// Get reads the holder of the Lease.
func (l *lock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.LeaseLock.Get(ctx)
	if !apierrors.IsNotFound(err) { // it will be made
		l.reached(ctx, err)
	}
	if err != nil {
		return nil, nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder = record.HolderIdentity; l.holder != l.Identity() {
		l.until = time.Time{}
	}
	return record, raw, nil
}

// Create makes the Lease, and takes it.
func (l *lock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	began := time.Now()
	err := l.LeaseLock.Create(ctx, record)
	l.reached(ctx, err)
	return l.granted(record, began, err)
}

// Update takes or renews the Lease, or gives it back.
func (l *lock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	began := time.Now()
	err := l.LeaseLock.Update(ctx, record)
	if !apierrors.IsNotFound(err) { // it was deleted, and will be made anew
		l.reached(ctx, err)
	}
	return l.granted(record, began, err)
}

func (l *lock) granted(record resourcelock.LeaderElectionRecord, began time.Time, err error) error {
	if err != nil {
		return err
	}
	l.mu.Lock()
	before := passed(l.until)
	l.holder = record.HolderIdentity
	if l.holder == l.Identity() && !l.ended {
		l.until = began.Add(l.term)
	}
	begins := before && !passed(l.until)
	l.mu.Unlock()
	if begins {
		l.log.Info().Msg("leading: statuses are written from here now")
		l.elected()
	}
	return nil
}

// end takes the right to write away for good.
func (l *lock) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until, l.ended = time.Time{}, true
}

func (l *lock) holds() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

// reached records whether a call reached the Lease, and logs changes. Conflicts do not count, because another call follows; nor do calls
// that were cancelled.
func (l *lock) reached(ctx context.Context, err error) {
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || errors.Is(context.Cause(ctx), context.Canceled) {
		return
	}
	if err != nil {
		err = fmt.Errorf("the Lease %s cannot be had: %w", l.Describe(), err)
	}
	l.mu.Lock()
	l.asked, l.err = true, err
	l.mu.Unlock()
	if err != nil {
		l.outage.Failed(err)
		return
	}
	l.outage.Over()
}
