package upstream

import (
	"context"
	"sync"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// listener is the receiver of a watch. It gets one event at a time, and none once the watch has ended.
type listener struct {
	mu   sync.Mutex
	over bool
	emit ref.Emit
}

// notify emits an event that is made when its turn has come; nil: none.
func (l *listener) notify(event func() *ref.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	if e := event(); e != nil {
		l.emit(*e)
	}
}

func (l *listener) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

// join adds a listener. The first one begins to follow the shards.
func (x *export) join(l *listener) {
	x.life.Lock()
	defer x.life.Unlock()
	x.mu.Lock()
	x.listeners[l] = struct{}{}
	first := len(x.listeners) == 1
	x.mu.Unlock()
	if first {
		x.end = x.inBackground(context.Background(), x.follow)
	}
}

// leave ends that with the last one.
func (x *export) leave(l *listener) {
	l.end()
	x.life.Lock()
	defer x.life.Unlock()
	x.mu.Lock()
	delete(x.listeners, l)
	last := len(x.listeners) == 0
	x.mu.Unlock()
	if last {
		x.end()
	}
}
