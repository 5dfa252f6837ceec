package serving

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limit bounds the open connections of a server, in all and of one client. Where a new connection goes beyond a bound, the oldest one
// without a request under way makes room: first of the same client, then of all. So clients that open connections and stay silent
// cannot keep others out, neither those from other addresses nor a later one from their own. If all have requests under way, the new
// connection is closed.
//
// Listener and ConnState belong to one http.Server; State is its ConnState.
type Limit struct {
	all, perClient int

	mu     sync.Mutex
	open   []*limited // the oldest first
	counts map[netip.Prefix]int
}

// NewLimit makes a Limit.
func NewLimit(all, perClient int) *Limit {
	return &Limit{all: all, perClient: perClient, counts: map[netip.Prefix]int{}}
}

// Listener bounds the connections that l accepts.
func (l *Limit) Listener(next net.Listener) net.Listener { return &limitedListener{next, l} }

type limitedListener struct {
	net.Listener
	limit *Limit
}

// acceptPause is the wait after a failed accept.
const acceptPause = 100 * time.Millisecond

// Accept implements net.Listener. It returns no error before the listener is closed: accept reports errors of single connections, of
// the network and of a kernel out of files or memory, and http.Server gives up at some of them.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil, err
		case err != nil:
			time.Sleep(acceptPause)
			continue
		}
		if admitted := l.limit.admit(conn); admitted != nil {
			return admitted, nil
		}
		_ = conn.Close()
	}
}

// limited is an open connection.
type limited struct {
	net.Conn
	limit  *Limit
	client netip.Prefix
	active bool // a request is under way; guarded by the Limit's lock
}

// Close implements net.Conn.
func (c *limited) Close() error {
	c.limit.mu.Lock()
	c.limit.forget(c)
	c.limit.mu.Unlock()
	return c.Conn.Close()
}

// admit makes room for a connection; nil: there is none.
func (l *Limit) admit(conn net.Conn) net.Conn {
	c := &limited{Conn: conn, limit: l, client: clientOf(conn)}
	l.mu.Lock()
	var victim *limited
	switch {
	case l.counts[c.client] >= l.perClient:
		victim = l.oldest(func(o *limited) bool { return o.client == c.client })
	case len(l.open) >= l.all:
		victim = l.oldest(func(*limited) bool { return true })
	}
	full := l.counts[c.client] >= l.perClient || len(l.open) >= l.all
	if full && victim == nil {
		l.mu.Unlock()
		return nil
	}
	if victim != nil {
		l.forget(victim)
	}
	l.open = append(l.open, c)
	l.counts[c.client]++
	l.mu.Unlock()
	if victim != nil {
		_ = victim.Conn.Close()
	}
	return c
}

// oldest is the first of those that may go, without a request under way.
func (l *Limit) oldest(of func(*limited) bool) *limited {
	for _, c := range l.open {
		if !c.active && of(c) {
			return c
		}
	}
	return nil
}

// forget is called with l.mu held.
func (l *Limit) forget(c *limited) {
	for i, o := range l.open {
		if o != c {
			continue
		}
		l.open = append(l.open[:i], l.open[i+1:]...)
		if l.counts[c.client]--; l.counts[c.client] == 0 {
			delete(l.counts, c.client)
		}
		return
	}
}

// State notes which connections have a request under way. http.Server calls it.
func (l *Limit) State(conn net.Conn, state http.ConnState) {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = secure.NetConn()
	}
	if c, ok := conn.(*limited); ok {
		l.mu.Lock()
		c.active = state == http.StateActive
		l.mu.Unlock()
	}
}

// clientOf is the address that a connection comes from, or its network: one host has a whole /64 of IPv6.
func clientOf(conn net.Conn) netip.Prefix {
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Prefix{} // all of these are one client
	}
	address, bits := from.Addr().WithZone("").Unmap(), 32
	if address.Is6() {
		bits = 64
	}
	network, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return network
}
