package client

import (
	"context"
	"net"
	"sync"
)

// lines are the open network connections of one Conn, over all transports that it had. A transport alone closes only those that are
// idle at the moment it is asked, so that goroutines of a server that was left would stay for a minute and a half.
type connections struct {
	mu   sync.Mutex
	open map[*connection]struct{}
	done bool
}

// line is one of them.
type connection struct {
	net.Conn
	of *connections
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// dialer makes dial register the connections that it opens.
func (l *connections) dialer(dial dialer) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		opened := &connection{Conn: conn, of: l}
		if !l.add(opened) {
			_ = conn.Close()
			return nil, net.ErrClosed
		}
		return opened, nil
	}
}

func (l *connections) add(opened *connection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return false
	}
	if l.open == nil {
		l.open = map[*connection]struct{}{}
	}
	l.open[opened] = struct{}{}
	return true
}

// cut closes all of them, and any that is opened later.
func (l *connections) cut() {
	l.mu.Lock()
	l.done = true
	open := l.open
	l.open = nil
	l.mu.Unlock()
	for opened := range open {
		_ = opened.Conn.Close()
	}
}

// Close implements net.Conn.
func (l *connection) Close() error {
	l.of.mu.Lock()
	delete(l.of.open, l)
	l.of.mu.Unlock()
	return l.Conn.Close()
}
