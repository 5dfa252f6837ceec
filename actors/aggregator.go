package actors

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// AggregatorConfig is what the aggregator of one resource needs.
type AggregatorConfig struct {
	Resource ref.Resource
	Upstream Upstream
	Policies *policy.Set
	Writer   *actor.PID
	Quiet    time.Duration // least time between two writes to one object that reports cause
	Deadline time.Duration // how long an unlisted SyncTarget is waited for under the staleness policy Exclude
	Buckets  int           // a power of two
	Epochs   *atomic.Uint64
	Props    func(actor.Producer) *actor.Props // of the buckets
	Metrics  *metrics.Metrics
	Log      zerolog.Logger
}

// aggregator routes the facts about one resource to its buckets, which decide, and supervises them. It owns the watch of the upstream
// objects, and the judgement over lists of SyncTargets that lack much: both concern all buckets.
type aggregator struct {
	AggregatorConfig
	resource string
	want     ref.Want
	buckets  Buckets
	started  int // buckets
	log      *logOnce

	inbox    *inbox
	stop     context.CancelFunc
	listing  *upstreamListing
	outage   outage
	broken   map[ref.Workspace]struct{} // scopes whose watch failed
	scopes   map[ref.Workspace]int      // buckets in which a scope is ready; of those that are watched
	all      bool                       // the watch has announced its scopes
	ready    bool
	tallies  map[ref.SyncTarget]*tally
	flushing *flushing
}

// upstreamListing is a list that is passed on in parts.
type upstreamListing struct {
	scope   ref.Workspace
	version string
	rest    []*ref.Object
	first   bool
}

// tally sums up how many copies a SyncTarget's list lacks, over all buckets.
type tally struct {
	epoch           uint64
	buckets         int
	vanished, known int
	doubted         bool // an earlier list lacked so much that this one has to confirm it
	from            *actor.PID
}

// flushing is how far a Flush has come.
type flushing struct {
	asker   *actor.PID
	missing int
}

// NewAggregator makes an aggregator actor.
func NewAggregator(c AggregatorConfig) actor.Actor {
	c.Log = c.Log.With().Str("resource", ref.ResourceString(c.Resource)).Logger()
	return &aggregator{
		AggregatorConfig: c,
		resource:         ref.ResourceString(c.Resource),
		want:             reconcile.Want(c.Policies.For(c.Resource)),
		log:              newLogOnce(c.Log),
		outage:           outage{failure: "upstream list or watch failed; retrying", recovery: "upstream list and watch work again"},
		broken:           map[ref.Workspace]struct{}{},
		scopes:           map[ref.Workspace]int{},
		tallies:          map[ref.SyncTarget]*tally{},
	}
}

func (a *aggregator) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		a.begin(ctx)
	case bucketStarted:
		a.bucketStarted(ctx)
	case poked:
		a.drain(ctx, m)
	case listingContinues:
		a.continueListing(ctx)
	case Listed:
		a.copiesListed(ctx, m)
	case tallied:
		a.tallied(ctx, m.Tallied)
	case scopeReady:
		a.scopeReady(ctx, m.scope)
	case PolicyChanged:
		a.policyChanged(ctx, m)
	case Flush:
		a.flush(ctx)
	case Flushed:
		a.flushed(ctx)
	case Explain:
		ctx.Forward(a.buckets.Of(m.Upstream))
	case crashed:
		panic(fmt.Errorf("watching %s upstream: %v", a.resource, m.reason))
	case *actor.Restarting, *actor.Stopping:
		a.end()
	case reconcile.SyncTargetRemoved:
		delete(a.tallies, m.Target)
	case reconcile.Event:
		a.buckets.Send(ctx, m)
	}
}

func (a *aggregator) begin(ctx actor.Context) {
	a.buckets = BucketsOf(ctx.Self(), a.Buckets)
	for i := range a.Buckets {
		props := a.Props(func() actor.Actor { return newBucket(a.AggregatorConfig) })
		if _, err := ctx.SpawnNamed(props, bucketName(i)); err != nil {
			panic(fmt.Errorf("spawning a bucket of %s: %w", a.resource, err))
		}
	}
	a.watch(ctx)
}

// bucketStarted brings buckets up to date: all at the start, and all once more when one failed and lost its state.
func (a *aggregator) bucketStarted(ctx actor.Context) {
	a.started++
	if a.started < a.Buckets {
		return
	}
	if a.started > a.Buckets {
		a.rewatch(ctx)
	}
	ctx.Send(ctx.Parent(), AggregatorStarted{a.Resource})
}

func (a *aggregator) end() {
	if a.stop != nil {
		a.stop()
	}
}

// ---- SyncTargets

// copiesListed passes on a part of a SyncTarget's list: to each bucket its copies, and the end to all.
func (a *aggregator) copiesListed(ctx actor.Context, m Listed) {
	if t := a.tallies[m.Target]; t == nil || t.epoch < m.Epoch {
		doubted := t != nil && t.doubted
		a.tallies[m.Target] = &tally{epoch: m.Epoch, doubted: doubted, from: m.From}
	}
	if len(a.buckets) == 1 {
		ctx.Send(a.buckets[0], m.CopiesListed)
		return
	}
	parts := make([][]reconcile.Copy, len(a.buckets))
	for _, c := range m.Copies {
		i := reconcile.Bucket(c.Upstream.Workspace, c.Upstream.Namespace, len(parts))
		parts[i] = append(parts[i], c)
	}
	for i, part := range parts {
		if len(part) > 0 || m.Last {
			ctx.Send(a.buckets[i], reconcile.CopiesListed{Target: m.Target, Epoch: m.Epoch, Copies: part, Last: m.Last})
		}
	}
}

// massive reports whether so much vanished in one list that a second list has to confirm it.
func massive(vanished, known int) bool { return vanished > 20 && vanished*2 > known }

// tallied confirms a list when all buckets have counted, or asks for a second one.
func (a *aggregator) tallied(ctx actor.Context, m reconcile.Tallied) {
	t := a.tallies[m.Target]
	if t == nil || t.epoch != m.Epoch {
		return
	}
	t.buckets++
	t.vanished += m.Vanished
	t.known += m.Known
	if t.buckets < len(a.buckets) {
		return
	}
	if massive(t.vanished, t.known) && !t.doubted {
		t.doubted = true
		a.Log.Warn().Str("sync_target", string(m.Target)).Int("vanished", t.vanished).Int("known", t.known).
			Msg("a list lacks more than half of the copies; relisting before they count as gone")
		ctx.Send(t.from, Relist{})
		return
	}
	delete(a.tallies, m.Target)
	a.buckets.Send(ctx, reconcile.ListConfirmed{Target: m.Target, Epoch: m.Epoch})
}

// ---- policies and control

func (a *aggregator) policyChanged(ctx actor.Context, m PolicyChanged) {
	a.Policies = m.Policies
	p := m.Policies.For(a.Resource)
	want := reconcile.Want(p)
	reread := !reflect.DeepEqual(want, a.want)
	a.want = want
	a.buckets.Send(ctx, reconcile.PolicyChanged{Policy: p, Reread: reread})
	if reread {
		a.rewatch(ctx)
	}
}

func (a *aggregator) flush(ctx actor.Context) {
	a.flushing = &flushing{asker: ctx.Sender(), missing: len(a.buckets)}
	for _, b := range a.buckets {
		ctx.Request(b, Flush{})
	}
}

func (a *aggregator) flushed(ctx actor.Context) {
	if a.flushing == nil {
		return
	}
	if a.flushing.missing--; a.flushing.missing == 0 {
		ctx.Send(a.flushing.asker, Flushed{})
		a.flushing = nil
	}
}

// Buckets are the actors that decide on the objects of one resource.
type Buckets []*actor.PID

// BucketsOf are the buckets of an aggregator. Their names follow from its name, so that reports need not pass through it.
func BucketsOf(aggregator *actor.PID, n int) Buckets {
	buckets := make(Buckets, n)
	for i := range buckets {
		buckets[i] = actor.NewPID(aggregator.Address, aggregator.Id+"/"+bucketName(i))
	}
	return buckets
}

func bucketName(i int) string { return "bucket:" + strconv.Itoa(i) }

// Send sends a message to all buckets.
func (b Buckets) Send(ctx actor.Context, m any) {
	for _, pid := range b {
		ctx.Send(pid, m)
	}
}

// Of is the bucket of an upstream object.
func (b Buckets) Of(u ref.Upstream) *actor.PID {
	if len(b) == 1 {
		return b[0]
	}
	return b[reconcile.Bucket(u.Workspace, u.Namespace, len(b))]
}
