package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
	"golang.org/x/net/netutil"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/serving"
	"github.com/upstreamd/upstreamd/internal/shown"
)

// gate is what stands before the endpoints.
type gate struct {
	certificate *serving.Certificate // nil: plain HTTP
	reviewer    *serving.Reviewer    // nil: whoever reaches the address may read
	local       bool                 // the address is on loopback
	profiling   bool
}

// makeGate makes what the configuration asks for, of the files that it names.
func (a *App) makeGate() error {
	s := a.config.Serving
	a.gate = gate{local: s.Loopback(), profiling: s.Profiling}
	var err error
	if s.TLS != nil && s.Address != "" {
		if a.gate.certificate, err = certificate(s, a.component("serving")); err != nil {
			return fmt.Errorf("serving.tls: %w", err)
		}
	}
	if s.Reviews != nil && s.Address != "" {
		if a.gate.reviewer, err = a.reviewer(s.Reviews); err != nil {
			return fmt.Errorf("serving.reviews: %w", err)
		}
	}
	return nil
}

// fingerprint tells the certificate that is shown; empty: none.
func (g gate) fingerprint() string {
	if g.certificate == nil {
		return ""
	}
	return serving.Fingerprint(g.certificate.Leaf())
}

func certificate(s config.Serving, log zerolog.Logger) (*serving.Certificate, error) {
	if s.TLS.CertFile != "" {
		return serving.FromFiles(s.TLS.CertFile, s.TLS.KeyFile, log)
	}
	host, _, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("the name of this host: %w", err)
		}
	}
	log.Warn().Str("host", host).Msg("no certificate is given: one that is signed by itself is made, and made anew at each start")
	return serving.SelfSigned(host, log)
}

func (a *App) reviewer(r *config.Reviews) (*serving.Reviewer, error) {
	read, err := accessTo(r.InCluster, r.Kubeconfig, r.Context)
	if err != nil {
		return nil, err
	}
	conn, err := client.New(read.config, client.Options{UserAgent: a.agent})
	if err != nil {
		return nil, err
	}
	reviewer := serving.NewReviewer(conn, a.component("serving"))
	a.keepRenewed("serving.reviews.kubeconfig", read, reviewer.Renew)
	return reviewer, nil
}

// server answers /livez, /readyz and /metrics.
type server struct {
	http     *http.Server
	listener net.Listener
	gate     gate
	done     chan error // one value: why serving ended
}

// connections is how many may be open at once: what is served must not take the files and the memory that the work needs.
const connections = 256

// listen takes the address at once, so that a port that is taken stops the start.
func listen(ctx context.Context, address string, handler http.Handler, g gate, log *slog.Logger) (*server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serving.address: %w", err)
	}
	s := &server{
		listener: netutil.LimitListener(listener, connections),
		gate:     g,
		done:     make(chan error, 1),
		http: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // who connects decides what stands there
			Protocols:         new(http.Protocols),
		},
	}
	s.http.Protocols.SetHTTP1(true) // three small pages need no HTTP/2, whose streams strangers can open by the hundred
	if g.certificate != nil {
		s.http.TLSConfig = g.certificate.TLS()
	}
	return s, nil
}

func (s *server) start() {
	go func() {
		if s.gate.certificate != nil {
			s.done <- s.http.ServeTLS(s.listener, "", "")
			return
		}
		s.done <- s.http.Serve(s.listener)
	}()
}

// stop lets answers under way finish until ctx ends.
func (s *server) stop(ctx context.Context) error {
	if s.gate.reviewer != nil {
		defer s.gate.reviewer.Close()
	}
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("ending the server of health and metrics: %w", err), s.http.Close())
	}
	return nil
}

// endpoints is what is served. unready says why the daemon is not ready, or nil; role what it does if it is. Health is open to all who reach it, since kubelet has
// no token; the rest is for those whom the gate lets in.
func endpoints(metrics prometheus.Gatherer, unready func() error, role func() string, g gate) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		switch err := unready(); {
		case err == nil && g.local:
			answer(w, http.StatusOK, role())
		case err == nil:
			answer(w, http.StatusOK, "ok")
		case g.local:
			answer(w, http.StatusServiceUnavailable, "not ready: "+shown.Lines(err.Error(), longLine))
		default: // the reason may name servers, as a role does hosts
			answer(w, http.StatusServiceUnavailable, "not ready; the log says why")
		}
	})
	guard := func(next http.Handler) http.Handler { return next }
	if g.reviewer != nil {
		guard = g.reviewer.Guard
	}
	mux.Handle("GET /metrics", guard(promhttp.HandlerFor(metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 20 * time.Second})))
	if g.profiling {
		mux.Handle("GET /debug/pprof/", guard(http.HandlerFunc(pprof.Index)))
		mux.Handle("GET /debug/pprof/profile", guard(http.HandlerFunc(pprof.Profile)))
		mux.Handle("GET /debug/pprof/trace", guard(http.HandlerFunc(pprof.Trace)))
	}
	if g.local {
		return serving.Local(mux)
	}
	return mux
}

func answer(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text+"\n") // whoever asked may be gone
}
