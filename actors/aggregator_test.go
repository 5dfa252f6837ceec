package actors

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// An object that is to be decided again in bulk, and is decided for another reason before its turn, is decided once: at a start this
// is the object whose last contribution comes right after the upstream list.
func TestWhatWasDecidedMeanwhileIsNotDecidedAgain(t *testing.T) {
	policies, err := policy.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	m, err := metrics.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	engine := actor.NewActorSystem(actor.WithLoggerFactory(discard))
	defer engine.Shutdown()
	resource := ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"}
	a := NewAggregator(AggregatorConfig{Resource: resource, Policies: policies, Metrics: m, Log: zerolog.Nop()}).(*aggregator)
	a.root, a.self = engine.Root, engine.Root.Spawn(actor.PropsFromFunc(func(actor.Context) {}))
	e := a.entry(ref.Upstream{Workspace: "team-a", Namespace: "shop", Name: "web"})
	e.seen, e.scope = &seen{ResourceVersion: "1"}, &scope{listed: true}
	decisions := func() float64 {
		return testutil.ToFloat64(m.Decisions.WithLabelValues(ref.ResourceString(resource), string(aggregate.ReasonNotPlaced)))
	}

	a.postpone(e)
	a.consider(e)
	a.workOff(nil)
	if got := decisions(); got != 1 {
		t.Errorf("%v decisions, want 1", got)
	}
	a.postpone(e)
	a.workOff(nil)
	if got := decisions(); got != 2 {
		t.Errorf("%v decisions after another reason, want 2", got)
	}
}
