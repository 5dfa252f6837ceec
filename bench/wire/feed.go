package wire

import (
	"context"
	"io"
	"sync"
	"time"
)

// bookmarkEvery is the time between the bookmarks of a silent watch, as API servers have it.
const bookmarkEvery = 60 * time.Second

// batch is about how many bytes of events are drawn in one go.
const batch = 64 << 10

// event is one change of one object, to be drawn when it is read.
type event struct {
	number   int // of the copy, or upstream object
	changes  int
	version  uint64
	status   []byte // upstream, as is its owner
	managers string
}

// feed is an open watch. A server pushes events while it holds its own lock, so a feed never asks its server for anything. Events wait
// in it unrendered, without bound: a load generator does not wait for readers.
type feed struct {
	ctx      context.Context
	gate     *gate
	draw     func(b []byte, kind string, e event) []byte
	bookmark func(b []byte, version uint64, initialEnd bool) []byte
	scope    func(number int) bool // nil: all
	meter    *meter

	initial []event // ADDED, before anything else
	ends    bool    // a bookmark says where initial ends
	version uint64  // of the state that the watch began with, then of the event that was drawn last; for the reader alone

	mu     sync.Mutex
	queue  []event
	wake   chan struct{}
	buffer []byte
	unread []byte
}

func newFeed(ctx context.Context, m *meter) *feed {
	return &feed{ctx: ctx, meter: m, wake: make(chan struct{}, 1)}
}

func (f *feed) push(e event) {
	if f.scope != nil && !f.scope(e.number) {
		return
	}
	f.mu.Lock()
	f.queue = append(f.queue, e)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// waiting is the number of unread events.
func (f *feed) waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.queue) + len(f.initial)
}

// next renders the next events, and waits while there are none. The bytes are valid until the next call.
func (f *feed) next() ([]byte, error) {
	if err := f.gate.pass(f.ctx); err != nil {
		return nil, err
	}
	if b := f.drawInitial(); len(b) > 0 {
		return b, nil
	}
	for {
		if b := f.drawQueue(); len(b) > 0 {
			return b, nil
		}
		timer := time.NewTimer(bookmarkEvery)
		select {
		case <-f.wake:
			timer.Stop()
			if err := f.gate.pass(f.ctx); err != nil {
				return nil, err
			}
		case <-timer.C:
			f.buffer = f.bookmark(f.buffer[:0], f.version, false)
			return f.buffer, nil
		case <-f.ctx.Done():
			timer.Stop()
			return nil, f.ctx.Err()
		}
	}
}

func (f *feed) drawInitial() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.initial) > 0 {
		defer f.meter.end(f.meter.begin())
	}
	b := f.buffer[:0]
	for len(f.initial) > 0 && len(b) < batch {
		b = f.draw(b, "ADDED", f.initial[0])
		f.initial = f.initial[1:]
	}
	if len(f.initial) == 0 && f.ends {
		f.initial, f.ends = nil, false
		b = f.bookmark(b, f.version, true)
	}
	f.buffer = b
	return b
}

func (f *feed) drawQueue() []byte {
	f.mu.Lock()
	n := min(len(f.queue), 16)
	var taken [16]event
	copy(taken[:], f.queue[:n])
	if f.queue = f.queue[n:]; len(f.queue) == 0 {
		f.queue = nil
	}
	f.mu.Unlock()
	if n == 0 {
		return nil
	}
	defer f.meter.end(f.meter.begin())
	b := f.buffer[:0]
	for _, e := range taken[:n] {
		b = f.draw(b, "MODIFIED", e)
		f.version = e.version
	}
	f.buffer = b
	return b
}

// Read implements io.Reader, for the transport through memory.
func (f *feed) Read(p []byte) (int, error) {
	if len(f.unread) == 0 {
		b, err := f.next()
		if err != nil {
			return 0, err
		}
		f.unread = b
	}
	n := copy(p, f.unread)
	f.unread = f.unread[n:]
	return n, nil
}

var _ io.Reader = (*feed)(nil)

// feeds are the open watches of one server. push is called in the order of versions.
type feeds struct {
	mu  sync.Mutex
	all map[*feed]struct{}
}

func (s *feeds) add(f *feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[*feed]struct{}{}
	}
	s.all[f] = struct{}{}
	context.AfterFunc(f.ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.all, f)
	})
}

func (s *feeds) push(e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for f := range s.all {
		f.push(e)
	}
}

func (s *feeds) waiting() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for f := range s.all {
		n += f.waiting()
	}
	return n
}

// gate lets requests pass, or holds them: a server that went silent.
type gate struct {
	mu   sync.Mutex
	held chan struct{} // closed when it opens; nil: it is open
}

func (g *gate) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == nil {
		g.held = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held != nil {
		close(g.held)
		g.held = nil
	}
}

func (g *gate) pass(ctx context.Context) error {
	g.mu.Lock()
	held := g.held
	g.mu.Unlock()
	if held == nil {
		return ctx.Err()
	}
	select {
	case <-held:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
