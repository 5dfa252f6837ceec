package actors

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/upstreamd/upstreamd/internal/debounce"
	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
)

// WatchConfig is the configuration of a watch actor: one resource of one SyncTarget.
type WatchConfig struct {
	Target     ref.SyncTarget
	Resource   ref.Resource
	Source     Downstream
	Resolver   *locator.Resolver
	Aggregator *actor.PID
	Buckets    int // of the aggregator
	Policies   *policy.Set
	Extractor  status.Extractor // nil: by policy
	Limits     status.Limits
	Window     debounce.Window
	// NamespacesByName locates Namespaces that were not reported by their names alone, for sources that have no Namespaces.
	NamespacesByName bool
	Epochs           *atomic.Uint64 // of the process
	ObjectProps      func(actor.Producer) *actor.Props
	Metrics          *metrics.Metrics
	Log              zerolog.Logger
}

// watchActor owns the inventory of one resource of one SyncTarget: the copies that exist, located, each with its object actor.
type watchActor struct {
	WatchConfig
	object *objectConfig
	props  *actor.Props // of all object actors
	want   ref.Want
	once   *once
	events map[ref.EventType]prometheus.Counter
	health watchHealth
	ended  bool // stopping or restarting

	inbox      *inbox
	opening    bool // the list and watch were opened, and have reported nothing yet
	stop       context.CancelFunc
	namespaces map[string]*locator.Location // nil until the parent has sent them
	named      namedNamespaces
	parked     parkedNames // Namespaces that objects named before they were reported
	shared     *namespaceTable

	epoch   uint64 // of the newest list, or of the newest answer to a Resend
	lists   int    // that were begun
	listed  bool   // a list was completed
	listing *listing
	objects map[ref.Downstream]*child
	counted int // objects that the gauge counts

	reads namespaceReads
}

// promptly is how many isolated changes a second of one SyncTarget in one resource are reported at once. Those beyond begin a burst: a
// thousand objects that begin to change together would otherwise be a thousand writes ahead of all others.
const promptly = 1000

// child is a copy that has an actor.
type child struct {
	pid      *actor.PID
	upstream ref.Upstream
	at       ref.Position
}

// NewWatch makes a watch actor.
func NewWatch(c WatchConfig) actor.Actor {
	resource := ref.ResourceString(c.Resource)
	c.Log = c.Log.With().Str("sync_target", string(c.Target)).Str("resource", resource).Logger()
	w := &watchActor{
		WatchConfig: c,
		health:      newWatchHealth(c.Target, c.Resource, c.Metrics, c.Log),
		once:        newOnce(),
		shared:      &namespaceTable{},
		objects:     map[ref.Downstream]*child{},
		named:       namedNamespaces{},
		reads:       newNamespaceReads(),
		events: map[ref.EventType]prometheus.Counter{
			ref.Listed:  c.Metrics.Events.WithLabelValues(string(c.Target), "listed"),
			ref.Changed: c.Metrics.Events.WithLabelValues(string(c.Target), "changed"),
			ref.Deleted: c.Metrics.Events.WithLabelValues(string(c.Target), "deleted"),
		},
	}
	w.object = &objectConfig{
		target:     c.Target,
		buckets:    BucketsOf(c.Aggregator, c.Buckets),
		window:     c.Window,
		share:      rate.NewLimiter(promptly, promptly/4),
		namespaces: w.shared,
		log:        c.Log,
		once:       w.once,
		rejected:   c.Metrics.Rejected,
		suppressed: c.Metrics.Suppressed.WithLabelValues(resource, "object"),
		coalesced:  c.Metrics.Coalesced.WithLabelValues(resource, "object"),
	}
	w.usePolicy()
	config := w.object
	w.props = c.ObjectProps(func() actor.Actor { return &objectActor{config: config} })
	return w
}

// usePolicy prepares which parts of objects are kept and how contributions are made of them.
func (w *watchActor) usePolicy() {
	p := w.Policies.For(w.Resource)
	r := &rules{policy: p, whole: p.Whole}
	r.extractor = status.Options{Limits: w.Limits, Fields: p.Extract.Fields, Paths: p.Extract.Paths}
	if w.Extractor != nil {
		r.extractor, r.whole = status.Validated(w.Extractor, w.Limits), true
	}
	w.object.rules.Store(r)
	w.want = w.Resolver.Want()
	w.want.Annotations = append(w.want.Annotations, evidence.Annotations()...)
	w.want.Spec, w.want.SpecOnce = true, true
	w.want.StatusTimes = p.StatusTimes
	w.want.Whole = r.whole
}

func (w *watchActor) Receive(ctx actor.Context) {
	if w.ended {
		return // the engine delivers until the last child is gone: nothing may start another
	}
	switch m := ctx.Message().(type) {
	case poked:
		w.drain(ctx, m)
	case listingContinues:
		w.continueListing(ctx, m)
	case NamespaceChanged:
		w.namespaceChanged(ctx, m)
	case objectRestarted:
		w.read(ctx, m.source.Namespace)
	case readDone:
		w.readDone(ctx, m)
	case readAgain:
		if m.of == w {
			w.readNext(ctx)
		}
	case crashed:
		w.crashed(ctx, m)
	default:
		w.control(ctx, m)
	}
}

// control handles requests of supervisors and aggregators.
func (w *watchActor) control(ctx actor.Context, message any) {
	switch m := message.(type) {
	case *actor.Started:
		ctx.Request(ctx.Parent(), SendNamespaces{})
	case Namespaces:
		w.begin(ctx, m)
	case Relist:
		w.relist(ctx)
	case Resend:
		w.resend(ctx)
	case PolicyChanged:
		w.Policies = m.Policies
		w.usePolicy()
		w.relist(ctx)
	case ResolverChanged:
		w.Resolver = m.Resolver
		w.relocateNamed()
		w.usePolicy()
		w.relist(ctx)
	case *actor.Restarting, *actor.Stopping:
		w.end()
	}
}

// begin starts the list and watch once the Namespaces are known.
func (w *watchActor) begin(ctx actor.Context, m Namespaces) {
	if w.namespaces != nil { // from a new actor, which reports each Namespace that is there as a change: those that it lacks are gone
		for name := range w.namespaces {
			if _, there := m.Locations[name]; !there {
				w.namespaceChanged(ctx, NamespaceChanged{Name: name})
			}
		}
		return
	}
	w.namespaces = m.Locations
	if w.namespaces == nil {
		w.namespaces = map[string]*locator.Location{}
	}
	w.shared.replace(w.namespaces)
	w.start(ctx)
}

// start opens the list and watch in a goroutine that reports into the inbox.
func (w *watchActor) start(ctx actor.Context) {
	self, root := ctx.Self(), ctx.ActorSystem().Root
	background, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	box := newInbox(func(b *inbox) { root.Send(self, poked{b}) })
	w.inbox, w.opening = box, true
	w.health.opening(ctx)
	w.reads.supersede()
	w.readNext(ctx)
	source, resource, want := w.Source, w.Resource, w.want
	guard(background, func(reason any) { root.Send(self, crashed{box, reason}) }, func() {
		source.Watch(background, resource, want, box.emit)
	})
}

// guard runs fn in a goroutine, and calls failed if it panics or returns before ctx has ended.
func guard(ctx context.Context, failed func(reason any), fn func()) {
	go func() {
		defer func() {
			if r := recover(); r != nil {
				failed(fmt.Sprintf("%v\n%s", r, debug.Stack()))
			} else if ctx.Err() == nil {
				failed("ended by itself")
			}
		}()
		fn()
	}()
}

// crashed fails the actor: its supervisor restarts it, with a pause if that repeats.
func (w *watchActor) crashed(ctx actor.Context, m crashed) {
	if m.inbox != w.inbox {
		return // a watch that was given up since
	}
	err := fmt.Errorf("watching %s: %v", ref.ResourceString(w.Resource), m.reason)
	w.health.failed(ctx, err, time.Now())
	panic(err)
}

// relist opens the list and watch anew. The inventory stays until the new list is here.
func (w *watchActor) relist(ctx actor.Context) {
	if w.namespaces == nil {
		return
	}
	w.stop()
	w.listing = nil
	w.start(ctx)
}

func (w *watchActor) end() {
	if w.stop != nil {
		w.stop()
	}
	w.ended = true
	w.reads.stop()
	clear(w.objects)
	w.count()
}
