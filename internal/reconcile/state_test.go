package reconcile

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// begun is a script in which two SyncTargets hold two objects, and all is published.
func begun(t *testing.T, decide func(*policy.Policy, aggregate.Input) aggregate.Decision) *script {
	t.Helper()
	policies, err := policy.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	s := newScript(t, policies)
	if decide != nil {
		s.config.Decide = decide
		s.fresh()
	}
	s.begin(&datadriven.TestData{CmdArgs: []datadriven.CmdArg{{Key: "objects", Vals: []string{"db", "web"}}}})
	return s
}

// A panic in the decision on one object parks it and leaves its state as it was; others are decided, and so is it when its inputs change.
func TestAPanicParksOneObject(t *testing.T) {
	panics := false
	s := begun(t, func(p *policy.Policy, in aggregate.Input) aggregate.Decision {
		if panics && in.Name == "web" {
			panic("a bug in a rule")
		}
		return aggregate.Decide(p, in)
	})
	web := s.state.objects[name("web")]
	before := *web
	panics = true
	decided := s.state.decided
	s.step(PolicyChanged{Policy: s.config.Policy})
	if s.state.decided != decided+2 {
		t.Errorf("%d decisions, want one on each object", s.state.decided-decided)
	}
	if x := s.state.Explain(s.now, name("web")); x.Reason != Panicked || x.Suppressed != "Parked: Panicked" {
		t.Errorf("web: %s, %s", x.Reason, x.Suppressed)
	}
	if x := s.state.Explain(s.now, name("db")); x.Reason != aggregate.ReasonMerged {
		t.Errorf("db: %s", x.Reason)
	}
	after := *web
	after.reason, after.suppressed, after.decided = before.reason, before.suppressed, before.decided
	if !reflect.DeepEqual(before, after) {
		t.Errorf("the panic changed the object: before %+v, after %+v", before, after)
	}
	panics = false
	s.step(FreshnessChanged{Target: "west", Stale: true, Since: s.now})
	if x := s.state.Explain(s.now, name("web")); x.Reason != aggregate.ReasonHeld || x.Suppressed != "" {
		t.Errorf("web, after its inputs changed: %s, %s", x.Reason, x.Suppressed)
	}
}

// A result that is no JSON is parked like one that the API server refuses: until it changes, or for ten minutes.
func TestAResultThatCannotBeEncodedIsParked(t *testing.T) {
	value := math.NaN()
	s := begun(t, func(_ *policy.Policy, in aggregate.Input) aggregate.Decision {
		if len(in.Published) == 0 {
			return aggregate.Decision{Reason: aggregate.ReasonMerged, Publish: true, Status: map[string]any{"load": 1.0}}
		}
		return aggregate.Decision{Reason: aggregate.ReasonMerged, Publish: true, Status: map[string]any{"load": value}}
	})
	s.step(FreshnessChanged{Target: "west", Stale: true, Since: s.now})
	if x := s.state.Explain(s.now, name("web")); x.Suppressed != "Parked: Unencodable" {
		t.Fatalf("suppressed: %q", x.Suppressed)
	}
	if len(s.queue) > 0 {
		t.Fatalf("%d writes", len(s.queue))
	}
	value = 2
	s.step(FreshnessChanged{Target: "west"})
	if len(s.queue) != 2 {
		t.Errorf("%d writes after the result became JSON", len(s.queue))
	}
}

// A namespace falls into one bucket for all kinds; namespaces spread over all buckets.
func TestBucketsSpreadNamespaces(t *testing.T) {
	counts := make([]int, 8)
	for _, w := range []ref.Workspace{"a", "b", "ab"} {
		for n := range 1000 {
			namespace := strings.Repeat("n", n%7) + "-" + strings.Repeat("m", n/7)
			b := Bucket(w, namespace, len(counts))
			if b != Bucket(w, namespace, len(counts)) {
				t.Fatal("not the same bucket each time")
			}
			counts[b]++
		}
	}
	for b, n := range counts {
		if n < 300 || n > 450 {
			t.Errorf("bucket %d has %d of 3000 namespaces", b, n)
		}
	}
	if Bucket("a", "bc", 1<<20) == Bucket("ab", "c", 1<<20) {
		t.Error("workspace and namespace run into each other")
	}
}

// Texts of servers are kept within bounds.
func TestReasonsOfParksAreBounded(t *testing.T) {
	s := begun(t, nil)
	s.step(FreshnessChanged{Target: "west", Stale: true, Since: s.now})
	u := name("web")
	s.step(Refused{Upstream: u, Token: s.queue[u].Token, Class: NotServed, Err: errors.New(strings.Repeat("x", 10_000))})
	s.advanceBy(time.Second)
	if x := s.state.Explain(s.now, u); len(x.Suppressed) > 400 || !strings.HasPrefix(x.Suppressed, "Parked: NotServed: xxx") {
		t.Errorf("suppressed: %d bytes, %.50s", len(x.Suppressed), x.Suppressed)
	}
	if x := s.state.Explain(s.now, name("unknown")); x.Known {
		t.Error("an object that is not known is explained")
	}
	if New(Config{Policy: s.config.Policy, Incarnation: 7}).Incarnation != 7 {
		t.Error("the incarnation is not the one that was given")
	}
}
