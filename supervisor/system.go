// Package supervisor starts and stops upstreamd's actor system, keeps it alive, and is its Go API: the daemon uses it, and so can
// any other program that watches physical clusters, or has its own watches and hands over what they see.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/eventstream"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/debounce"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
)

// Options configure a System. Upstream is required; everything else has a default.
type Options struct {
	Upstream     actors.Upstream
	Policies     *policy.Set          // nil: the built-in ones
	Locators     []string             // default: NamespaceLocator, Prefix
	Debounce     debounce.Window      // default: quiet 200 ms, maximum wait 2 s
	Writer       actors.WriterOptions // default: no cap, 16 calls in flight
	Staleness    Staleness
	Limits       status.Limits    // a zero field means its default
	Fence        ref.Fence        // the right to write; nil: always
	Workers      int              // goroutines that run actors; default: GOMAXPROCS
	Buckets      int              // parts of each resource that are decided in parallel, a power of two; default: 1
	Jitter       actors.Jitter    // of pauses after failures; default: at random
	Logger       zerolog.Logger   // default: none
	SystemLogger *slog.Logger     // of the actor engine; default: none
	Metrics      *metrics.Metrics // default: counted, but registered nowhere
}

// Staleness says when a SyncTarget counts as stale.
type Staleness struct {
	Grace    time.Duration // not heard of for so long: stale; healthy for so long: fresh again. Default 40 s
	Probe    time.Duration // between two probes. Default 10 s
	Deadline time.Duration // how long the policies Exclude and Zero wait for a SyncTarget's first list. Default 60 s
}

// Target is a SyncTarget that may contribute.
type Target struct {
	Name       actors.SyncTarget
	Cluster    string             // the logical cluster that holds the SyncTarget object, for its key and locators; may be empty
	UID        string             // of the SyncTarget object; empty: not checked
	Workspaces []actors.Workspace // what it may report for without being named by a placement label

	Scheduling reconcile.Scheduling // what its SyncTarget object says of new and present workloads
}

// locatorTarget is what is checked against what its objects say.
func (t Target) locatorTarget() locator.Target {
	return locator.Target{Name: t.Name, Cluster: t.Cluster, UID: t.UID, Workspaces: slices.Clone(t.Workspaces)}
}

// maxBuckets bounds Options.Buckets.
const maxBuckets = 1024

// Scheduling holds the fields of a SyncTarget object that decide about new and present workloads.
type Scheduling = reconcile.Scheduling

// Explanation is what is known of an upstream object and of the last decision on it.
type Explanation = reconcile.Explanation

// ErrStopped is returned by calls to a System that is not running.
var ErrStopped = errors.New("the system is not running")

// System is a running upstreamd. Its methods may be called from any goroutine.
type System struct {
	options    Options
	policies   atomic.Pointer[policy.Set]
	engine     *actor.ActorSystem
	dispatcher *actors.Dispatcher
	strategy   *strategy
	root       *actor.PID
	letters    *eventstream.Subscription
	epochs     atomic.Uint64

	mu         sync.Mutex
	running    bool
	resources  map[ref.Resource]*resource
	targets    map[ref.SyncTarget]*registration
	extractors map[ref.Resource]status.Extractor
	added      uint64 // resources and SyncTargets so far
}

// resource is a resource that is brought up.
type resource struct {
	number uint64 // makes actors' names unique: one that is taken again right after a stop would orphan the new actor
	listed bool   // upstream, at least once
}

// registration is a SyncTarget and its connection.
type registration struct {
	name       ref.SyncTarget
	target     locator.Target       // after the start the root actor's
	scheduling reconcile.Scheduling // likewise
	resolver   *locator.Resolver    // likewise
	source     actors.Downstream
	pushed     bool          // the embedding program hands objects over
	path       string        // of the actor below the root
	epoch      uint64        // from which on it may contribute; the root actor's
	leaving    bool          // it is being removed; the root actor's
	next       *registration // takes its place then; nil: nobody does; likewise
	waiting    bool          // for the one whose place it takes; likewise
	removed    chan struct{}
}

// New makes a System that does not run yet.
func New(o Options) (*System, error) {
	if o.Upstream == nil {
		return nil, errors.New("supervisor: Options.Upstream is required")
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	if _, err := locator.New(o.Locators, locator.Target{}); err != nil {
		return nil, err
	}
	s := &System{
		options:    o,
		resources:  map[ref.Resource]*resource{},
		targets:    map[ref.SyncTarget]*registration{},
		extractors: map[ref.Resource]status.Extractor{},
		strategy:   &strategy{metrics: o.Metrics, jitter: o.Jitter, log: o.Logger},
	}
	s.policies.Store(o.Policies)
	return s, nil
}

func (o *Options) complete() error {
	var err error
	if o.Policies == nil {
		if o.Policies, err = policy.Builtin(); err != nil {
			return err
		}
	}
	if o.Metrics == nil {
		if o.Metrics, err = metrics.New(nil); err != nil {
			return err
		}
	}
	if len(o.Locators) == 0 {
		o.Locators = []string{"NamespaceLocator", "Prefix"}
	}
	if o.SystemLogger == nil {
		o.SystemLogger = slog.New(slog.DiscardHandler)
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Buckets <= 0 {
		o.Buckets = 1
	}
	if o.Buckets&(o.Buckets-1) != 0 || o.Buckets > maxBuckets {
		return fmt.Errorf("supervisor: Options.Buckets is %d: use a power of two up to %d", o.Buckets, maxBuckets)
	}
	orDefault(&o.Debounce.Quiet, 200*time.Millisecond)
	orDefault(&o.Debounce.MaxWait, 2*time.Second)
	orDefault(&o.Staleness.Grace, 40*time.Second)
	orDefault(&o.Staleness.Probe, 10*time.Second)
	orDefault(&o.Staleness.Deadline, time.Minute)
	return nil
}

func orDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// Start runs the actors. Resources and SyncTargets may be added before and after.
func (s *System) Start(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine != nil {
		return errors.New("supervisor: a System is started once")
	}
	logger := s.options.SystemLogger
	s.engine = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return logger }))
	s.dispatcher = actors.NewDispatcher(s.options.Workers)
	s.letters = s.engine.EventStream.Subscribe(func(e any) {
		if _, ok := e.(*actor.DeadLetterEvent); ok {
			s.options.Metrics.DeadLetters.Inc()
		}
	})
	props := s.props(func() actor.Actor { return &rootActor{system: s} }).Configure(actor.WithGuardian(s.strategy))
	s.running = true
	pid, err := s.engine.Root.SpawnNamed(props, rootName)
	if err != nil {
		return fmt.Errorf("starting the root actor: %w", err)
	}
	s.root = pid
	return nil
}

// AddResource asks for a resource to be brought up from all SyncTargets.
func (s *System) AddResource(r actors.Resource) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.resources[r]; ok {
		return fmt.Errorf("resource %s is there already", ref.ResourceString(r))
	}
	s.added++
	s.resources[r] = &resource{number: s.added}
	s.tell(addResource{r, s.added})
	return nil
}

// RemoveResource ends the work on a resource. What is published stays.
func (s *System) RemoveResource(r actors.Resource) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.resources[r]
	if found == nil {
		return fmt.Errorf("resource %s is not there", ref.ResourceString(r))
	}
	delete(s.resources, r)
	s.tell(removeResource{r, found.number})
	return nil
}

// RegisterExtractor replaces the extraction of a resource's status by fn's. It gets whole objects (Object.Raw). It is to be
// called before the resource is added.
func (s *System) RegisterExtractor(r actors.Resource, e actors.Extractor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.resources[r]; ok {
		return fmt.Errorf("resource %s is there already: register its extractor before AddResource", ref.ResourceString(r))
	}
	s.extractors[r] = e
	return nil
}

// AddTarget starts to watch a SyncTarget. The System closes d when the SyncTarget is removed or the System stops.
func (s *System) AddTarget(t Target, d actors.Downstream) error {
	return s.register(t, d, false)
}

func (s *System) register(t Target, d actors.Downstream, pushed bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.registration(t, d, pushed)
	if err != nil {
		return err
	}
	if s.targets[t.Name] != nil {
		return fmt.Errorf("SyncTarget %q is there already: remove it first", t.Name)
	}
	s.targets[t.Name] = r
	s.tell(addTarget{r})
	return nil
}

// registration is called with s.mu held.
func (s *System) registration(t Target, d actors.Downstream, pushed bool) (*registration, error) {
	if t.Name == "" {
		return nil, errors.New("a SyncTarget needs a name")
	}
	resolver, err := locator.New(s.options.Locators, t.locatorTarget())
	if err != nil {
		return nil, err
	}
	s.added++
	return &registration{
		name: t.Name, target: t.locatorTarget(), scheduling: t.Scheduling, resolver: resolver, source: d, pushed: pushed, removed: make(chan struct{}),
		path: targetPrefix + string(t.Name) + "#" + strconv.FormatUint(s.added, 10),
	}, nil
}

// SetTarget changes what is known of a SyncTarget that is there: its uid, its cluster, the workspaces that it is bound to. Its
// connection stays, its objects are looked at again, and what still counts goes on counting.
func (s *System) SetTarget(t Target) error {
	resolver, err := locator.New(s.options.Locators, t.locatorTarget())
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.targets[t.Name]
	if r == nil {
		return fmt.Errorf("there is no SyncTarget %q", t.Name)
	}
	if !s.running {
		r.target, r.scheduling, r.resolver = t.locatorTarget(), t.Scheduling, resolver
		return nil
	}
	s.tell(changeTarget{r, t.locatorTarget(), t.Scheduling, resolver})
	return nil
}

// ReplaceTarget puts another SyncTarget in the place of one of its name. What the old one contributed is withdrawn; what is published
// stays until the new one has listed. It returns when the old one's actors are gone. The System closes d in any case.
func (s *System) ReplaceTarget(ctx context.Context, t Target, d actors.Downstream) error {
	s.mu.Lock()
	old := s.targets[t.Name]
	if old == nil || !s.running {
		s.mu.Unlock()
		d.Close()
		return fmt.Errorf("there is no SyncTarget %q to replace", t.Name)
	}
	next, err := s.registration(t, d, false)
	if err != nil {
		s.mu.Unlock()
		d.Close()
		return err
	}
	s.targets[t.Name] = next
	s.tell(replaceTarget{old, next})
	s.mu.Unlock()
	select {
	case <-old.removed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("replacing SyncTarget %q: %w", t.Name, ctx.Err())
	}
}

// RemoveTarget stops watching a SyncTarget and withdraws what it contributed. It returns when its actors are gone.
func (s *System) RemoveTarget(ctx context.Context, name actors.SyncTarget) error {
	s.mu.Lock()
	r := s.targets[name]
	if r == nil {
		s.mu.Unlock()
		return fmt.Errorf("there is no SyncTarget %q", name)
	}
	if !s.running {
		delete(s.targets, name)
		s.mu.Unlock()
		return nil
	}
	s.tell(removeTarget{r})
	s.mu.Unlock()
	select {
	case <-r.removed:
	case <-ctx.Done():
		return fmt.Errorf("removing SyncTarget %q: %w", name, ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.targets[name] == r {
		delete(s.targets, name)
	}
	return nil
}

// SetPolicies replaces the policies. Every object is read and decided again.
func (s *System) SetPolicies(set *policy.Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies.Store(set)
	s.tell(actors.PolicyChanged{Policies: set})
}

// MayWrite tells that the right to write has begun, by [Options.Fence]: what waits for it is written now, rather than when it is tried again.
func (s *System) MayWrite() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell(actors.MayWrite{})
}

// Ready reports whether the System runs and every resource was listed upstream at least once.
func (s *System) Ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.resources {
		if !r.listed {
			return false
		}
	}
	return s.running
}

// Explain tells what is known of an upstream object and why its status is what it is.
func (s *System) Explain(ctx context.Context, r actors.Resource, u ref.Upstream) (Explanation, error) {
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	if !running {
		return Explanation{}, ErrStopped
	}
	timeout := 5 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		timeout = time.Until(deadline)
	}
	answer, err := s.engine.Root.RequestFuture(s.aggregator(r), actors.Explain{Upstream: u}, timeout).Result()
	if err != nil {
		return Explanation{}, fmt.Errorf("explaining %s: %w", u, err)
	}
	return answer.(Explanation), nil
}

// Stop ends the flow in order: the SyncTargets fall silent, what was decided is written, the actors end. When ctx ends first,
// what is left is dropped (it is decided again by the next process) and an error says so.
func (s *System) Stop(ctx context.Context) error {
	s.mu.Lock()
	if !s.running {
		s.mu.Unlock()
		return ErrStopped
	}
	s.running = false
	s.mu.Unlock()
	drained := make(chan struct{})
	s.engine.Root.Send(s.root, stop{drained})
	var err error
	select {
	case <-drained:
	case <-ctx.Done():
		err = fmt.Errorf("stopped before everything was written: %w", ctx.Err())
	}
	s.end()
	return err
}

// end stops the actors and waits until they are gone.
func (s *System) end() {
	gone := make(chan struct{})
	_ = s.engine.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			c.Watch(s.root)
			c.Stop(s.root)
		case *actor.Terminated:
			if m.Who.Id == s.root.Id {
				c.Stop(c.Self())
			}
		case *actor.Stopped:
			close(gone)
		}
	}))
	<-gone
	s.engine.EventStream.Unsubscribe(s.letters)
	s.engine.Shutdown()
	s.dispatcher.Close()
}

// ---- for the actors

// tell sends to the root if there is one; what is registered before the start is taken up at the start. s.mu is held.
func (s *System) tell(m any) {
	if s.running && s.root != nil {
		s.engine.Root.Send(s.root, m)
	}
}

// props are those of every actor: our dispatcher, mailbox and strategy.
func (s *System) props(producer actor.Producer) *actor.Props {
	return actor.PropsFromProducer(producer, actor.WithDispatcher(s.dispatcher), actor.WithMailbox(actors.Mailbox),
		actor.WithSupervisor(s.strategy))
}

func (s *System) spawn(ctx actor.Context, name string, producer actor.Producer) *actor.PID {
	pid, err := ctx.SpawnNamed(s.props(producer), name)
	if err != nil {
		panic(fmt.Errorf("spawning %s: %w", name, err))
	}
	return pid
}

// aggregator is the aggregator of a resource. If the resource was removed, nobody has that name.
func (s *System) aggregator(r ref.Resource) *actor.PID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var number uint64
	if found := s.resources[r]; found != nil {
		number = found.number
	}
	return s.engine.NewLocalPID(rootName + "/" + aggregatorPrefix + numbered(r, number))
}

// numbered is a resource in the name of an actor.
func numbered(r ref.Resource, number uint64) string {
	return ref.ResourceString(r) + "#" + strconv.FormatUint(number, 10)
}

func (s *System) extractor(r ref.Resource) status.Extractor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.extractors[r]
}

// resourceNumbers are the resources that are brought up.
func (s *System) resourceNumbers() map[ref.Resource]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	numbers := make(map[ref.Resource]uint64, len(s.resources))
	for r, found := range s.resources {
		numbers[r] = found.number
	}
	return numbers
}

func (s *System) registrations() []*registration {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Collect(maps.Values(s.targets))
	slices.SortFunc(list, func(a, b *registration) int { return strings.Compare(string(a.name), string(b.name)) })
	return list
}

func (s *System) setReady(r ref.Resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.resources[r]; found != nil {
		found.listed = true
	}
}
