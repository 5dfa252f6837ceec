// Package client connects to one API server: it turns a kubeconfig into a hardened connection. Lists, watches and patches build
// their requests on it; [Conn.Do] states its promises.
package client

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// Conn is one server's connection: its base URL, and one HTTP client with one transport of its own. It is safe for concurrent use.
type Conn struct {
	base        *url.URL
	server      server
	agent       string
	contact     *contact
	connections *connections

	mu      sync.Mutex
	session session
	renewed chan struct{} // closed when session is replaced
}

// session is an HTTP client with its credentials, and the transport below it.
type session struct {
	http      *http.Client
	transport *contactTransport
}

// Options of a Conn.
type Options struct {
	UserAgent string           // default: the config's, else "upstreamd"
	Now       func() time.Time // default: time.Now
}

// New makes a connection; nothing is sent yet. cfg.Transport or cfg.Dial, where set, carry the bytes (tests, tunnels). Limits of
// client-go (QPS) and its time-outs do not apply.
func New(cfg *rest.Config, opts Options) (*Conn, error) {
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("server URL: %w", err)
	}
	if opts.UserAgent == "" {
		opts.UserAgent = cfg.UserAgent
	}
	if opts.UserAgent == "" {
		opts.UserAgent = "upstreamd"
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	c := &Conn{base: base, agent: opts.UserAgent, contact: &contact{now: opts.Now}, connections: &connections{}, renewed: make(chan struct{})}
	if c.server, err = serverOf(cfg); err != nil {
		return nil, err
	}
	if c.session, err = newSession(cfg, c.contact, c.connections); err != nil {
		return nil, fmt.Errorf("client for %s: %w", base.Host, err)
	}
	return c, nil
}

// Renew takes the credentials of cfg from the next call on. Calls under way, open watches among them, stay as they are. cfg must lead
// to the same server; see [Conn.Leads]. After an error everything is as before.
func (c *Conn) Renew(cfg *rest.Config) error {
	if !c.Leads(cfg) {
		return fmt.Errorf("client for %s: the configuration leads to another server", c.base.Host)
	}
	renewed, err := newSession(cfg, c.contact, c.connections)
	if err != nil {
		return fmt.Errorf("client for %s: %w", c.base.Host, err)
	}
	c.mu.Lock()
	old := c.session
	c.session = renewed
	close(c.renewed)
	c.renewed = make(chan struct{})
	c.mu.Unlock()
	old.transport.CloseIdleConnections()
	return nil
}

// Renewed is closed when the credentials are next replaced: retries need not wait any longer.
func (c *Conn) Renewed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.renewed
}

// Recovered is closed when the server next answers after calls failed to reach it, or when Wake is called: retries need not wait any
// longer.
func (c *Conn) Recovered() <-chan struct{} { return c.contact.recovered() }

// Wake closes the channel of Recovered.
func (c *Conn) Wake() { c.contact.wake() }

// Leads reports whether cfg leads to the server of this connection: the same URL, name in the certificate and trusted CAs.
func (c *Conn) Leads(cfg *rest.Config) bool {
	s, err := serverOf(cfg)
	return err == nil && s == c.server
}

func (c *Conn) current() session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// Base is the server's URL, with the path that every request's path is appended to. The caller must not change it.
func (c *Conn) Base() *url.URL { return c.base }

// LastHeard is when bytes last came on an answer that shows the API server at work; zero: never. Such answers are 2xx other than web
// pages, and 4xx in JSON, which the API server writes itself; not those that every client gets (401, 407, 408, 429), redirects and 5xx.
func (c *Conn) LastHeard() time.Time {
	if t := c.contact.last.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// Close cuts all connections, and with them the calls under way. No other method is called afterwards.
func (c *Conn) Close() {
	c.current().transport.CloseIdleConnections()
	c.connections.cut()
}

// Request is one call.
type Request struct {
	Method      string // default GET
	Path        string // unescaped, begins with "/"; appended to the path of Base
	Query       url.Values
	Accept      string // default application/json
	Body        []byte
	ContentType string // of Body
}

// Do sends one request, once. It returns an answer of 2xx with a plain JSON body, or an error:
// an *apierrors.StatusError for any other answer of the server (Retry-After is kept, see apierrors.SuggestsClientDelay),
// ErrRedirected, ErrCompressed, or an error of transport: ref.ErrUnreachable, or else it is unknown whether the server acted.
// The caller closes the body, best with [Drain].
func (c *Conn) Do(ctx context.Context, r Request) (*http.Response, error) {
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	resp, err := c.current().http.Do(c.request(ctx, r))
	if err != nil {
		return nil, unreachable(withoutTarget(Cause(ctx, err)))
	}
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s %s: %w: Content-Encoding %q", r.Method, r.Path, ErrCompressed, encoding)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer Drain(resp.Body)
		return nil, statusError(resp, r)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && kind == "text/html" {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s %s: the answer is HTML: this is not an API server", r.Method, r.Path)
	}
	return resp, nil
}

// request builds the request by hand: parsing a URL again for each call would cost more than the rest.
func (c *Conn) request(ctx context.Context, r Request) *http.Request {
	u := *c.base
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+r.Path, ""
	u.RawQuery, u.Fragment = r.Query.Encode(), ""
	header := http.Header{"Accept": {cmp.Or(r.Accept, "application/json")}, "User-Agent": {c.agent}}
	req := blank.WithContext(ctx)
	req.Method, req.URL, req.Host, req.Header = r.Method, &u, u.Host, header
	if r.Body != nil {
		header.Set("Content-Type", r.ContentType)
		req.ContentLength = int64(len(r.Body))
		req.GetBody = func() (io.ReadCloser, error) { return timely{ctx, bytes.NewReader(r.Body)}, nil }
		req.Body, _ = req.GetBody()
	}
	return req
}

// blank holds the fields that all requests share; WithContext copies it.
var blank = &http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}

// timely is a body that is not sent after its call's deadline. A process that was frozen during a call resumes there, possibly before the
// timer of the deadline fires.
type timely struct {
	ctx  context.Context //nolint:containedctx // it is the body of one call
	body *bytes.Reader
}

func (t timely) Read(p []byte) (int, error) {
	if deadline, ok := t.ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return 0, context.DeadlineExceeded
	}
	return t.body.Read(p)
}

func (timely) Close() error { return nil }

// Drain reads the little that may be left of a body and closes it, so that its connection can be used again.
func Drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	_ = body.Close()
}
