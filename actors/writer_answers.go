package actors

import (
	"maps"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// patched handles an answer. If the call wrote nothing, its write is repeated, or a newer one sent. Else a newer one was decided on an older
// version and is dropped: the bucket decides again with the answer at hand. A bucket that has restarted since does not get this answer, so
// its newer write is sent.
func (w *writer) patched(ctx actor.Context, m patched) {
	if m.of != w {
		return // of a call before a restart: buckets were told that all writes are lost
	}
	key := keyOf(m.write)
	next := w.inFlight[key]
	delete(w.inFlight, key)
	class := reconcile.Refusal("")
	if m.err != nil {
		class = classify(m.err)
	}
	if m.fenced {
		class = reconcile.Fenced
	}
	now := time.Now()
	w.slots.End(m.host, key.Upstream.Workspace, m.began, now, ending(class))
	w.queue.Regroup(key.Upstream.Workspace, now)
	w.Metrics.Patches.WithLabelValues(ref.ResourceString(key.Resource), result(m, class)).Inc()
	wroteNothing := false
	switch class {
	case "":
		if h := w.hosts[m.host]; h != nil && !now.Before(h.until) {
			delete(w.hosts, m.host)
			w.once.forget("pause/" + m.host)
		}
		ctx.Send(m.write.From, reconcile.Acknowledged{Upstream: key.Upstream, Token: m.write.Token, Object: m.object})
	case reconcile.Busy, reconcile.Unauthorized, reconcile.Unreachable, reconcile.Fenced:
		wroteNothing = true // so the version that was decided on still holds
		w.pause(m.host, class, m.err)
	default:
		w.Log.WithLevel(w.once.level(string(class))).Str("upstream", key.Upstream.String()).
			Str("resource", ref.ResourceString(key.Resource)).Str("reason", string(class)).Err(m.err).Msg("status patch refused")
		ctx.Send(m.write.From, reconcile.Refused{Upstream: key.Upstream, Token: m.write.Token, Class: class, Err: m.err})
	}
	if next != nil && w.isAlive(*next) && (wroteNothing || !w.isAlive(m.write)) {
		w.put(*next)
	}
}

// ending is the meaning of an answer for the load that the server takes.
func ending(class reconcile.Refusal) patch.Ending {
	switch class {
	case reconcile.Busy:
		return patch.Overloaded
	case reconcile.OutcomeUnknown, reconcile.Unauthorized, reconcile.Unreachable, reconcile.Fenced:
		return patch.Unanswered
	}
	return patch.Answered
}

// result is the label of the patches metric.
func result(m patched, class reconcile.Refusal) string {
	switch {
	case class != "":
		return string(class)
	case m.object.ResourceVersion == m.write.Version:
		return "unchanged"
	}
	return "written"
}

// forgetHosts drops hosts that are not written to any more.
func (w *writer) forgetHosts() {
	now := time.Now()
	maps.DeleteFunc(w.hosts, func(name string, h *host) bool {
		expired := now.Sub(h.until) > hostMemory
		if expired {
			w.once.forget("pause/" + name)
		}
		return expired
	})
}

// pause backs off from a host for as long as it asks, else for longer each time.
func (w *writer) pause(name string, class reconcile.Refusal, err error) {
	h := w.hosts[name]
	if h == nil {
		w.forgetHosts()
		h = &host{}
		w.hosts[name] = h
	}
	now := time.Now()
	if now.Before(h.until) {
		return
	}
	h.pause = min(max(2*h.pause, minHostPause), maxHostPause)
	d := h.pause/2 + jittered(w.Jitter, h.pause/2)
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok && seconds > 0 {
		d = min(time.Duration(seconds)*time.Second, maxHostPause)
	}
	h.until = now.Add(d)
	if h.fenced = class == reconcile.Fenced; h.fenced {
		return // the election logs it once, not for each host
	}
	w.Log.WithLevel(w.once.level("pause/"+name)).Str("host", name).Str("reason", string(class)).Dur("pause", d).Err(err).
		Msg("backing off; writes stay queued")
}
