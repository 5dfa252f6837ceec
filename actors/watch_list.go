package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// listing is a list that is worked off in turns.
type listing struct {
	rest     []*ref.Object
	received time.Time
	resend   bool // the aggregator has lost the parts so far
}

// listingContinues goes on with a listing: of is a *listing, or an *upstreamListing.
type listingContinues struct{ of any }

// drain takes a turn's worth from the inbox. Pokes of an inbox that was given up are ignored.
func (w *watchActor) drain(ctx actor.Context, m poked) {
	if m.inbox != w.inbox || w.listing != nil {
		return
	}
	b := w.inbox.take(turn)
	w.opening = w.opening && !b.health[""].live
	w.health.take(ctx, b.health[""], b.list != nil)
	if b.lost {
		w.relist(ctx)
		return
	}
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
	w.readNext(ctx)
	w.listing = &listing{rest: b.list.event.Objects, received: b.list.received}
	w.continueListing(ctx, listingContinues{w.listing})
}

// continueListing works off a turn's worth of a list. At its end, the objects that the list lacks are gone, and the aggregator learns which
// objects will answer.
func (w *watchActor) continueListing(ctx actor.Context, m listingContinues) {
	l := w.listing
	if l == nil || m.of != l {
		return // given up since
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
		ctx.Send(ctx.Self(), m)
		return
	}
	w.endListing(ctx, l)
	ctx.Send(ctx.Self(), poked{w.inbox})
}

func (w *watchActor) endListing(ctx actor.Context, l *listing) {
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
}

// reportListed reports to the aggregator which of the objects of a part of the list are copies.
func (w *watchActor) reportListed(ctx actor.Context, part []*ref.Object, last bool) {
	copies := make([]reconcile.Copy, 0, len(part))
	for _, o := range part {
		source := ref.Downstream{Namespace: o.Namespace, Name: o.Name}
		if c := w.objects[source]; c != nil {
			copies = append(copies, reconcile.Copy{Source: source, Upstream: c.upstream})
		}
	}
	if len(copies) > 0 || last {
		w.sendListed(ctx, copies, last, false)
	}
}

func (w *watchActor) sendListed(ctx actor.Context, copies []reconcile.Copy, last, resent bool) {
	ctx.Send(w.Aggregator, Listed{
		CopiesListed: reconcile.CopiesListed{Target: w.Target, Epoch: w.epoch, Copies: copies, Last: last},
		From:         ctx.Self(),
		Resent:       resent,
	})
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
			w.sendListed(ctx, copies, false, true)
			copies = make([]reconcile.Copy, 0, turn)
		}
	}
	w.sendListed(ctx, copies, true, true)
}
