package growth

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// shards is an upstream of two servers: one is busy for the next half a minute, the other one serves the open workspace.
type shards struct{ actors.Upstream }

func (shards) Host(u ref.Upstream) string {
	if u.Workspace == open {
		return "shard"
	}
	return "busy"
}

func (shards) Patch(_ context.Context, p ref.Patch, _ ref.Want) (*ref.Object, error) {
	if p.Upstream.Workspace == open {
		return object(p.Upstream), nil
	}
	return nil, apierrors.NewTooManyRequests("busy", 30)
}

// writer is one write that the writer actor sends at once, while each of many workspaces has a write that waits for a server.
func writer(workspaces int) (step func(), err error) {
	counted, err := metrics.New(nil)
	if err != nil {
		return nil, err
	}
	engine := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	answers, started := make(chan struct{}, 1), make(chan *actor.PID, 1)
	props := actor.PropsFromProducer(func() actor.Actor {
		return actors.NewWriter(actors.WriterConfig{Upstream: shards{}, Metrics: counted, Log: zerolog.Nop()})
	}, actor.WithDispatcher(actors.NewDispatcher(2)), actor.WithMailbox(actors.Mailbox))
	bucket := engine.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch ctx.Message().(type) {
		case *actor.Started:
			started <- ctx.Spawn(props)
		case reconcile.Acknowledged:
			answers <- struct{}{}
		}
	}))
	pid := <-started
	send := func(u ref.Upstream) {
		engine.Root.Send(pid, actors.Write{Write: reconcile.Write{Upstream: u, Want: &ref.Want{}}, Resource: deployments, From: bucket})
	}
	for i := range workspaces {
		send(web(ref.Workspace(fmt.Sprintf("waiting-%d", i)), 0))
	}
	step = func() {
		send(web(open, 0))
		<-answers
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		step()
		waiting, underWay := testutil.ToFloat64(counted.QueueDepth), testutil.ToFloat64(counted.InFlight)
		if waiting == float64(workspaces) && underWay == 0 {
			return step, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%v writes wait and %v are under way, of %d", waiting, underWay, workspaces)
		}
	}
}
