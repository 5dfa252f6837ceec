package actors

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/upstreamd/upstreamd/internal/debounce"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
)

// WatchConfig is what a watch actor needs: one resource of one SyncTarget.
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
	// NamespacesByName resolves Namespaces that nobody reported by their name alone, for sources that have no Namespaces.
	NamespacesByName bool
	Epochs           *atomic.Uint64 // of the process
	ObjectProps      func(actor.Producer) *actor.Props
	Metrics          *metrics.Metrics
	Log              zerolog.Logger
}

// watchActor knows which downstream objects of one resource exist and whose they are, and has an actor for each that is ours.
type watchActor struct {
	WatchConfig
	object *objectConfig
	props  *actor.Props // of all object actors
	want   ref.Want
	said   *once
	events map[ref.EventType]prometheus.Counter
	health watchHealth
	ended  bool // stopping or restarting

	inbox      *inbox
	stop       context.CancelFunc
	namespaces map[string]*locator.Location // nil until the parent has told
	parked     parkedNames                  // Namespaces that objects named before they were reported
	shared     *namespaceTable

	epoch   uint64 // of the newest list, or of the newest answer to a Resend
	lists   int    // that were begun
	listed  bool   // a list was completed
	listing *listing
	objects map[ref.Downstream]*child
	counted int // how many of them the gauge knows

	reads namespaceReads
}

// promptly is how many changes a second of one SyncTarget in one kind are passed on at once because they come alone. Those beyond begin a
// burst: a thousand objects that begin to change together would be a thousand writes before anybody else's.
const promptly = 1000

// child is a downstream object that has an actor.
type child struct {
	pid      *actor.PID
	upstream ref.Upstream
	at       ref.Position
}

// listing is a list that is being worked off in turns.
type listing struct {
	rest     []*ref.Object
	received time.Time
	resend   bool // the aggregator has lost what it was told until now
}

// listingContinues goes on with a listing.
type listingContinues struct{}

// NewWatch makes a watch actor.
func NewWatch(c WatchConfig) actor.Actor {
	resource := ref.ResourceString(c.Resource)
	c.Log = c.Log.With().Str("sync_target", string(c.Target)).Str("resource", resource).Logger()
	w := &watchActor{
		WatchConfig: c,
		health:      newWatchHealth(c.Target, c.Resource, c.Metrics, c.Log),
		said:        newOnce(),
		shared:      &namespaceTable{},
		objects:     map[ref.Downstream]*child{},
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
		said:       w.said,
		rejected:   c.Metrics.Rejected,
		suppressed: c.Metrics.Suppressed.WithLabelValues(resource, "object"),
		coalesced:  c.Metrics.Coalesced.WithLabelValues(resource, "object"),
	}
	w.usePolicy()
	config := w.object
	w.props = c.ObjectProps(func() actor.Actor { return &objectActor{config: config} })
	return w
}

// usePolicy prepares what is kept of objects and how it is made a contribution.
func (w *watchActor) usePolicy() {
	p := w.Policies.For(w.Resource)
	r := &rules{policy: p, whole: p.Whole}
	r.extractor = status.Options{Limits: w.Limits, Fields: p.Extract.Fields, Paths: p.Extract.Paths}
	if w.Extractor != nil {
		r.extractor, r.whole = status.Validated(w.Extractor, w.Limits), true
	}
	w.object.rules.Store(r)
	w.want = w.Resolver.Want()
	w.want.Annotations = append(w.want.Annotations, locator.UpstreamGeneration)
	w.want.StatusTimes = p.StatusTimes
	w.want.Whole = r.whole
}

func (w *watchActor) Receive(ctx actor.Context) {
	if w.ended {
		return // the engine delivers until the last child is gone: nothing may start another
	}
	switch m := ctx.Message().(type) {
	case *actor.Started:
		ctx.Request(ctx.Parent(), SendNamespaces{})
	case Namespaces:
		w.begin(ctx, m)
	case NamespaceChanged:
		w.namespaceChanged(ctx, m)
	case poked:
		w.drain(ctx, m)
	case listingContinues:
		w.continueListing(ctx)
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
		w.usePolicy()
		w.relist(ctx)
	case objectRestarted:
		w.read(ctx, m.source.Namespace)
	case readDone:
		w.readDone(ctx, m)
	case readAgain:
		w.readNext(ctx)
	case crashed:
		err := fmt.Errorf("watching %s: %v", ref.ResourceString(w.Resource), m.reason)
		w.health.failed(ctx, err, time.Now())
		panic(err)
	case *actor.Restarting, *actor.Stopping:
		w.end()
	}
}

// begin starts the flow once it is known where the objects of each Namespace belong.
func (w *watchActor) begin(ctx actor.Context, m Namespaces) {
	if w.namespaces != nil { // said by a new actor, which tells of what there is itself: what it lacks is gone
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
	w.inbox = box
	w.health.opening(ctx)
	source, resource, want := w.Source, w.Resource, w.want
	guard(background, func(reason any) { root.Send(self, crashed{reason}) }, func() {
		source.Watch(background, resource, want, box.emit)
	})
}

// guard runs fn in a goroutine. If it panics, or returns before ctx has ended, failed is told.
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

func (w *watchActor) end() {
	if w.stop != nil {
		w.stop()
	}
	w.ended = true
	w.reads.stop()
	clear(w.objects)
	w.count()
}

// relist opens the list and watch anew. What is known stays until the new list is here.
func (w *watchActor) relist(ctx actor.Context) {
	if w.namespaces == nil {
		return
	}
	w.stop()
	w.listing = nil
	w.start(ctx)
}

// drain takes a turn's worth from the inbox. Pokes of an inbox that was given up are ignored.
func (w *watchActor) drain(ctx actor.Context, m poked) {
	if m.inbox != w.inbox || w.listing != nil {
		return
	}
	b := w.inbox.take(turn)
	w.health.take(ctx, b.health[""], b.list != nil)
	if b.merged > 0 {
		w.Metrics.Coalesced.WithLabelValues(ref.ResourceString(w.Resource), "watch").Add(float64(b.merged))
	}
	if b.list != nil {
		w.beginListing(ctx, b)
		return
	}
	for _, a := range b.changes {
		w.events[a.event.Type].Inc()
		o := a.event.Objects[0]
		if a.event.Type == ref.Deleted {
			w.gone(ctx, o)
			continue
		}
		w.present(ctx, o, a.received, false)
	}
	w.count()
	if b.more {
		ctx.Send(ctx.Self(), m)
	}
}

func (w *watchActor) beginListing(ctx actor.Context, b batch) {
	w.epoch = w.Epochs.Add(1)
	w.lists++
	w.parked = parkedNames{} // the list names them again
	w.reads.supersede()
	w.listing = &listing{rest: b.list.event.Objects, received: b.list.received}
	w.continueListing(ctx)
}

// continueListing works off a turn's worth of a list. At its end, what the list lacks is gone, and the aggregator learns which
// objects will answer.
func (w *watchActor) continueListing(ctx actor.Context) {
	l := w.listing
	if l == nil {
		return
	}
	n := min(turn, len(l.rest))
	for _, o := range l.rest[:n] {
		w.events[ref.Listed].Inc()
		w.present(ctx, o, l.received, true)
	}
	if !l.resend {
		w.reportListed(ctx, l.rest[:n], false)
	}
	l.rest = l.rest[n:]
	if len(l.rest) > 0 {
		ctx.Send(ctx.Self(), listingContinues{})
		return
	}
	w.listing = nil
	w.listed = true
	for source, c := range w.objects {
		if c.at.Epoch < w.epoch {
			w.drop(ctx, source, c, ref.Position{}, false)
		}
	}
	if l.resend {
		w.resend(ctx)
	} else {
		w.reportListed(ctx, nil, true)
	}
	w.health.live(ctx, true)
	w.count()
	ctx.Send(ctx.Self(), poked{w.inbox})
}

// reportListed tells the aggregator which of the objects of a part of the list are ours.
func (w *watchActor) reportListed(ctx actor.Context, part []*ref.Object, last bool) {
	copies := make([]reconcile.Copy, 0, len(part))
	for _, o := range part {
		source := ref.Downstream{Namespace: o.Namespace, Name: o.Name}
		if c := w.objects[source]; c != nil {
			copies = append(copies, reconcile.Copy{Source: source, Upstream: c.upstream})
		}
	}
	if len(copies) > 0 || last {
		w.sendListed(ctx, copies, last)
	}
}

func (w *watchActor) sendListed(ctx actor.Context, copies []reconcile.Copy, last bool) {
	ctx.Send(w.Aggregator, Listed{reconcile.CopiesListed{Target: w.Target, Epoch: w.epoch, Copies: copies, Last: last}, ctx.Self()})
}

// resend answers an aggregator that has lost its state, as of a new epoch.
func (w *watchActor) resend(ctx actor.Context) {
	if w.listing != nil { // the aggregator before it may have received the parts so far
		w.listing.resend = true
		return
	}
	if !w.listed {
		return // the list that is due brings everything
	}
	w.epoch = w.Epochs.Add(1)
	copies := make([]reconcile.Copy, 0, turn)
	for source, c := range w.objects {
		c.at.Epoch = w.epoch
		ctx.Send(c.pid, resend{w.epoch})
		if copies = append(copies, reconcile.Copy{Source: source, Upstream: c.upstream}); len(copies) == turn {
			w.sendListed(ctx, copies, false)
			copies = make([]reconcile.Copy, 0, turn)
		}
	}
	w.sendListed(ctx, copies, true)
}

// present handles an object that is there: whose is it, and does it have an actor.
func (w *watchActor) present(ctx actor.Context, o *ref.Object, received time.Time, listed bool) {
	source := ref.Downstream{Namespace: o.Namespace, Name: o.Name}
	at := ref.Position{Epoch: w.epoch, UID: o.UID, ResourceVersion: o.ResourceVersion}
	known := w.objects[source]
	if known != nil && at.Before(known.at) {
		return // a read of a Namespace that lost the race with the watch
	}
	upstream, err := w.locate(o)
	if err != nil {
		w.notOurs(ctx, source, known, at, err)
		return
	}
	if known != nil && (known.upstream != upstream || known.at.UID != o.UID) {
		// What another object under the same name says takes the place of what the one before said: withdrawn, it would be missing in
		// between. Where it belongs elsewhere, that is withdrawn as of what was last known: the successor may be quicker.
		w.drop(ctx, source, known, known.at, known.upstream != upstream)
		known = nil
	}
	if known == nil {
		known = w.spawn(ctx, source, upstream)
	}
	known.at = at
	ctx.Send(known.pid, Observed{Object: o, Upstream: upstream, Epoch: w.epoch, Received: received, Answer: listed})
}

func (w *watchActor) spawn(ctx actor.Context, source ref.Downstream, upstream ref.Upstream) *child {
	// A number that was never used: a name that is taken again right after Stop would orphan the new actor.
	pid, err := ctx.SpawnNamed(w.props, strconv.FormatUint(w.Epochs.Add(1), 36))
	if err != nil {
		panic(fmt.Errorf("spawning an object actor: %w", err))
	}
	c := &child{pid: pid, upstream: upstream}
	w.objects[source] = c
	return c
}

func (w *watchActor) locate(o *ref.Object) (ref.Upstream, error) {
	if o.Namespace == "" {
		location := w.Resolver.ClusterScoped(o)
		return w.Resolver.Object(location, w.Resource, o)
	}
	location := w.namespaces[o.Namespace]
	if location == nil && w.NamespacesByName {
		byName := w.Resolver.Namespace(locator.Namespace{Name: o.Namespace})
		location = &byName
		w.namespaces[o.Namespace] = location
		w.shared.put(o.Namespace, location)
	}
	if location == nil {
		return ref.Upstream{}, locator.ErrUnknownNamespace
	}
	return w.Resolver.Object(*location, w.Resource, o)
}

// notOurs handles an object that belongs nowhere, belongs elsewhere, or whose Namespace nobody has reported yet.
func (w *watchActor) notOurs(ctx actor.Context, source ref.Downstream, known *child, at ref.Position, err error) {
	if errors.Is(err, locator.ErrUnknownNamespace) {
		w.parked.add(source.Namespace)
		if known != nil { // its Namespace is going; the object's own DELETE follows
			known.at.Epoch = at.Epoch
		}
		return
	}
	if known != nil {
		w.drop(ctx, source, known, at, true)
	}
	if failed := (*locator.IdentityError)(nil); errors.As(err, &failed) {
		w.Metrics.Rejected.WithLabelValues("identity").Inc()
		w.Log.WithLevel(w.said.level("identity/"+failed.Reason)).Str("object", source.String()).Str("reason", failed.Reason).
			Err(err).Msg("object refused: identity check failed")
	}
}

// gone handles a DELETE event.
func (w *watchActor) gone(ctx actor.Context, o *ref.Object) {
	source := ref.Downstream{Namespace: o.Namespace, Name: o.Name}
	w.reads.deleted(source, o.ResourceVersion)
	known := w.objects[source]
	if known == nil {
		return
	}
	at := ref.Position{Epoch: w.epoch, UID: o.UID, ResourceVersion: o.ResourceVersion}
	if at.Before(known.at) {
		return
	}
	w.drop(ctx, source, known, at, true)
}

func (w *watchActor) drop(ctx actor.Context, source ref.Downstream, c *child, at ref.Position, withdraw bool) {
	delete(w.objects, source)
	ctx.Send(c.pid, Deleted{Source: source, Upstream: c.upstream, At: at, Withdraw: withdraw})
}

// namespaceChanged looks at a Namespace's objects again when it says something new of where they belong.
func (w *watchActor) namespaceChanged(ctx actor.Context, m NamespaceChanged) {
	if w.namespaces == nil {
		return // the whole table is on its way
	}
	before, known := w.namespaces[m.Name]
	if m.Location == nil {
		delete(w.namespaces, m.Name)
		w.shared.put(m.Name, nil)
		w.parked.take(m.Name)
		w.reads.forget(m.Name)
		return
	}
	w.namespaces[m.Name] = m.Location
	w.shared.put(m.Name, m.Location)
	if parked := w.parked.take(m.Name); parked && !w.Resolver.Foreign(*m.Location) || known && !before.Equal(*m.Location) {
		w.read(ctx, m.Name)
	}
}

// count brings the gauge up to date by the difference: another watch of the same resource may be ending, or starting.
func (w *watchActor) count() {
	w.Metrics.Objects.WithLabelValues(string(w.Target), ref.ResourceString(w.Resource)).Add(float64(len(w.objects) - w.counted))
	w.counted = len(w.objects)
}
