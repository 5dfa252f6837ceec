package simulator

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/upstreamd/upstreamd/sandbox/topology"
)

// Options select the objects and the rate.
type Options struct {
	SyncTargets []topology.SyncTarget
	Rate        float64 // status changes per second over all SyncTargets
	Seed        uint64  // seeds the choice of objects and of their next steps
	Selector    string  // label selector of the objects; empty: all Deployments, Pods and Services
}

// Simulator runs until it is stopped. Its methods are safe for concurrent use.
type Simulator struct {
	options Options
	limiter *rate.Limiter
	running context.Context
	cancel  context.CancelFunc
	done    chan struct{}

	mu       sync.Mutex
	quiet    sync.Cond // signalled when inFlight reaches 0
	paused   bool
	inFlight int
	clusters map[string]*cluster
}

// Start starts the simulation. The caller must stop it.
func Start(ctx context.Context, o Options) (*Simulator, error) {
	if _, err := labels.Parse(o.Selector); err != nil {
		return nil, fmt.Errorf("the simulator's selector: %w", err)
	}
	if o.Rate <= 0 {
		return nil, fmt.Errorf("the simulator's rate is %v changes per second: it must be above 0", o.Rate)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	burst := 1 + int(o.Rate/10) // catches up after delays of up to 0.1 s on a busy machine
	s := &Simulator{
		options: o, limiter: rate.NewLimiter(rate.Limit(o.Rate), burst), running: running, cancel: cancel,
		done: make(chan struct{}), clusters: map[string]*cluster{},
	}
	s.quiet.L = &s.mu
	go s.drive()
	for _, t := range o.SyncTargets {
		if err := s.AddSyncTarget(t); err != nil {
			s.Stop()
			return nil, err
		}
	}
	return s, nil
}

// drive chooses objects at the configured rate.
func (s *Simulator) drive() {
	defer close(s.done)
	dice := rand.New(rand.NewPCG(s.options.Seed, 0))
	for s.limiter.Wait(s.running) == nil {
		if !s.begin() {
			continue
		}
		cluster := s.anyCluster(dice)
		if cluster == nil {
			s.end()
			continue
		}
		step := rand.New(rand.NewPCG(dice.Uint64(), 1))
		if !cluster.offer(func() { defer s.end(); s.step(cluster, step) }) {
			s.end()
		}
	}
}

// step takes a step of a random object that has one.
func (s *Simulator) step(c *cluster, dice *rand.Rand) {
	for range 10 { // most objects have one
		chosen, ok := c.objects.any(dice)
		if !ok {
			return
		}
		if chosen.object.GetDeletionTimestamp() != nil {
			continue
		}
		if changed := chosen.key.kind.next(chosen.object, dice, clock()); changed != nil {
			_ = c.write(s.running, chosen.key.kind, changed) // counted in Stats; not retried
			return
		}
	}
}

func (s *Simulator) anyCluster(dice *rand.Rand) *cluster {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.clusters) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(s.clusters))
	return s.clusters[names[dice.IntN(len(names))]]
}

func (s *Simulator) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused {
		return false
	}
	s.inFlight++
	return true
}

func (s *Simulator) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight--; s.inFlight == 0 {
		s.quiet.Broadcast()
	}
}

// Pause stops all changes, and returns when no write is in flight, which takes up to 5 s if an API server hangs.
func (s *Simulator) Pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = true
	for s.inFlight > 0 {
		s.quiet.Wait()
	}
}

// Resume continues after Pause or Settle.
func (s *Simulator) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = false
}

// AddSyncTarget adds a SyncTarget.
func (s *Simulator) AddSyncTarget(t topology.SyncTarget) error {
	added, err := openCluster(t, s.options.Selector)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.clusters[t.Name]; taken {
		return fmt.Errorf("the simulator already has a SyncTarget %s", t.Name)
	}
	s.clusters[t.Name] = added
	added.start(s.running)
	return nil
}

// RemoveSyncTarget removes a SyncTarget. Its objects keep their status.
func (s *Simulator) RemoveSyncTarget(name string) {
	s.mu.Lock()
	removed := s.clusters[name]
	delete(s.clusters, name)
	s.mu.Unlock()
	if removed != nil {
		for range removed.stop() {
			s.end()
		}
	}
}

// Stats returns the counters by SyncTarget.
func (s *Simulator) Stats() map[string]Stats {
	all := map[string]Stats{}
	for _, c := range s.all() {
		c.mu.Lock()
		all[c.name] = c.stats
		c.mu.Unlock()
	}
	return all
}

// Objects returns the number of simulated objects over all SyncTargets.
func (s *Simulator) Objects() int {
	count := 0
	for _, c := range s.all() {
		count += c.objects.len()
	}
	return count
}

func (s *Simulator) all() []*cluster {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.clusters))
}

// Stop stops the simulation. All objects keep their status.
func (s *Simulator) Stop() {
	s.cancel()
	<-s.done
	for _, c := range s.all() {
		s.RemoveSyncTarget(c.name)
	}
}
