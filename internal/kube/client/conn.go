// Package client is the door to one API server: from a kubeconfig to a hardened connection. Lists, watches and patches build their
// requests right on it; see [Conn.Do] for what it promises.
package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

// Conn is one server's connection: its base URL, and one HTTP client with one transport of its own. It is safe for concurrent use.
type Conn struct {
	http  *http.Client
	base  *url.URL
	agent string
	heard *heard
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
	c := &Conn{base: base, agent: opts.UserAgent, heard: &heard{now: opts.Now}}
	if c.http, err = newHTTPClient(cfg, c.heard); err != nil {
		return nil, fmt.Errorf("client for %s: %w", base.Host, err)
	}
	return c, nil
}

// Base is the server's URL, with the path that every request's path is appended to. The caller must not change it.
func (c *Conn) Base() *url.URL { return c.base }

// LastHeard is when bytes came last on any answer of this connection; zero if never.
func (c *Conn) LastHeard() time.Time {
	if t := c.heard.last.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// Close drops idle connections. Calls under way are ended by their contexts.
func (c *Conn) Close() { c.heard.CloseIdleConnections() }

// Request is one call.
type Request struct {
	Method      string // default GET
	Path        string // unescaped, begins with "/"; appended to the path of Base
	Query       url.Values
	Body        []byte
	ContentType string // of Body
}

// Do sends one request, once. It returns an answer of 2xx with a plain JSON body, or an error:
// an *apierrors.StatusError for any other answer of the server (Retry-After is kept, see apierrors.SuggestsClientDelay),
// ErrRedirected, ErrCompressed, or an error of transport, after which it is unknown whether the server acted.
// The caller closes the body, best with [Drain].
func (c *Conn) Do(ctx context.Context, r Request) (*http.Response, error) {
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	resp, err := c.http.Do(c.request(ctx, r))
	if err != nil {
		return nil, Cause(ctx, err)
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
	header := http.Header{"Accept": {"application/json"}, "User-Agent": {c.agent}}
	req := &http.Request{Method: r.Method, URL: &u, Host: u.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if r.Body != nil {
		header.Set("Content-Type", r.ContentType)
		req.ContentLength = int64(len(r.Body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.Body)), nil }
		req.Body, _ = req.GetBody()
	}
	return req.WithContext(ctx)
}

// Drain reads the little that may be left of a body and closes it, so that its connection can be used again.
func Drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	_ = body.Close()
}
