package actors

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/debounce"
	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
	"github.com/upstreamd/upstreamd/internal/transform"
)

// objectConfig is shared by all object actors of one watch.
type objectConfig struct {
	target     ref.SyncTarget
	buckets    Buckets
	rules      atomic.Pointer[rules]
	window     debounce.Window
	share      *rate.Limiter // of the isolated changes that are reported at once
	namespaces *namespaceTable
	log        zerolog.Logger
	once       *once
	rejected   *prometheus.CounterVec
	suppressed prometheus.Counter
	coalesced  prometheus.Counter
}

// rules are how a contribution is made. They are replaced as a whole when the policy changes.
type rules struct {
	policy    *policy.Policy
	extractor status.Extractor
	whole     bool // the extractor reads the whole object
}

// objectActor owns the cached status of one downstream object, and its debounce timer. The first Observed names the object, so that all
// object actors of a watch share one set of props.
type objectActor struct {
	config   *objectConfig
	source   ref.Downstream
	upstream ref.Upstream

	at           ref.Position
	rules        *rules // by which contribution was made
	digest       uint64 // of the parts of the object that contribution was made of
	contribution *aggregate.Contribution
	evidence     *evidence.Object
	spec         uint64 // hash of the JSON that evidence.Spec was made of
	refused      string // the reason if the latest status was refused; contribution is then the last good one

	window   debounce.State
	timer    *time.Timer
	arming   uint32
	received time.Time // of the oldest event that was not reported
	answered bool      // a report was sent
}

func (o *objectActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case Observed:
		o.observed(ctx, m)
	case flush:
		o.flush(ctx, m)
	case Unspent:
		o.unspent(ctx)
	case resend:
		o.resend(ctx, m)
	case Deleted:
		o.deleted(ctx, m)
	case *actor.Restarting:
		o.disarm()
		ctx.Send(ctx.Parent(), objectRestarted{o.source})
	case *actor.Stopping:
		o.disarm()
	}
}

// observed takes the latest state. A change is reported, at once if it is isolated; a state that changes nothing is not.
func (o *objectActor) observed(ctx actor.Context, m Observed) {
	at := ref.Position{Epoch: m.Epoch, UID: m.Object.UID, ResourceVersion: m.Object.ResourceVersion}
	if at.Before(o.at) {
		return
	}
	o.at = at
	o.source, o.upstream = ref.Downstream{Namespace: m.Object.Namespace, Name: m.Object.Name}, m.Upstream
	changed := o.take(m.Object, m.Received)
	if m.Object.SpecHash != 0 && o.spec != m.Object.SpecHash { // the events that brought the spec were dropped
		ctx.Send(ctx.Parent(), objectRestarted{o.source})
	}
	if m.Answer || !o.answered {
		if changed {
			o.note(m.Received)
		}
		o.send(ctx, time.Now())
		return
	}
	if !changed {
		o.config.suppressed.Inc()
		return
	}
	o.note(m.Received)
	now := time.Now()
	window := o.config.window.Spread(spread(o.upstream))
	if o.window.Alone(window, now) && !o.config.share.AllowN(now, 1) {
		window = window.Hold()
	}
	fire, after := o.window.Changed(window, now)
	if fire {
		o.lead(ctx, now)
		return
	}
	o.config.coalesced.Inc()
	o.arm(ctx, after)
}

// note keeps the arrival of the oldest unreported event.
func (o *objectActor) note(received time.Time) {
	if o.received.IsZero() || received.Before(o.received) {
		o.received = received
	}
}

// take makes a contribution of the object if it differs from the state that the present one was made of.
func (o *objectActor) take(obj *ref.Object, observed time.Time) (changed bool) {
	r := o.config.rules.Load()
	digest := digestOf(obj, r.whole)
	if o.rules == r && o.digest == digest {
		return false
	}
	o.witness(r, obj)
	o.rules, o.digest = r, digest
	parsed, err := o.extract(r, obj)
	if err != nil {
		return o.refuse(err)
	}
	before := o.refused
	o.refused = ""
	if parsed == nil {
		changed = o.contribution != nil || before != ""
		o.contribution = nil
		return changed
	}
	o.contribution = &aggregate.Contribution{
		Status:     parsed,
		Generation: obj.Generation,
		Time:       statusTime(obj, parsed, observed),
	}
	return true
}

// witness takes the evidence of the state that the copy was made of. The spec is read only if it has changed.
func (o *objectActor) witness(r *rules, obj *ref.Object) {
	e, spec := evidence.Of(obj), specHash(obj)
	known := o.evidence != nil && o.spec == spec
	switch {
	case known && o.rules == r && e.SameBut(o.evidence):
		return
	case known && (o.rules == r || obj.Spec == nil): // other rules come with a new list, so with all specs
		e.Spec = o.evidence.Spec
	case obj.Spec != nil:
		e.Spec = evidence.SpecOf(obj.Spec, r.policy.Evidence)
	default:
		spec = 0 // it is missing
	}
	o.evidence, o.spec = &e, spec
}

// refuse keeps the last good status, and the reason for the refusal of the new one.
func (o *objectActor) refuse(err error) (changed bool) {
	reason := "Panicked"
	if refused := (*status.Refused)(nil); errors.As(err, &refused) {
		reason = string(refused.Reason)
	}
	o.config.rejected.WithLabelValues(reason).Inc()
	level := o.config.once.level(reason)
	o.config.log.WithLevel(level).Str("object", o.source.String()).Str("reason", reason).Err(err).
		Msg("status refused; the last good one stays")
	changed = o.refused != reason
	o.refused = reason
	return changed
}

// extract takes the status out of the object and reverses the transformations of the way down. A panic affects this object only.
func (o *objectActor) extract(r *rules, obj *ref.Object) (parsed map[string]any, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			parsed, err = nil, fmt.Errorf("panic while extracting: %v", reason)
		}
	}()
	if parsed, err = r.extractor.Extract(obj); err != nil || parsed == nil {
		return nil, err
	}
	return transform.Status(parsed, transform.Context{
		Downstream: o.source,
		Upstream:   o.upstream,
		UID:        obj.UID,
		Namespace:  func(name string) (string, bool) { return o.config.namespaces.upstream(o.upstream.Workspace, name) },
		Withhold:   r.policy.Withhold,
	}), nil
}

// lead reports an isolated change, and asks whether it led to nothing: then the next one is isolated too. A controller often writes a status
// without news right before the one that matters.
func (o *objectActor) lead(ctx actor.Context, now time.Time) {
	o.sent(now)
	ctx.Request(o.config.buckets.Of(o.upstream), o.report())
	o.received = time.Time{}
}

func (o *objectActor) unspent(ctx actor.Context) {
	now := time.Now()
	if o.config.share.AllowN(now, 1) && o.window.Unspent() {
		o.lead(ctx, now)
	}
}

func (o *objectActor) send(ctx actor.Context, now time.Time) {
	o.sent(now)
	ctx.Send(o.config.buckets.Of(o.upstream), o.report())
	o.received = time.Time{}
}

func (o *objectActor) sent(now time.Time) {
	o.disarm()
	o.window.Fired(now)
	o.answered = true
}

func (o *objectActor) report() reconcile.Reported {
	return reconcile.Reported{
		Target:       o.config.target,
		Source:       o.source,
		Upstream:     o.upstream,
		At:           o.at,
		Contribution: o.contribution,
		Evidence:     o.evidence,
		Refused:      o.refused,
		Received:     o.received,
	}
}

func (o *objectActor) flush(ctx actor.Context, m flush) {
	if m.of == o && m.arming == o.arming && o.window.Pending() {
		o.send(ctx, time.Now())
	}
}

func (o *objectActor) resend(ctx actor.Context, m resend) {
	if !o.answered {
		return // restarted; it is about to observe its object again
	}
	if m.epoch > o.at.Epoch {
		o.at.Epoch = m.epoch
	}
	o.send(ctx, time.Now())
}

func (o *objectActor) deleted(ctx actor.Context, m Deleted) {
	if m.Withdraw {
		ctx.Send(o.config.buckets.Of(m.Upstream), reconcile.Withdrew{Target: o.config.target, Source: m.Source, Upstream: m.Upstream, At: m.At})
	}
	ctx.Stop(ctx.Self())
}

// arm sets the one timer to fire after d.
func (o *objectActor) arm(ctx actor.Context, d time.Duration) {
	o.disarm()
	o.arming++
	self, system, message := ctx.Self(), ctx.ActorSystem(), flush{o, o.arming}
	o.timer = time.AfterFunc(d, func() { system.Root.Send(self, message) })
}

func (o *objectActor) disarm() {
	if o.timer != nil {
		o.timer.Stop()
		o.timer = nil
	}
	o.arming++
}

// spread is the same for all copies of an upstream object, so that their reports in a burst still coincide.
func spread(u ref.Upstream) uint64 {
	return xxhash.Sum64String(string(u.Workspace)) ^ xxhash.Sum64String(u.Namespace)*3 ^ xxhash.Sum64String(u.Name)*5
}

func specHash(obj *ref.Object) uint64 {
	if obj.SpecHash == 0 && obj.Spec != nil { // as pushed by an embedding program
		return status.Hash(obj.Spec)
	}
	return obj.SpecHash
}

// digestOf differs for states of an object that could lead to different contributions.
func digestOf(obj *ref.Object, whole bool) uint64 {
	body := obj.Status
	if whole {
		body = obj.Raw
	}
	digest := status.Hash(body)
	mix := func(n uint64) { digest = (digest ^ n) * 0x9e3779b97f4a7c15 }
	mix(uint64(obj.Generation)) //nolint:gosec // bits, not a number
	mix(specHash(obj))
	mix(evidence.Digest(obj))
	mix(uint64(obj.StatusTime.UnixNano()))
	if body == nil {
		mix(1)
	}
	if obj.Err != nil {
		mix(status.Hash([]byte(obj.Err.Error())))
	}
	return digest
}
