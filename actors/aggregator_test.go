package actors

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// An object that is to be decided again in bulk, and is decided for another reason before its turn, is decided once: at a start this
// is the object whose last contribution comes right after the upstream list.
func TestWhatWasDecidedMeanwhileIsNotDecidedAgain(t *testing.T) {
	a, _ := handled(t, ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"})
	e := a.entry(ref.Upstream{Workspace: "team-a", Namespace: "shop", Name: "web"})
	e.seen, e.scope = &seen{ResourceVersion: "1"}, &scope{listed: true}
	decisions := func() float64 {
		return testutil.ToFloat64(a.Metrics.Decisions.WithLabelValues(a.resource, string(aggregate.ReasonNotPlaced)))
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

// handled is an aggregator whose methods a test calls itself, and what it sends to the writer.
func handled(t *testing.T, r ref.Resource) (*aggregator, <-chan *Write) {
	t.Helper()
	policies, err := policy.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	m, err := metrics.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	engine := actor.NewActorSystem(actor.WithLoggerFactory(discard))
	t.Cleanup(engine.Shutdown)
	writes := make(chan *Write, 2)
	writer := engine.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if w, ok := ctx.Message().(Write); ok {
			writes <- &w
		}
	}))
	a := NewAggregator(AggregatorConfig{Resource: r, Policies: policies, Metrics: m, Writer: writer, Log: zerolog.Nop()}).(*aggregator)
	a.root, a.self = engine.Root, writer
	return a, writes
}

// A decision is made on the last answer of the API server, also when the message that tells of it still waits in a long mailbox: else
// each of them would be refused as outdated.
func TestADecisionKnowsTheLastAnswer(t *testing.T) {
	a, writes := handled(t, ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"})
	a.targets["east"] = &targetState{Target: locator.Target{Name: "east", Workspaces: []ref.Workspace{"team-a"}}, listed: true}
	e := a.entry(ref.Upstream{Workspace: "team-a", Namespace: "shop", Name: "web"})
	e.seen, e.scope = &seen{ResourceVersion: "1", UID: "u"}, &scope{listed: true}
	reports := func(version string, replicas int64) {
		e.contribute(Contributed{
			Target: "east", Source: ref.Downstream{Namespace: "n", Name: "web"}, Upstream: e.upstream, At: Position{UID: "d", ResourceVersion: version},
			Contribution: &aggregate.Contribution{Status: map[string]any{"replicas": replicas}},
		})
		a.consider(e)
	}

	reports("1", 1)
	first := <-writes
	if first.Version != "1" {
		t.Fatalf("decided on version %q", first.Version)
	}
	answer := &ref.Object{Workspace: "team-a", Namespace: "shop", Name: "web", UID: "u", ResourceVersion: "2", Status: []byte(`{"replicas":1}`)}
	if !first.answers.put(&Acknowledged{Write: *first, Object: answer}) {
		t.Error("the aggregator would not be told")
	}
	if first.answers.put(&Acknowledged{Write: *first, Object: answer}) {
		t.Error("the aggregator would be told twice")
	}
	reports("2", 2)
	if second := <-writes; second.Version != "2" {
		t.Errorf("decided on version %q although 2 was answered", second.Version)
	}
	if a.hearAll(); len(a.answers.by) > 0 || len(a.answers.order) > 0 {
		t.Errorf("answers are kept: %v", a.answers.order)
	}
}

// A write whose outcome is not known is answered when the next one is already on its way: that one is taken back too, as what it says
// may be undone before anybody hears of it again.
func TestAWriteThatOvertakesARefusalIsTakenBack(t *testing.T) {
	a, writes := handled(t, ref.Resource{Version: "v1", Resource: "pods"})
	e := a.entry(ref.Upstream{Workspace: "team-a", Namespace: "shop", Name: "web"})
	e.seen, e.scope = &seen{ResourceVersion: "1", UID: "u"}, &scope{listed: true}
	a.seq, e.seq, e.sending = 2, 2, true
	a.refused(Refused{Write: Write{Patch: ref.Patch{Upstream: e.upstream}, Seq: 1, Version: "1"}, Class: OutcomeUnknown})
	if w := <-writes; w.Patch.Body != nil || w.Seq != 3 || e.seq != 3 || e.sending {
		t.Errorf("told the writer %+v; seq %d, sending %v", w, e.seq, e.sending)
	}
}

// The answer to a read that a watch asked for before it failed is not for the one that took its place.
func TestAReadOfAWatchThatFailedIsNotCounted(t *testing.T) {
	w := &watchActor{reads: 1}
	w.readDone(nil, readDone{of: &watchActor{}})
	if w.reads != 1 {
		t.Errorf("%d reads are under way, want 1", w.reads)
	}
}
