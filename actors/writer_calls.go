package actors

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// send has a worker call the API server. There are as many workers as there ever were calls under way at a time: their stacks have
// grown to the depth of a call.
func (w *writer) send(ctx actor.Context, m Write, now time.Time) {
	c := call{write: m, host: w.Upstream.Host(m.Upstream), began: now}
	w.inFlight[keyOf(m)] = &m
	w.slots.Begin(c.host, m.Upstream.Workspace, now)
	if !m.Received.IsZero() {
		w.Metrics.Added.Observe(now.Sub(m.Received).Seconds())
	}
	if w.workers < w.slots.InFlight() {
		w.workers++
		self, root := ctx.Self(), ctx.ActorSystem().Root
		go w.work(w.ctx, func(p patched) { root.Send(self, p) })
	}
	w.calls <- c // has room for all calls under way
}

// work makes calls until ctx ends.
func (w *writer) work(ctx context.Context, ended func(patched)) {
	for {
		select {
		case c := <-w.calls:
			ended(w.call(ctx, c))
		case <-ctx.Done():
			return
		}
	}
}

// call makes one. The right to write is checked right before it, and bounds it.
func (w *writer) call(ctx context.Context, c call) (p patched) {
	p.call, p.of = c, w
	defer func() {
		if r := recover(); r != nil {
			p.err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	if w.Fence != nil {
		bounded, cancel, ok := w.Fence(ctx)
		defer cancel()
		if p.fenced = !ok; p.fenced {
			return p
		}
		ctx = bounded
	}
	m := c.write
	if p.object, p.err = w.Upstream.Patch(ctx, ref.Patch{Resource: m.Resource, Upstream: m.Upstream, Body: m.Body}, *m.Want); p.err == nil {
		p.err = isObject(p.object, m.Upstream)
	}
	return p
}

// isObject checks that an answer of success holds the requested object. A proxy before the API server may answer with anything; such an
// answer does not even show whether a write took place.
func isObject(o *ref.Object, u ref.Upstream) error {
	switch {
	case o == nil:
		return errors.New("the answer holds no object")
	case o.Err != nil:
		return fmt.Errorf("the answer can't be read: %w", o.Err)
	case o.Name != u.Name || o.Namespace != u.Namespace || o.ResourceVersion == "":
		return fmt.Errorf("the answer is not the object: it names %q in %q", o.Name, o.Namespace)
	}
	return nil
}
