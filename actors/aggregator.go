package actors

import (
	"context"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// AggregatorConfig is the configuration of the aggregator of one resource.
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
// objects, and the judgement of lists of SyncTargets that lack much: both concern all buckets.
type aggregator struct {
	AggregatorConfig
	resource     string
	want         ref.Want
	buckets      Buckets
	incarnations []uint64 // of the buckets; 0: not started. Reports of earlier ones are void
	started      int      // buckets, restarts included

	inbox     *inbox
	stop      context.CancelFunc
	listing   *upstreamListing
	outage    outage
	broken    map[ref.Workspace]struct{} // scopes with a failed watch
	readiness readiness
	tallies   tallies
	flushing  *flushing
}

// upstreamListing is a list that is passed on in parts.
type upstreamListing struct {
	scope   ref.Workspace
	version string
	rest    []*ref.Object
	first   bool
}

// flushing is how far a Flush has come.
type flushing struct {
	asker   *actor.PID
	missing map[int]struct{} // buckets that have not answered
}

// NewAggregator makes an aggregator actor.
func NewAggregator(c AggregatorConfig) actor.Actor {
	c.Log = c.Log.With().Str("resource", ref.ResourceString(c.Resource)).Logger()
	return &aggregator{
		AggregatorConfig: c,
		resource:         ref.ResourceString(c.Resource),
		want:             reconcile.Want(c.Policies.For(c.Resource)),
		outage:           outage{failure: "upstream list or watch failed; retrying", recovery: "upstream lists and watches work again"},
		broken:           map[ref.Workspace]struct{}{},
		readiness:        newReadiness(c.Buckets),
		tallies:          tallies{},
		incarnations:     make([]uint64, c.Buckets),
	}
}

func (a *aggregator) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		a.begin(ctx)
	case poked:
		a.drain(ctx, m)
	case listingContinues:
		a.continueListing(ctx, m)
	case Listed:
		a.copiesListed(ctx, m)
	case crashed:
		a.crashed(m)
	case *actor.Restarting, *actor.Stopping:
		a.end()
	case reconcile.SyncTargetRemoved:
		delete(a.tallies, m.Target)
	case reconcile.Event:
		a.buckets.Send(ctx, m)
	case bucketReport:
		a.bucketReport(ctx, m)
	default:
		a.control(ctx, m)
	}
}

// control handles requests of the parent.
func (a *aggregator) control(ctx actor.Context, message any) {
	switch m := message.(type) {
	case PolicyChanged:
		a.policyChanged(ctx, m)
	case Flush:
		a.flush(ctx)
	case Explain:
		ctx.Forward(a.buckets.Of(m.Upstream))
	}
}

func (a *aggregator) begin(ctx actor.Context) {
	a.buckets = BucketsOf(ctx.Self(), a.Buckets)
	for i := range a.Buckets {
		props := a.Props(func() actor.Actor { return newBucket(a.AggregatorConfig, i) })
		if _, err := ctx.SpawnNamed(props, bucketName(i)); err != nil {
			panic(fmt.Errorf("spawning a bucket of %s: %w", a.resource, err))
		}
	}
	a.watch(ctx)
}

func (a *aggregator) end() {
	if a.stop != nil {
		a.stop()
	}
}

// ---- reports of buckets

func (a *aggregator) bucketReport(ctx actor.Context, m bucketReport) {
	if _, started := m.fact.(bucketStarted); started {
		a.bucketStarted(ctx, m)
		return
	}
	if m.incarnation != a.incarnations[m.bucket] {
		return
	}
	switch fact := m.fact.(type) {
	case reconcile.ScopeReady:
		a.readiness.ready(fact.Scope, m.bucket)
		a.whenReady(ctx)
	case reconcile.Tallied:
		a.tallied(ctx, fact)
	case Flushed:
		a.flushed(ctx, m.bucket)
	}
}

// bucketStarted brings buckets up to date: all at the start, and all once more when one failed and lost its state.
func (a *aggregator) bucketStarted(ctx actor.Context, m bucketReport) {
	a.incarnations[m.bucket] = m.incarnation
	a.readiness.restarted(m.bucket)
	if a.started++; a.started < a.Buckets {
		return
	}
	if a.started > a.Buckets {
		a.rewatch(ctx)
	}
	ctx.Send(ctx.Parent(), AggregatorStarted{a.Resource})
	if a.flushing != nil { // the bucket that failed may not have answered
		ctx.Send(a.buckets[m.bucket], Flush{})
	}
}

// copiesListed passes on a part of a SyncTarget's list: to each bucket its copies, and the end to all.
func (a *aggregator) copiesListed(ctx actor.Context, m Listed) {
	a.tallies.listed(m)
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

// tallied confirms a list when all buckets have counted, or asks for a second one.
func (a *aggregator) tallied(ctx actor.Context, m reconcile.Tallied) {
	switch t, v := a.tallies.counted(m, len(a.buckets)); v {
	case confirmed:
		a.buckets.Send(ctx, reconcile.ListConfirmed{Target: m.Target, Epoch: m.Epoch})
	case doubtful:
		a.Log.Warn().Str("sync_target", string(m.Target)).Int("vanished", t.vanished).Int("known", t.known).
			Msg("a list lacks more than half of the copies; relisting before they count as gone")
		ctx.Send(t.watch, Relist{})
	}
}

// ---- policies and control

func (a *aggregator) policyChanged(ctx actor.Context, m PolicyChanged) {
	before, p := a.Policies.For(a.Resource), m.Policies.For(a.Resource)
	a.Policies = m.Policies
	want := reconcile.Want(p)
	reread := !reflect.DeepEqual(want, a.want) || !reflect.DeepEqual(p.Evidence, before.Evidence)
	a.want = want
	a.buckets.Send(ctx, reconcile.PolicyChanged{Policy: p, Reread: reread})
	if reread {
		a.rewatch(ctx)
	}
}

func (a *aggregator) flush(ctx actor.Context) {
	a.flushing = &flushing{asker: ctx.Sender(), missing: map[int]struct{}{}}
	for i := range a.buckets {
		a.flushing.missing[i] = struct{}{}
	}
	a.buckets.Send(ctx, Flush{})
}

func (a *aggregator) flushed(ctx actor.Context, bucket int) {
	if a.flushing == nil {
		return
	}
	delete(a.flushing.missing, bucket)
	if len(a.flushing.missing) == 0 {
		ctx.Send(a.flushing.asker, Flushed{a.Resource})
		a.flushing = nil
	}
}
