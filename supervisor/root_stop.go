package supervisor

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// stopping is how far a stop has come: the actors of SyncTargets end, then the aggregators are flushed, then the writer is drained.
type stopping struct {
	done    chan struct{}
	silent  bool                      // no actor of a SyncTarget is left
	flushes map[ref.Resource]struct{} // aggregators that have not answered
	drained bool
}

func (r *rootActor) stop(ctx actor.Context, m stop) {
	if r.stopping != nil {
		return
	}
	r.stopping = &stopping{done: m.done}
	for _, member := range r.targets {
		ctx.Stop(r.pidOf(member.registration))
	}
	r.flushWhenSilent(ctx)
}

func (r *rootActor) flushWhenSilent(ctx actor.Context) {
	if r.stopping == nil || len(r.targets) > 0 {
		return
	}
	r.stopping.silent = true
	r.flushAll(ctx)
}

// flushAll asks for all pending decisions. After a restart of the writer that is to be done again, as its queue is lost.
func (r *rootActor) flushAll(ctx actor.Context) {
	if r.stopping == nil || !r.stopping.silent {
		return
	}
	r.stopping.flushes = map[ref.Resource]struct{}{}
	for resource, a := range r.aggregators {
		r.stopping.flushes[resource] = struct{}{}
		ctx.Request(a.pid, actors.Flush{})
	}
	if len(r.aggregators) == 0 {
		ctx.Request(r.writer, actors.Drain{})
	}
}

// flushAgain asks an aggregator that has restarted before it answered.
func (r *rootActor) flushAgain(ctx actor.Context, resource ref.Resource) {
	if r.stopping == nil || !r.stopping.silent {
		return
	}
	if _, missing := r.stopping.flushes[resource]; missing {
		ctx.Request(r.aggregators[resource].pid, actors.Flush{})
	}
}

func (r *rootActor) flushed(ctx actor.Context, resource ref.Resource) {
	if r.stopping == nil {
		return // asked by an instance before a restart
	}
	if _, missing := r.stopping.flushes[resource]; !missing {
		return
	}
	delete(r.stopping.flushes, resource)
	if len(r.stopping.flushes) == 0 {
		ctx.Request(r.writer, actors.Drain{})
	}
}

func (r *rootActor) drained() {
	if r.stopping == nil || r.stopping.drained {
		return
	}
	r.stopping.drained = true
	close(r.stopping.done)
}
