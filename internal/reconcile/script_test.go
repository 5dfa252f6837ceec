package reconcile

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// TestScripts runs the step scripts in testdata. Run with -rewrite to accept the output. A script is a story of commands; each prints the
// effects that it has. testdata/README.md lists the commands.
func TestScripts(t *testing.T) {
	stories := 0
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if filepath.Ext(path) != ".txt" {
			return
		}
		stories++
		s := newScript(t)
		datadriven.RunTest(t, path, s.run)
	})
	if stories == 0 {
		t.Error("no scripts")
	}
}

// script is a State with the world around it: what the API server holds, what the SyncTargets hold, and the writes that wait.
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
	server   map[ref.Upstream]*ref.Object // what the API server holds
	within   map[ref.Upstream]ref.Workspace
	copies   map[ref.SyncTarget]map[ref.Downstream]Reported
	queue    map[ref.Upstream]Write // not sent yet
	flight   map[ref.Upstream]Write // sent, and not answered
	reads    map[ref.Upstream]Fetch
	describe []ref.Workspace
	out      strings.Builder
}

func newScript(t *testing.T) *script {
	policies, err := policy.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	s := &script{
		t: t, now: start, start: start, policies: policies, version: 100,
		targets: map[ref.SyncTarget]SyncTargetAdded{}, scopes: map[ref.Workspace]ScopeDescribed{},
		server: map[ref.Upstream]*ref.Object{}, within: map[ref.Upstream]ref.Workspace{}, copies: map[ref.SyncTarget]map[ref.Downstream]Reported{},
	}
	s.config = Config{Quiet: 200 * time.Millisecond, Deadline: time.Minute, Policy: policies.For(ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"})}
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

// step gives an event to the State and goes on with long work.
func (s *script) step(e Event) {
	for again := true; again; {
		again = false
		for _, effect := range slices.Clone(s.state.Step(s.now, e)) {
			if _, more := effect.(Continue); more {
				again = true
				continue
			}
			s.effect(effect)
		}
		e = Continue{}
	}
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *script) effect(effect Effect) {
	switch e := effect.(type) {
	case Write:
		s.queue[e.Upstream] = e
		var body struct{ Status json.RawMessage }
		if err := json.Unmarshal(e.Body, &body); err != nil {
			s.t.Fatal(err)
		}
		lane := map[patch.Lane]string{patch.Normal: "", patch.Urgent: " urgent"}[e.Lane]
		s.printf("write %s at %s%s: %s", e.Upstream, e.Version, lane, body.Status)
	case Cancel:
		delete(s.queue, e.Upstream)
		s.printf("cancel %s", e.Upstream)
	case Fetch:
		s.reads[e.Upstream] = e
		s.printf("fetch %s", e.Upstream)
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
		var fields strings.Builder
		for i := 0; i+1 < len(e.Fields); i += 2 {
			fmt.Fprintf(&fields, " %s=%v", e.Fields[i], e.Fields[i+1])
		}
		s.printf("log %s;%s", e.Message, fields.String())
	case Count:
		if name := map[Counter]string{Rejected: "rejected", Contested: "contested", Conflicts: "conflicts", Parked: "parked"}[e.What]; name != "" {
			s.printf("count %s", strings.TrimSpace(fmt.Sprintf("%s %s %+d", name, e.Label, e.Delta)))
		}
	case Decided:
		s.printf("decided %s: %s", e.Upstream, strings.TrimSuffix(string(e.Reason)+"; "+e.Suppressed, "; "))
	case Published:
		s.printf("published %s: %s", e.Upstream, e.Status)
	default:
		s.t.Fatalf("effect %T", effect)
	}
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.t = t
	s.out.Reset()
	command := map[string]func(*datadriven.TestData){
		"resource": s.resource, "policy": s.policy, "target": s.target, "remove-target": s.removeTarget, "stale": s.stale, "fresh": s.stale,
		"list": s.list, "object": s.object, "delete": s.delete, "leave": s.leave, "described": s.described,
		"report": s.report, "withdraw": s.withdraw, "listed": s.listed, "confirm": s.confirm,
		"send": s.send, "ack": s.ack, "refuse": s.refuse, "fetched": s.fetched,
		"advance": s.advance, "restart": s.restart, "writer-restarted": func(*datadriven.TestData) { s.queue = map[ref.Upstream]Write{}; s.step(WriterRestarted{}) },
		"flush": func(*datadriven.TestData) { s.step(Flush{}) }, "explain": s.explain, "server": s.show, "size": s.size,
	}[d.Cmd]
	if command == nil {
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
	command(d)
	if s.out.Len() == 0 {
		return "ok\n"
	}
	return s.out.String()
}

// ---- the world

// resource takes the built-in policy of a resource: resource deployments.apps
func (s *script) resource(d *datadriven.TestData) {
	name, group, _ := strings.Cut(d.CmdArgs[0].Key, ".")
	s.config.Policy = s.policies.For(ref.Resource{Group: group, Version: "v1", Resource: name})
	s.fresh()
}

// policy replaces the policy by a document in the input; with "changed" the running State gets it, else a fresh one.
func (s *script) policy(d *datadriven.TestData) {
	doc, err := policy.Parse(d.Pos, []byte(d.Input))
	s.must(err)
	set, err := policy.Compile(doc...)
	s.must(err)
	r := doc[0].Spec.Resources[0]
	p := set.For(ref.Resource{Group: r.Group, Version: r.Version, Resource: r.Resource})
	if !d.HasArg("changed") {
		s.config.Policy = p
		s.fresh()
		return
	}
	reread := fmt.Sprint(Want(p)) != fmt.Sprint(Want(s.config.Policy))
	s.config.Policy = p
	s.step(PolicyChanged{Policy: p, Reread: reread})
}

func (s *script) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func arg(d *datadriven.TestData, key, fallback string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key && len(a.Vals) > 0 {
			return strings.Join(a.Vals, ",")
		}
	}
	return fallback
}

func number(d *datadriven.TestData, key string, fallback int64) int64 {
	n, err := strconv.ParseInt(arg(d, key, strconv.FormatInt(fallback, 10)), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// name reads workspace|namespace/name; the workspace defaults to team-a, the namespace to default.
func name(text string) ref.Upstream {
	u := ref.Upstream{Workspace: "team-a", Namespace: "default", Name: text}
	if w, rest, ok := strings.Cut(u.Name, "|"); ok {
		u.Workspace, u.Name = ref.Workspace(w), rest
	}
	if ns, rest, ok := strings.Cut(u.Name, "/"); ok {
		u.Namespace, u.Name = ns, rest
	}
	return u
}

// target adds or changes a SyncTarget: target east [bound=(team-a)] [evicted] [unschedulable] [changed] [replaced]
func (s *script) target(d *datadriven.TestData) {
	n := ref.SyncTarget(d.CmdArgs[0].Key)
	e := SyncTargetAdded{Target: locator.Target{Name: n, Cluster: "root"}, Scheduling: Scheduling{Evicted: d.HasArg("evicted"), Unschedulable: d.HasArg("unschedulable")}}
	for _, w := range strings.Split(arg(d, "bound", "team-a"), ",") {
		if w != "none" {
			e.Target.Workspaces = append(e.Target.Workspaces, ref.Workspace(w))
		}
	}
	if d.HasArg("changed") {
		e.FromEpoch = s.targets[n].FromEpoch
		s.targets[n] = e
		s.step(SyncTargetChanged{e.Target, e.Scheduling})
		return
	}
	s.epoch++
	e.FromEpoch = s.epoch
	s.targets[n], s.copies[n] = e, map[ref.Downstream]Reported{}
	s.step(e)
}

func (s *script) removeTarget(d *datadriven.TestData) {
	n := ref.SyncTarget(d.CmdArgs[0].Key)
	delete(s.targets, n)
	delete(s.copies, n)
	s.step(SyncTargetRemoved{n})
}

// stale and fresh: stale east [over=Objects]
func (s *script) stale(d *datadriven.TestData) {
	e := FreshnessChanged{Target: ref.SyncTarget(d.CmdArgs[0].Key), Stale: d.Cmd == "stale", Over: ref.Limit(arg(d, "over", ""))}
	if e.Stale {
		e.Since = s.now.Add(-40 * time.Second)
	}
	s.step(e)
}

func (s *script) next() string { s.version++; return strconv.Itoa(s.version) }

// upstream makes an object: web [uid=u] [generation=1] [place=(east,west)] [version=7] [owned=({…})] [other=kubectl] [primary=east], status in the input.
func (s *script) upstream(d *datadriven.TestData) *ref.Object {
	u := name(d.CmdArgs[0].Key)
	o := &ref.Object{
		Workspace: u.Workspace, Namespace: u.Namespace, Name: u.Name, UID: types.UID(arg(d, "uid", "u")),
		ResourceVersion: arg(d, "version", ""), Generation: number(d, "generation", 1), Status: []byte(d.Input),
	}
	if o.ResourceVersion == "" {
		o.ResourceVersion = s.next()
	}
	if len(o.Status) == 0 {
		o.Status = nil
	}
	if before := s.server[u]; before != nil && before.UID == o.UID {
		o.Managers = before.Managers
		if o.Status == nil {
			o.Status = before.Status
		}
	}
	for _, t := range strings.Split(arg(d, "place", ""), ",") {
		if t == "" {
			continue
		}
		if o.Labels == nil {
			o.Labels = map[string]string{}
		}
		o.Labels[locator.PlacementLabel(locator.Key("root", t))] = "Sync"
	}
	if p := arg(d, "primary", ""); p != "" {
		o.Annotations = map[string]string{aggregate.PrimaryAnnotation: p}
	}
	if other := arg(d, "other", ""); other != "" {
		o.Managers = append(slices.Clone(o.Managers), ref.Manager{Name: other, Time: s.now})
	}
	return o
}

// object has the watch show an upstream object: object web …; with "later" the server holds it, and the watch has not shown it yet.
func (s *script) object(d *datadriven.TestData) {
	o := s.upstream(d)
	u := nameOf(o)
	s.server[u], s.within[u] = o, ref.Workspace(arg(d, "scope", string(u.Workspace)))
	if !d.HasArg("later") {
		s.step(UpstreamObserved{Scope: s.within[u], Object: o})
	}
}

func (s *script) delete(d *datadriven.TestData) {
	u := name(d.CmdArgs[0].Key)
	o := *s.server[u]
	o.ResourceVersion = s.next()
	delete(s.server, u)
	if !d.HasArg("later") {
		s.step(UpstreamGone{Scope: s.within[u], Object: &o})
	}
}

// leave ends a workspace (leave workspace=team-a scope=shard-1), or a whole scope (leave scope=shard-1).
func (s *script) leave(d *datadriven.TestData) {
	scope, w := ref.Workspace(arg(d, "scope", "team-a")), ref.Workspace(arg(d, "workspace", ""))
	if w == "" {
		s.step(ScopeLeft{scope})
		return
	}
	s.step(WorkspaceLeft{Scope: scope, Workspace: w, Version: s.next()})
}

// list has a scope listed as the server holds it: list [team-a] [version=7]
func (s *script) list(d *datadriven.TestData) {
	scope := ref.Workspace("team-a")
	if len(d.CmdArgs) > 0 && len(d.CmdArgs[0].Vals) == 0 {
		scope = ref.Workspace(d.CmdArgs[0].Key)
	}
	s.listScope(scope, arg(d, "version", s.next()))
}

func (s *script) listScope(scope ref.Workspace, version string) {
	e := UpstreamListed{Scope: scope, Version: version, First: true, Last: true}
	for _, u := range slices.SortedFunc(maps.Keys(s.server), func(a, b ref.Upstream) int { return strings.Compare(a.String(), b.String()) }) {
		if s.within[u] == scope {
			e.Objects = append(e.Objects, s.server[u])
		}
	}
	s.step(e)
}

// described answers Describe: described [team-a] [typed] [no-status] [error=text]
func (s *script) described(d *datadriven.TestData) {
	for _, scope := range s.describe {
		e := ScopeDescribed{Scope: scope, Typed: d.HasArg("typed"), HasStatus: !d.HasArg("no-status")}
		if text := arg(d, "error", ""); text != "" {
			e.Err = errors.New(text)
		}
		s.scopes[scope] = e
		s.describe = s.describe[1:]
		s.step(e)
	}
}

// ---- copies

// report has a copy reported: report east web [copy=ns/name] [generation=1] [of=1] [epoch=7] [no-status] [refused=TooLarge], status in the input.
func (s *script) report(d *datadriven.TestData) {
	t, u := ref.SyncTarget(d.CmdArgs[0].Key), name(d.CmdArgs[1].Key)
	source := ref.Downstream{Namespace: "kcp-" + string(u.Workspace) + "-" + u.Namespace, Name: u.Name}
	if c := arg(d, "copy", ""); c != "" {
		source.Namespace, source.Name, _ = strings.Cut(c, "/")
	}
	e := Reported{Target: t, Source: source, Upstream: u, Refused: arg(d, "refused", ""), Received: s.now, At: ref.Position{
		Epoch: uint64(number(d, "epoch", int64(s.epoch))), UID: types.UID(arg(d, "uid", "copy")), ResourceVersion: arg(d, "version", s.next()), //nolint:gosec // a small number
	}}
	if d.Input != "" {
		c := &aggregate.Contribution{Generation: number(d, "generation", 1), UpstreamGeneration: number(d, "of", 1), Time: s.now}
		decoder := json.NewDecoder(strings.NewReader(d.Input))
		decoder.UseNumber()
		var status map[string]any
		s.must(decoder.Decode(&status))
		c.Status = integers(status).(map[string]any)
		e.Contribution = c
	}
	if s.copies[t] != nil {
		s.copies[t][source] = e
	}
	s.step(e)
}

// integers makes json.Numbers what a status holds.
func integers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = integers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = integers(v[i])
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	}
	return v
}

// withdraw has a copy deleted: withdraw east web [copy=ns/name]
func (s *script) withdraw(d *datadriven.TestData) {
	t, u := ref.SyncTarget(d.CmdArgs[0].Key), name(d.CmdArgs[1].Key)
	source := ref.Downstream{Namespace: "kcp-" + string(u.Workspace) + "-" + u.Namespace, Name: u.Name}
	if c := arg(d, "copy", ""); c != "" {
		source.Namespace, source.Name, _ = strings.Cut(c, "/")
	}
	delete(s.copies[t], source)
	s.step(Withdrew{Target: t, Source: source, Upstream: u, At: ref.Position{Epoch: s.epoch, UID: "copy", ResourceVersion: s.next()}})
}

// listed has a SyncTarget complete a list of the copies that it holds, at a new epoch, and report each of them; with "silent" the copies
// do not report yet, with "doubtful" the list is not confirmed.
func (s *script) listed(d *datadriven.TestData) {
	for _, a := range d.CmdArgs {
		t := ref.SyncTarget(a.Key)
		if _, ok := s.targets[t]; !ok {
			continue
		}
		s.listTarget(t, !d.HasArg("silent"), !d.HasArg("doubtful"))
	}
}

func (s *script) listTarget(t ref.SyncTarget, report, confirm bool) {
	s.epoch++
	e := CopiesListed{Target: t, Epoch: s.epoch, Last: true}
	sources := slices.SortedFunc(maps.Keys(s.copies[t]), func(a, b ref.Downstream) int { return strings.Compare(a.String(), b.String()) })
	for _, source := range sources {
		e.Copies = append(e.Copies, Copy{source, s.copies[t][source].Upstream})
	}
	s.step(e)
	if confirm {
		s.step(ListConfirmed{t, s.epoch})
	}
	for _, source := range sources {
		c := s.copies[t][source]
		c.At.Epoch, c.Received = s.epoch, time.Time{}
		s.copies[t][source] = c
		if report {
			s.step(c)
		}
	}
}

func (s *script) confirm(d *datadriven.TestData) {
	s.step(ListConfirmed{ref.SyncTarget(d.CmdArgs[0].Key), s.epoch})
}

// ---- answers

// send takes writes off the queue: they are in flight and cannot be taken back: send web
func (s *script) send(d *datadriven.TestData) {
	u := name(d.CmdArgs[0].Key)
	w, ok := s.queue[u]
	if !ok {
		d.Fatalf(s.t, "no write of %s waits", u)
	}
	delete(s.queue, u)
	s.flight[u] = w
}

func (s *script) answered(d *datadriven.TestData) (Write, ref.Upstream) {
	u := name(d.CmdArgs[0].Key)
	w, ok := s.flight[u]
	if !ok {
		if w, ok = s.queue[u]; !ok {
			d.Fatalf(s.t, "no write of %s waits", u)
		}
	}
	delete(s.flight, u)
	if s.queue[u].Token == w.Token {
		delete(s.queue, u)
	}
	return w, u
}

// ack answers a write as the API server would: it applies the patch if the version fits; the input replaces the resulting status: ack web [unchanged]
func (s *script) ack(d *datadriven.TestData) {
	w, u := s.answered(d)
	o := *s.server[u]
	if o.ResourceVersion != w.Version && !d.HasArg("anyway") {
		s.printf("conflict: the server holds %s", o.ResourceVersion)
		s.step(Refused{Upstream: u, Token: w.Token, Class: Conflict, Err: errors.New("the object has been modified")})
		return
	}
	if !d.HasArg("unchanged") {
		o.ResourceVersion = s.next()
		o.Status = s.apply(o.Status, w.Body)
		if d.Input != "" {
			o.Status = []byte(d.Input)
		}
		o.Managers = []ref.Manager{{Name: ref.FieldManager, Time: s.now, Fields: fieldsOf(s.t, o.Status)}}
	}
	s.server[u] = &o
	if !d.HasArg("lost") {
		s.step(Acknowledged{Upstream: u, Token: w.Token, Object: &o})
	}
}

func (s *script) apply(status, body []byte) []byte {
	var have, change map[string]any
	if len(status) > 0 {
		s.must(json.Unmarshal(status, &have))
	}
	var b struct{ Status map[string]any }
	s.must(json.Unmarshal(body, &b))
	change = b.Status
	out, err := json.Marshal(patch.Apply(have, change))
	s.must(err)
	return out
}

// fieldsOf is a managedFields entry that owns all fields of a status.
func fieldsOf(t *testing.T, status []byte) []byte {
	var v map[string]any
	if err := json.Unmarshal(status, &v); err != nil {
		t.Fatal(err)
	}
	var fields func(map[string]any) map[string]any
	fields = func(m map[string]any) map[string]any {
		out := map[string]any{}
		for k, v := range m {
			out["f:"+k] = map[string]any{}
			if m, ok := v.(map[string]any); ok {
				out["f:"+k] = fields(m)
			}
			if list, ok := v.([]any); ok && k == "conditions" {
				keyed := map[string]any{".": map[string]any{}}
				for _, c := range list {
					keyed[fmt.Sprintf(`k:{"type":%q}`, c.(map[string]any)["type"])] = map[string]any{".": map[string]any{}}
				}
				out["f:"+k] = keyed
			}
		}
		return out
	}
	out, err := json.Marshal(map[string]any{"f:status": fields(v)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// refuse answers a write: refuse web Forbidden
func (s *script) refuse(d *datadriven.TestData) {
	w, u := s.answered(d)
	class := Refusal(d.CmdArgs[1].Key)
	s.step(Refused{Upstream: u, Token: w.Token, Class: class, Err: fmt.Errorf("%s, said the server", class)})
}

// fetched answers a read with what the server holds: fetched web [error=text]
func (s *script) fetched(d *datadriven.TestData) {
	u := name(d.CmdArgs[0].Key)
	r, ok := s.reads[u]
	if !ok {
		d.Fatalf(s.t, "no read of %s is under way", u)
	}
	delete(s.reads, u)
	e := Fetched{Upstream: u, Token: r.Token, Object: s.server[u], Gone: s.server[u] == nil}
	if text := arg(d, "error", ""); text != "" {
		e.Err = errors.New(text)
	}
	s.step(e)
}

// ---- time and control

// advance lets time pass: advance 200ms
func (s *script) advance(d *datadriven.TestData) {
	by, err := time.ParseDuration(d.CmdArgs[0].Key)
	s.must(err)
	until := s.now.Add(by)
	for !s.wake.IsZero() && !s.wake.After(until) {
		if s.wake.After(s.now) {
			s.now = s.wake
		}
		s.wake = time.Time{}
		before := s.out.Len()
		s.step(TimePassed{})
		if s.out.Len() > before {
			text := s.out.String()
			s.out.Reset()
			s.out.WriteString(text[:before])
			s.printf("+%s", s.now.Sub(s.start))
			s.out.WriteString(text[before:])
		}
	}
	s.now = until
}

// restart begins a State that knows nothing, and feeds it with what there is: SyncTargets, upstream objects, copies. Answers to the writes
// of the State before it may still come: they stay in flight with "writing".
func (s *script) restart(d *datadriven.TestData) {
	flight, queue := s.flight, s.queue
	s.fresh()
	if d.HasArg("writing") {
		s.flight, s.queue = flight, queue
	}
	names := slices.Sorted(maps.Keys(s.targets))
	for _, n := range names {
		s.step(s.targets[n])
	}
	for _, scope := range slices.Sorted(maps.Keys(s.scopes)) {
		s.listScope(scope, s.next())
		s.step(s.scopes[scope])
	}
	s.describe = nil
	for _, n := range names {
		s.listTarget(n, true, true)
	}
}

// explain prints the facts behind the last decision: explain web
func (s *script) explain(d *datadriven.TestData) {
	x := s.state.Explain(s.now, name(d.CmdArgs[0].Key))
	s.printf("known=%t reason=%s suppressed=%q message=%q", x.Known, x.Reason, x.Suppressed, x.Message)
	for _, source := range x.Input.Sources {
		s.printf("  %s state=%d stale=%t current=%t", source.Target, source.State, source.Stale, source.CaughtUp)
	}
}

// server prints the status that the API server holds: server web
func (s *script) show(d *datadriven.TestData) {
	o := s.server[name(d.CmdArgs[0].Key)]
	if o == nil {
		s.printf("no such object")
		return
	}
	s.printf("%s: %s", o.ResourceVersion, o.Status)
}

// size prints how much the State holds.
func (s *script) size(*datadriven.TestData) {
	copies, places, placed := 0, 0, 0
	for _, t := range s.state.targets {
		copies += len(t.copies)
	}
	for _, c := range s.state.scopes {
		places += len(c.order)
	}
	for _, k := range s.state.keys {
		placed += len(k.objects)
	}
	s.printf("objects=%d copies=%d scopes=%d places=%d placed=%d due=%d", len(s.state.objects), copies, len(s.state.scopes), places, placed, len(s.state.due))
}
