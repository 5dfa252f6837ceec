package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/component-base/featuregate"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/kube/downstream"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/kube/lease"
	"github.com/upstreamd/upstreamd/internal/kube/upstream"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/supervisor"
)

// App is the daemon.
type App struct {
	config   *config.Configuration
	log      zerolog.Logger
	agent    string
	registry *prometheus.Registry
	metrics  *metrics.Metrics
	policies *policyFolder
	servers  *client.Servers
	locators []string // the styles, as the locator package takes them
	upstream *upstream.Client
	election *lease.Election         // nil: there is none, and this daemon always writes
	gates    featuregate.FeatureGate // for features that are not stable yet
	lists    *lean.Lists             // bounds the lists of all SyncTargets
	budget   *lean.Budget            // bounds the heap that is kept for all SyncTargets
	pace     pace
	gate     gate // protects the endpoints
	own      []*ownAccess

	desired  atomic.Pointer[desired] // the part of the configuration that may change
	reloaded chan struct{}           // capacity 1: desired, or the names of workspaces, changed
	rebound  chan struct{}           // capacity 1: workspaces are to be asked for their names
	file     *configurationFile      // nil: it is not followed
	reload   <-chan os.Signal        // reads file at once
	notYet   atomic.Pointer[error]
	warned   *cache.LRUExpireCache // warnings that are logged once a day

	listening chan struct{} // closed when address is known
	address   net.Addr      // nil: metrics are not served

	healthAddress net.Addr                          // nil: health has no listener of its own
	system        atomic.Pointer[supervisor.System] // nil: not started, or stopping
}

// The lists under way at a time, of all SyncTargets together. One that lasts longer than listTurn makes room for others, so that
// SyncTargets that send slowly do not hold up the rest.
const (
	listsAtATime = 32
	listTurn     = 30 * time.Second
)

// pace holds the intervals at which inputs are read again.
type pace struct {
	resolveEvery             time.Duration // a path such as root:team-a leads to another logical cluster once its workspace was made anew
	resolveSoon, resolveLate time.Duration // a server that does not answer is asked again after a pause that grows from one to the other
	policies                 time.Duration // the folder of policies is read; a change has to be read twice
	configuration            time.Duration // likewise the configuration's file
	mend                     time.Duration // that file is read again although it is the same, if something was wrong
	survey                   time.Duration // servers are asked which kinds they serve
	again                    time.Duration // failed changes are retried
	warm                     time.Duration // upstream's list is awaited, before taking part in the leader election
}

// New makes the daemon that c describes, and reads the files that it names. It contacts no server. The error lists all mistakes.
func New(c *config.Configuration, log zerolog.Logger) (*App, error) {
	a := &App{
		config:   c,
		log:      log,
		agent:    "upstreamd/" + BuildVersion().Version,
		registry: prometheus.NewRegistry(),
		lists:    lean.NewLists(listsAtATime, listTurn),
		budget:   lean.NewBudget(c.Limits.Total(debug.SetMemoryLimit(-1))),
		pace: pace{resolveEvery: time.Minute, resolveSoon: time.Second, resolveLate: 15 * time.Second, policies: 2 * time.Second,
			configuration: 2 * time.Second, mend: 30 * time.Second, survey: 30 * time.Second, again: 5 * time.Second, warm: 100 * time.Millisecond},
		warned:    cache.NewLRUExpireCache(4096),
		reloaded:  make(chan struct{}, 1),
		rebound:   make(chan struct{}, 1),
		listening: make(chan struct{}),
	}
	err := errors.Join(a.makeMetrics(), a.readPolicies(), a.makeLocators(), a.makeServers(), a.makeUpstream(), a.makeElection(), a.readTargets(),
		a.makeGate(), a.setGates())
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Address is where metrics and health are served. It waits until that is known; nil if ctx ends first or nothing is served there.
func (a *App) Address(ctx context.Context) net.Addr {
	select {
	case <-a.listening:
		return a.address
	case <-ctx.Done():
		return nil
	}
}

// HealthAddress is that of the listener for health alone, as Address.
func (a *App) HealthAddress(ctx context.Context) net.Addr {
	select {
	case <-a.listening:
		return a.healthAddress
	case <-ctx.Done():
		return nil
	}
}

func (a *App) makeMetrics() error {
	var err error
	if a.metrics, err = metrics.New(a.registry); err != nil {
		return err
	}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector(),
	} {
		if err := a.registry.Register(c); err != nil {
			return fmt.Errorf("registering the metrics of the process: %w", err)
		}
	}
	return nil
}

// makeLocators checks the locator styles and completes them with their settings.
func (a *App) makeLocators() error {
	a.locators = slices.Clone(a.config.Locators)
	if agent := a.config.Agent; agent != nil {
		i := slices.Index(a.locators, locator.SyncAgent)
		a.locators[i] = locator.SyncAgentIn(agent.Namespace)
	}
	if _, err := locator.New(a.locators, locator.Target{}); err != nil {
		return fmt.Errorf("syncAgent.namespace: %w", err)
	}
	return nil
}

// makeServers reads the rules for the kubeconfigs of SyncTarget objects.
func (a *App) makeServers() error {
	if a.config.Discovery == nil {
		return nil
	}
	var err error
	if a.servers, err = client.NewServers(a.config.Discovery.AllowedServers); err != nil {
		return fmt.Errorf("syncTargetDiscovery.allowedServers%w", err)
	}
	return nil
}

func (a *App) readPolicies() error {
	var err error
	a.policies, err = openPolicyFolder(a.config.Policies.Directory, a.metrics.PolicyReloads, a.component("policies"))
	return err
}

func (a *App) makeUpstream() error {
	u := a.config.Upstream
	read, err := readAccess(u.Kubeconfig, u.Context)
	if err != nil {
		return fmt.Errorf("upstream.kubeconfig: %w", err)
	}
	a.upstream, err = upstream.New(read.config, a.upstreamOptions())
	if err != nil {
		return fmt.Errorf("upstream.kubeconfig: %w", err)
	}
	a.keepRenewed("upstream.kubeconfig", read, a.upstream.Renew)
	return nil
}

func (a *App) readTargets() error {
	w, err := a.readDesired(a.config)
	a.desired.Store(w)
	return err
}

func (a *App) downstreamOptions(target string) downstream.Options {
	l := a.config.Limits
	return downstream.Options{
		UserAgent:  a.agent,
		Logger:     a.component("downstream").With().Str("sync_target", target).Logger(),
		Limits:     lean.Limits{Objects: int64(l.Objects), Kept: int64(l.Mebibytes) << 20},
		Lists:      a.lists,
		Budget:     a.budget,
		Quarantine: lean.Backoff{Initial: l.Quarantine.Duration, Max: 10 * l.Quarantine.Duration, Jitter: .1},
	}
}

// setUnready sets why the daemon is not ready although it runs; nil: it may be ready.
func (a *App) setUnready(why error) { a.notYet.Store(&why) }

func (a *App) setGates() error {
	var err error
	a.gates, err = config.Gates(config.Features(), a.config.FeatureGates)
	return err
}

func (a *App) component(name string) zerolog.Logger {
	return a.log.With().Str("component", name).Logger()
}
