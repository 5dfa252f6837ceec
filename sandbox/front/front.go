package front

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// Front is a reverse proxy for workspaces.
type Front struct {
	url    string
	server *http.Server
	served chan struct{}

	mu        sync.Mutex
	backends  map[string]*backend
	calls     Calls
	observe   func(Request)
	intercept Interceptor
}

// Request is an answered request to a workspace.
type Request struct {
	Call
	Agent        string // the client's User-Agent
	FieldManager string
	Code         int // the answer's status code; 0 if the connection was cut before one was sent
	Started      time.Time
	Took         time.Duration // a watch takes until it ends
}

// Interceptor receives a request to a workspace before the API server, and returns true if it has answered it. It may wait, to
// slow down the API server, or panic with http.ErrAbortHandler, to cut the connection. It runs on many goroutines at once.
type Interceptor func(w http.ResponseWriter, r *http.Request, call Call) bool

// backend is one workspace's API server.
type backend struct {
	proxy     *httputil.ReverseProxy
	transport *http.Transport
}

// Start serves on a free port of 127.0.0.1 with the given certificate and key files.
func Start(certFile, keyFile string) (*Front, error) {
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the front's certificate: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serving workspaces: %w", err)
	}
	f := &Front{
		url:      "https://" + listener.Addr().String(),
		served:   make(chan struct{}),
		backends: map[string]*backend{},
		calls:    Calls{},
	}
	f.server = &http.Server{
		Handler:           f,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // drop errors of aborted handshakes
	}
	go func() {
		defer close(f.served)
		_ = f.server.ServeTLS(listener, "", "") // returns ErrServerClosed after Close
	}()
	return f, nil
}

// URL is the serving address, without a /clusters suffix.
func (f *Front) URL() string { return f.url }

// WorkspaceURL is the address of one workspace.
func (f *Front) WorkspaceURL(workspace string) string { return f.url + "/clusters/" + workspace }

// Add sets the API server of a workspace, and replaces an earlier one. config supplies the address and CA; requests keep their
// own credentials.
func (f *Front) Add(workspace string, config *rest.Config) error {
	target, err := url.Parse(config.Host)
	if err != nil {
		return fmt.Errorf("workspace %s: %w", workspace, err)
	}
	trust, err := rest.TLSConfigFor(rest.AnonymousClientConfig(config))
	if err != nil {
		return fmt.Errorf("workspace %s: %w", workspace, err)
	}
	// Do not use client-go's shared transport: other clients of this process must not share these connections.
	transport := &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true, DisableCompression: true, MaxIdleConnsPerHost: 100}
	prefix := "/clusters/" + workspace
	added := &backend{transport: transport, proxy: &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1, // watches stream
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Path = strings.TrimPrefix(r.Out.URL.Path, prefix)
			r.Out.URL.RawPath = ""
			r.SetURL(target)
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				return // the client has disconnected
			}
			writeStatus(w, http.StatusServiceUnavailable, "ServiceUnavailable", fmt.Sprintf("workspace %s: %v", workspace, err))
		},
		ErrorLog: log.New(io.Discard, "", 0), // reports only cut streams, which the client detects itself
	}}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.backends[workspace] = added
	return nil
}

// Remove removes a workspace.
func (f *Front) Remove(workspace string) {
	f.mu.Lock()
	removed := f.backends[workspace]
	delete(f.backends, workspace)
	f.mu.Unlock()
	if removed != nil {
		removed.transport.CloseIdleConnections()
	}
}

// Calls returns the requests to workspaces so far.
func (f *Front) Calls() Calls {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.calls)
}

// Observe sets a callback for every answered request to a workspace, called from many goroutines. nil removes it.
func (f *Front) Observe(observe func(Request)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.observe = observe
}

// Intercept sets the interceptor before the API servers. nil removes it.
func (f *Front) Intercept(interceptor Interceptor) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.intercept = interceptor
}

// Stop cuts all connections and stops serving.
func (f *Front) Stop() error {
	err := f.server.Close()
	<-f.served
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.backends {
		b.transport.CloseIdleConnections()
	}
	return err
}
