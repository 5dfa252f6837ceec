package serving

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"
)

// from is a connection that seems to come from an address.
type from struct {
	net.Conn
	address string
	closed  *bool
}

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

func (c from) RemoteAddr() net.Addr { return address(c.address) }
func (c from) Close() error         { *c.closed = true; return nil }

// TestLimit: which connections make room for which.
func TestLimit(t *testing.T) {
	l := NewLimit(4, 2)
	closed := map[string]*bool{}
	open := func(name, address string) net.Conn {
		closed[name] = new(bool)
		return l.admit(from{address: address, closed: closed[name]})
	}
	expect := func(when string, want ...string) {
		t.Helper()
		var got []string
		for name, c := range closed {
			if *c {
				got = append(got, name)
				delete(closed, name)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: closed %v, want %v", when, got, want)
		}
	}
	a1, a2 := open("a1", "10.0.0.1:1"), open("a2", "10.0.0.1:2")
	expect("two of one client")
	open("a3", "10.0.0.1:3")
	expect("a third of one client", "a1")
	b1 := open("b1", "[2001:db8::1]:1")
	open("b2", "[2001:db8::2]:1")
	expect("four in all")
	open("b3", "[2001:db8::3]:1")
	expect("a third of one network", "b1")
	open("c1", "10.0.0.3:1")
	expect("a fifth in all", "a2")
	l.State(closedFirst(l), http.StateActive) // a3
	open("d1", "10.0.0.4:1")
	expect("the oldest has a request under way", "b2")
	for _, c := range l.open {
		l.State(c, http.StateActive)
	}
	if open("e1", "10.0.0.5:1") != nil {
		t.Error("a connection was admitted although all have requests under way")
	}
	expect("all have requests under way")
	for _, c := range []net.Conn{a1, a2, b1} { // closed already
		_ = c.Close()
	}
	for len(l.open) > 0 {
		_ = l.open[0].Close()
	}
	if len(l.counts) != 0 {
		t.Errorf("counts left: %v", l.counts)
	}
}

func closedFirst(l *Limit) net.Conn { return l.open[0] }

// TestSilentConnectionsKeepNobodyOut: with hundreds of connections that send nothing, or half a request, each new one is answered,
// over TLS as well.
func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("TLS ", secure), func(t *testing.T) {
			limit := NewLimit(32, 16)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
			s.Listener = limit.Listener(s.Listener)
			s.Config.ConnState = limit.State
			scheme := "http"
			if secure {
				scheme = "https"
				s.StartTLS()
			} else {
				s.Start()
			}
			defer s.Close()
			at := s.Listener.Addr().String()
			for i := range 300 {
				c, err := net.Dial("tcp", at)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = c.Close() }()
				if i%2 == 0 {
					_, _ = io.WriteString(c, "GET /livez HTTP/1.1\r\n")
				}
			}
			for range 3 {
				client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
					DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
				resp, err := client.Get(scheme + "://" + at + "/livez")
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
			}
			limit.mu.Lock()
			defer limit.mu.Unlock()
			if len(limit.open) > 16 {
				t.Errorf("%d open connections of one client", len(limit.open))
			}
		})
	}
}

// TestALongAnswerIsNotCut: a connection with a request under way stays, however many come after it.
func TestALongAnswerIsNotCut(t *testing.T) {
	limit := NewLimit(8, 4)
	proceed := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		<-proceed
		_, _ = io.WriteString(w, "whole")
	}))
	s.Listener = limit.Listener(s.Listener)
	s.Config.ConnState = limit.State
	s.Start()
	defer s.Close()
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	for range 50 {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
	}
	close(proceed)
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "whole" {
		t.Errorf("%q, %v", body, errors.Unwrap(err))
	}
}

// TestAcceptRetries: errors of accept do not end the server, as the end of its listener does.
func TestAcceptRetries(t *testing.T) {
	served := NewLimit(1, 1).Listener(&failing{errs: []error{syscall.ENOBUFS, syscall.ENETDOWN, net.ErrClosed}})
	if _, err := served.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept ended with %v", err)
	}
}

type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, err
}
