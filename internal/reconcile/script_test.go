package reconcile

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// TestScripts runs the step scripts in testdata. Run with -rewrite to accept the output. A script is a story of commands; each prints the
// effects that it has. testdata/README.md lists the commands.
var scriptStart = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestScripts(t *testing.T) {
	policies, err := policy.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	stories := 0
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if filepath.Ext(path) != ".txt" {
			return
		}
		stories++
		s := newScript(t, policies)
		datadriven.RunTest(t, path, s.run)
	})
	if stories == 0 {
		t.Error("no scripts")
	}
}

// script is a State with the world around it: the objects of the API server, the copies of the SyncTargets, and the writes that wait.
type script struct {
	t       *testing.T
	state   *State
	config  Config
	now     time.Time
	start   time.Time
	wake    time.Time
	born    uint64
	epoch   uint64
	version int

	policies *policy.Set
	targets  map[ref.SyncTarget]SyncTargetAdded
	scopes   map[ref.Workspace]ScopeDescribed
	server   map[ref.Upstream]*ref.Object // the objects of the API server
	within   map[ref.Upstream]ref.Workspace
	panics   map[string]bool // names of objects: their decisions panic
	copies   map[ref.SyncTarget]map[ref.Downstream]Reported
	queue    map[ref.Upstream]Write // not sent yet
	flight   map[ref.Upstream]Write // sent, and not answered
	reads    map[ref.Upstream]Fetch
	dead     map[ref.Upstream]Fetch // reads of the State before a restart
	describe []ref.Workspace
	out      strings.Builder
}

func newScript(t *testing.T, policies *policy.Set) *script {
	start := scriptStart
	s := &script{
		t: t, now: start, start: start, policies: policies, version: 100,
		targets: map[ref.SyncTarget]SyncTargetAdded{}, scopes: map[ref.Workspace]ScopeDescribed{},
		server: map[ref.Upstream]*ref.Object{}, within: map[ref.Upstream]ref.Workspace{}, panics: map[string]bool{},
		copies: map[ref.SyncTarget]map[ref.Downstream]Reported{},
	}
	s.config = Config{Quiet: 200 * time.Millisecond, Deadline: time.Minute, Policy: policies.For(ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"})}
	s.config.Decide = func(p *policy.Policy, in aggregate.Input) aggregate.Decision {
		if s.panics[in.Name] {
			panic("a rule of the policy fails")
		}
		return aggregate.Decide(p, in)
	}
	s.fresh()
	return s
}

// fresh begins a State that knows nothing.
func (s *script) fresh() {
	s.born++
	s.config.Incarnation = s.born
	s.state = New(s.config)
	s.wake = time.Time{}
	s.queue, s.flight, s.reads, s.describe = map[ref.Upstream]Write{}, map[ref.Upstream]Write{}, map[ref.Upstream]Fetch{}, nil
}

// step gives an event to the State and goes on with long work. The indexes have to agree with the objects after each Step.
func (s *script) step(e Event) {
	s.t.Helper()
	for again := true; again; {
		again = false
		for _, effect := range slices.Clone(s.state.Step(s.now, e)) {
			if _, more := effect.(Continue); more {
				again = true
				continue
			}
			s.effect(effect)
		}
		if err := checkIndexes(s.state); err != nil {
			s.t.Fatalf("after %T: %v", e, err)
		}
		e = Continue{}
	}
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

// short is the name of an object as commands give it.
func short(u ref.Upstream) string {
	if u.Workspace == "team-a" && u.Namespace == "default" {
		return u.Name
	}
	return u.String()
}

// rendered is a status with a line for each of its conditions.
func (s *script) rendered(status []byte) string {
	var fields map[string]any
	if len(status) > 0 {
		s.must(json.Unmarshal(status, &fields))
	}
	conditions, listed := fields["conditions"].([]any)
	if listed {
		delete(fields, "conditions")
	}
	rest, err := json.Marshal(fields)
	s.must(err)
	var b strings.Builder
	b.Write(rest)
	for _, c := range conditions {
		m := c.(map[string]any)
		kind := strings.TrimPrefix(fmt.Sprint(m["type"]), "upstreamd.dev/")
		fmt.Fprintf(&b, "\n  %s %v", kind, m["status"])
		if m["reason"] != nil {
			fmt.Fprintf(&b, " %v", m["reason"])
		}
		if m["message"] != nil {
			fmt.Fprintf(&b, " %q", m["message"])
		}
		if at, ok := m["lastTransitionTime"].(string); ok {
			fmt.Fprintf(&b, " since %s", strings.TrimSuffix(strings.TrimPrefix(at, "2026-01-01T"), "Z"))
		}
	}
	return b.String()
}

func (s *script) effect(effect Effect) {
	switch e := effect.(type) {
	case Write:
		s.queue[e.Upstream] = e
		var body struct{ Status json.RawMessage }
		s.must(json.Unmarshal(e.Body, &body))
		about := ""
		if e.Lane == patch.Urgent {
			about += " urgent"
		}
		if e.Cause != "" {
			about += " by " + string(e.Cause)
		}
		s.printf("write %s at %s%s: %s", short(e.Upstream), e.Version, about, s.rendered(body.Status))
	case Cancel:
		delete(s.queue, e.Upstream)
		s.printf("cancel %s", short(e.Upstream))
	case Fetch:
		s.reads[e.Upstream] = e
		s.printf("fetch %s", short(e.Upstream))
	case Describe:
		s.describe = append(s.describe, e.Scope)
		s.printf("describe scope %q", e.Scope)
	case ScopeReady:
		s.printf("ready scope %q", e.Scope)
	case Tallied:
		s.printf("tallied %s: %d of %d vanished", e.Target, e.Vanished, e.Known)
	case Wake:
		s.wake = e.At
	case Log:
		s.log(e)
	case Count:
		if name := map[Counter]string{Rejected: "rejected", Contested: "contested", Conflicts: "conflicts", Parked: "parked"}[e.What]; name != "" {
			s.printf("count %s", strings.Join(strings.Fields(fmt.Sprintf("%s %s %+d", name, e.Label, e.Delta)), " "))
		}
	case Decided:
		s.printf("decided %s: %s", short(e.Upstream), strings.TrimSuffix(string(e.Reason)+"; "+e.Suppressed, "; "))
	case Published:
		after := ""
		if e.Latency > 0 {
			after = " after " + e.Latency.String()
		}
		s.printf("published %s%s: %s", short(e.Upstream), after, s.rendered(e.Status))
	default:
		s.t.Fatalf("effect %T", effect)
	}
}

func (s *script) log(e Log) {
	var fields strings.Builder
	for i := 0; i+1 < len(e.Fields); i += 2 {
		value := e.Fields[i+1]
		if u, ok := value.(ref.Upstream); ok {
			value = short(u)
		}
		fmt.Fprintf(&fields, " %s=%v", e.Fields[i], value)
	}
	s.printf("log %s;%s", e.Message, fields.String())
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.t = t
	s.out.Reset()
	command := map[string]func(*datadriven.TestData){
		"resource": s.resource, "policy": s.policy, "panic": s.panicOn, "begin": s.begin,
		"target": s.target, "remove-target": s.removeTarget, "stale": s.stale, "fresh": s.stale,
		"list": s.list, "object": s.object, "watch": s.watch, "undecodable": s.undecodable, "delete": s.delete, "leave": s.leave, "described": s.described,
		"report": s.report, "withdraw": s.withdraw, "listed": s.listed, "confirm": s.confirm, "lose": s.lose,
		"send": s.send, "ack": s.ack, "refuse": s.refuse, "fetched": s.fetched,
		"advance": s.advance, "restart": s.restart, "writer-restarted": s.writerRestarted,
		"flush": func(*datadriven.TestData) { s.step(Flush{}) }, "explain": s.explain, "server": s.show, "size": s.size,
	}[d.Cmd]
	if command == nil {
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
	for _, one := range each(d) {
		command(one)
	}
	switch {
	case s.out.Len() == 0:
		return "ok\n"
	case d.HasArg("summary"):
		return summary(s.out.String())
	}
	return s.out.String()
}

// each repeats a command with count=3: "#" in its arguments is the number, from 1 on.
func each(d *datadriven.TestData) []*datadriven.TestData {
	n := number(d, "count", 0)
	if n == 0 {
		return []*datadriven.TestData{d}
	}
	var all []*datadriven.TestData
	for i := range n {
		one := *d
		one.CmdArgs = slices.Clone(d.CmdArgs)
		for j, a := range one.CmdArgs {
			one.CmdArgs[j].Key = strings.ReplaceAll(a.Key, "#", strconv.FormatInt(i+1, 10))
		}
		all = append(all, &one)
	}
	return all
}

// summary counts the lines of an output by their kind.
func summary(text string) string {
	counts := map[string]int{}
	var order []string
	for line := range strings.Lines(text) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch kind {
		case "decided":
			_, rest, _ = strings.Cut(rest, ": ")
			kind += " " + rest
		case "log":
			kind += " " + strings.Split(rest, ";")[0]
		case "write", "published", "cancel", "fetch", "conflict:":
		default:
			if strings.HasPrefix(line, "  ") {
				continue // a condition
			}
			kind += " " + rest
		}
		if counts[kind]++; counts[kind] == 1 {
			order = append(order, kind)
		}
	}
	var b strings.Builder
	for _, kind := range order {
		fmt.Fprintf(&b, "%d × %s\n", counts[kind], kind)
	}
	return b.String()
}
