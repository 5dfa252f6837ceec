package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// ErrRedirected is the error of a call that was answered with a redirect. Redirects are never followed: they lead to hosts that are not
// configured, and credentials might go there.
var ErrRedirected = errors.New("redirect refused")

// ErrCompressed is the error of a call with a compressed answer, which is never requested. A small compressed body may hold gigabytes.
var ErrCompressed = errors.New("compressed answer refused")

const (
	// An HTTP/2 connection that is silent for pingAfter gets a ping, and is closed if no answer comes within pingTimeout. Without this, a
	// silent watch is noticed after 45 s.
	pingAfter   = 8 * time.Second
	pingTimeout = 4 * time.Second

	// Enough for every call of a busy writer to come back to an open connection (client-go keeps 25).
	idlePerHost = 256
)

// newSession makes the client of one host: TLS and credentials as client-go understands cfg (exec plugins are asked again after
// a 401, and so are token files), but no redirects, no compression and no request layer that repeats calls unseen.
func newSession(cfg *rest.Config, contact *contact, connections *connections) (session, error) {
	tc, err := cfg.TransportConfig()
	if err != nil {
		return session{}, fmt.Errorf("credentials: %w", err)
	}
	base := cfg.Transport
	if base == nil {
		if base, err = newTransport(tc, connections); err != nil {
			return session{}, err
		}
	}
	if tc.BearerTokenFile != "" {
		// client-go alone would read the file again after a minute, even if the server answers 401 before.
		tokens := transport.NewCachedFileTokenSource(tc.BearerTokenFile)
		if _, err := tokens.Token(); err != nil {
			return session{}, fmt.Errorf("credentials: %w", err)
		}
		tc.Wrap(transport.ResettableTokenSourceWrapTransport(tokens))
		tc.BearerToken, tc.BearerTokenFile = "", ""
	}
	tc.UserAgent = "" // set on every request, which saves a copy of each
	below := &contactTransport{next: base, contact: contact}
	rt, err := transport.HTTPWrappersForConfig(tc, below)
	if err != nil {
		return session{}, fmt.Errorf("credentials: %w", err)
	}
	if cfg.ExecProvider != nil {
		rt = &impatient{next: rt}
	}
	return session{http: &http.Client{Transport: bounded{rt}, CheckRedirect: refuseRedirect}, transport: below}, nil
}

// newTransport replaces client-go's transport cache, with limits of its own and without sharing: closing the transport of one connection
// must not close another's.
func newTransport(tc *transport.Config, connections *connections) (*http.Transport, error) {
	tlsConfig, err := transport.TLSConfigFor(tc)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	dial := (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	if tc.DialHolder != nil {
		dial = tc.DialHolder.Dial
	}
	proxy := http.ProxyFromEnvironment
	if tc.Proxy != nil {
		proxy = tc.Proxy
	}
	return &http.Transport{
		Proxy:               quietProxy(proxy),
		DialContext:         connections.dialer(dial),
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   allowsHTTP2(tlsConfig),
		HTTP2:               &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		MaxIdleConnsPerHost: idlePerHost,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,

		MaxResponseHeaderBytes: 256 << 10,
	}, nil
}

func allowsHTTP2(c *tls.Config) bool {
	return c == nil || len(c.NextProtos) == 0 || slices.Contains(c.NextProtos, "h2")
}

func refuseRedirect(req *http.Request, via []*http.Request) error {
	return fmt.Errorf("%w: %s wanted to send us to %q", ErrRedirected, via[len(via)-1].URL.Host, req.URL.Host)
}

// withoutTarget takes the URL of a redirect out of its error: the server chose it, and may have put credentials into it.
func withoutTarget(err error) error {
	if failed := (*url.Error)(nil); errors.Is(err, ErrRedirected) && errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// contact records when bytes last came from the server: the head of an answer that counts, or any part of its body. It also records that
// calls did not reach the server, and reports when it answers again.
type contact struct {
	now   func() time.Time
	clock clock
	last  atomic.Pointer[time.Time]
	lost  atomic.Bool // a call failed without an answer, and none that counts came since

	mu    sync.Mutex
	again chan struct{} // closed by wake; nil: not asked for
	woken time.Time     // when wake was last called by an answer
}

// wakeEvery is the least time between two wakes by answers: a server that answers every other call must not be called without a pause.
const wakeEvery = time.Second

func (h *contact) note() {
	now := h.now()
	h.last.Store(&now)
	if h.lost.Load() {
		h.answered(now)
	}
}

func (h *contact) answered(now time.Time) {
	h.mu.Lock()
	due := h.woken.IsZero() || now.Sub(h.woken) >= wakeEvery
	if due {
		h.woken = now
		h.lost.Store(false)
	}
	h.mu.Unlock()
	if due {
		h.wake()
	}
}

func (h *contact) recovered() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.again == nil {
		h.again = make(chan struct{})
	}
	return h.again
}

func (h *contact) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.again != nil {
		close(h.again)
		h.again = nil
	}
}

// contactTransport is a RoundTripper that records when the server last answered.
type contactTransport struct {
	next    http.RoundTripper
	contact *contact
}

func (h *contactTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	began := h.contact.now()
	resp, err := h.next.RoundTrip(req)
	if err != nil {
		if given := Cause(req.Context(), err); !errors.Is(given, context.Canceled) { // else the caller gave up
			h.contact.lost.Store(true)
		}
		return nil, err
	}
	resp.Request = req // with its credentials, which not every transport sets
	if counts(resp) {
		h.contact.note()
		h.contact.clock.observe(resp.Header.Get("Date"), began, h.contact.now())
		resp.Body = &contactBody{ReadCloser: resp.Body, contact: h.contact}
	}
	return resp, nil
}

// counts reports whether an answer shows an API server at work, which may refuse the request or lack the object; not one that admits
// no client or cannot work, nor a proxy in its place.
func counts(resp *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // empty if it is none
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	switch resp.StatusCode / 100 {
	case 2:
		return kind != "text/html"
	case 4:
		return kind == "application/json"
	default:
		return false
	}
}

// CloseIdleConnections does so in the transport below, if that can.
func (h *contactTransport) CloseIdleConnections() {
	if t, ok := h.next.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

type contactBody struct {
	io.ReadCloser
	contact *contact
}

func (b *contactBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.contact.note()
	}
	return n, err
}

// Cause is err, or the cause with which ctx ended if err only repeats that it did.
func Cause(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case cause == nil:
		return err
	case errors.Is(err, context.Canceled):
		return cause
	case errors.Is(err, context.DeadlineExceeded) && !errors.Is(cause, context.DeadlineExceeded):
		return cause
	}
	return err
}

// unreachable marks errors after which it is certain that nothing was sent: no connection was made, or its peer was not trusted.
func unreachable(err error) error {
	call, untrusted := (*net.OpError)(nil), (*tls.CertificateVerificationError)(nil)
	if errors.As(err, &call) && call.Op == "dial" || errors.As(err, &untrusted) {
		return fmt.Errorf("%w: %w", ref.ErrUnreachable, err)
	}
	return err
}
