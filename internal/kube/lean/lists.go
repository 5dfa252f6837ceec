package lean

import (
	"context"
	"sync"
	"time"
)

// Lists bounds how many lists are under way at a time, streaming lists among them. Watches that resume do not count. nil bounds nothing.
type Lists struct {
	slots chan struct{}
	most  time.Duration // for which one list holds a slot; 0: until it ends
}

// NewLists makes a bound of n lists. After most, a list goes on without its slot, so that servers that send slowly do not keep the
// lists of others from starting; 0 keeps the slot until the list ends.
func NewLists(n int, most time.Duration) *Lists {
	return &Lists{slots: make(chan struct{}, n), most: most}
}

// begin waits for a slot. end gives it back; it may be called more than once.
func (l *Lists) begin(ctx context.Context) (end func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	release := sync.OnceFunc(func() { <-l.slots })
	if l.most <= 0 {
		return release, nil
	}
	timer := time.AfterFunc(l.most, release)
	return func() {
		timer.Stop()
		release()
	}, nil
}

// beginList waits for the slots of the server and of the process, in this order: lists that wait for their own server hold no slot
// that others could use.
func (s *Source) beginList(ctx context.Context) (end func(), err error) {
	server, err := s.settings.ServerLists.begin(ctx)
	if err != nil {
		return nil, err
	}
	process, err := s.settings.ProcessLists.begin(ctx)
	if err != nil {
		server()
		return nil, err
	}
	return func() { process(); server() }, nil
}
