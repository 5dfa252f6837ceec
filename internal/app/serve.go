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

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/serving"
	"github.com/upstreamd/upstreamd/internal/shown"
)

// gate protects the endpoints.
type gate struct {
	certificate *serving.Certificate // nil: plain HTTP
	reviewer    *serving.Reviewer    // nil: every client that reaches the address may read
	local       bool                 // the address is on loopback
	profiling   bool
}

// makeGate makes the configured gate, from the files that it names.
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

// fingerprint identifies the serving certificate; empty: none.
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

// serve starts the listeners that the configuration names; stop ends them.
func (a *App) serve(ctx context.Context) (stop func() error, err error) {
	var servers []*server
	stop = func() error {
		end, cancel := a.deadline()
		defer cancel()
		var errs []error
		for _, s := range servers {
			errs = append(errs, s.stop(end))
		}
		return errors.Join(errs...)
	}
	open := func(address string, handler http.Handler, how service) (net.Addr, error) {
		s, err := listen(ctx, address, handler, how, Bridge(a.log, "http"))
		if err != nil {
			return nil, err
		}
		servers = append(servers, s)
		return s.listener.Addr(), nil
	}
	c := a.config.Serving
	if c.Address != "" {
		if a.address, err = open(c.Address, endpoints(a.registry, a.unready, a.role, a.gate), mainService(a.gate)); err != nil {
			return nil, err
		}
		a.log.Info().Stringer("address", a.address).Str("certificate", a.gate.fingerprint()).Bool("reviews", a.gate.reviewer != nil).Msg("serving metrics and health")
	}
	if address := c.HealthAddress(); address != "" {
		if a.healthAddress, err = open(address, healthEndpoints(a.unready, a.role, config.Loopback(address)), healthService()); err != nil {
			return nil, errors.Join(err, stop())
		}
		a.log.Info().Stringer("address", a.healthAddress).Msg("serving health")
	}
	for _, s := range servers {
		go s.run()
	}
	close(a.listening)
	return stop, nil
}

// server is one listener with its endpoints.
type server struct {
	http     *http.Server
	listener net.Listener
	gate     gate
}

// service holds the limits of a listener.
type service struct {
	field          string // of the configuration, for errors
	all, perClient int    // connections open at once: they must not take the files and the memory that the work needs
	head, body     time.Duration
	write, idle    time.Duration
	gate           gate
}

// The health endpoint has a listener of its own, with limits of its own: load on the other one, or an attack on it, must not end the
// process by a failed probe.
func mainService(g gate) service {
	return service{field: "serving.address", all: 256, perClient: 64, gate: g,
		head: 5 * time.Second, body: 10 * time.Second, write: 30 * time.Second, idle: 15 * time.Second}
}

func healthService() service {
	return service{field: "serving.health.address", all: 64, perClient: 16,
		head: 2 * time.Second, body: 2 * time.Second, write: 5 * time.Second, idle: 2 * time.Second}
}

// listen takes the address at once, so that a port that is taken stops the start.
func listen(ctx context.Context, address string, handler http.Handler, how service, log *slog.Logger) (*server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", how.field, err)
	}
	limit := serving.NewLimit(how.all, how.perClient)
	s := &server{
		listener: limit.Listener(listener),
		gate:     how.gate,
		http: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: how.head,
			ReadTimeout:       how.body,
			WriteTimeout:      how.write,
			IdleTimeout:       how.idle,
			MaxHeaderBytes:    16 << 10,
			ConnState:         limit.State,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // clients decide its content
			Protocols:         new(http.Protocols),
		},
	}
	s.http.Protocols.SetHTTP1(true) // three small pages need no HTTP/2, where one client can open streams by the hundred
	if how.gate.certificate != nil {
		s.http.TLSConfig = how.gate.certificate.TLS()
	}
	return s, nil
}

// run serves until stop. The listener retries all errors, so that none but the one of stop comes here.
func (s *server) run() {
	if s.gate.certificate != nil {
		_ = s.http.ServeTLS(s.listener, "", "")
		return
	}
	_ = s.http.Serve(s.listener)
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

// health serves /livez and /readyz: unready is why the daemon is not ready, or nil; role names its part if it is. They are open to all
// clients that reach them, since kubelet has no token.
func health(mux *http.ServeMux, unready func() error, role func() string, local bool) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		switch err := unready(); {
		case err == nil && local:
			answer(w, http.StatusOK, role())
		case err == nil:
			answer(w, http.StatusOK, "ok")
		case local:
			answer(w, http.StatusServiceUnavailable, "not ready: "+shown.Lines(err.Error(), longLine))
		default: // the reason may name servers, as a role does hosts
			answer(w, http.StatusServiceUnavailable, "not ready; the log says why")
		}
	})
}

// healthEndpoints is the handler of the health listener.
func healthEndpoints(unready func() error, role func() string, local bool) http.Handler {
	mux := http.NewServeMux()
	health(mux, unready, role, local)
	if local {
		return serving.Local(mux)
	}
	return mux
}

// endpoints is the handler of the main listener: health, and for clients that the gate admits the metrics and profiles.
func endpoints(metrics prometheus.Gatherer, unready func() error, role func() string, g gate) http.Handler {
	mux := http.NewServeMux()
	health(mux, unready, role, g.local)
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
	_, _ = io.WriteString(w, text+"\n") // the client may be gone
}
