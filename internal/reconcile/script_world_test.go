package reconcile

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/datadriven"
	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// resource takes the built-in policy of a resource.
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

// panicOn has the decisions on an object panic, or no longer with "off".
func (s *script) panicOn(d *datadriven.TestData) { s.panics[d.CmdArgs[0].Key] = !d.HasArg("off") }

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

// begin is the world in which most stories begin: SyncTargets that are bound to team-a, each with a copy of each object, and all is
// published. It prints the objects that the API server holds then.
func (s *script) begin(d *datadriven.TestData) {
	objects := strings.Split(arg(d, "objects", "web"), ",")
	for _, o := range objects {
		u := name(o)
		s.server[u] = &ref.Object{Workspace: u.Workspace, Namespace: u.Namespace, Name: u.Name, UID: "u", ResourceVersion: s.next(), Generation: 1}
		s.within[u] = "team-a"
	}
	s.listScope("team-a", s.next())
	s.described(d)
	targets := strings.Split(arg(d, "targets", "east,west"), ",")
	for _, t := range targets {
		n := ref.SyncTarget(t)
		s.epoch++
		s.targets[n] = SyncTargetAdded{Target: locator.Target{Name: n, Cluster: "root", Workspaces: []ref.Workspace{"team-a"}}, FromEpoch: s.epoch}
		s.copies[n] = map[ref.Downstream]Reported{}
		for _, o := range objects {
			u := name(o)
			status := map[string]any{"replicas": int64(3), "readyReplicas": number(d, "ready", 3)}
			s.copies[n][sourceOf(u)] = Reported{Target: n, Source: sourceOf(u), Upstream: u, At: ref.Position{UID: "copy", ResourceVersion: s.next()},
				Contribution: &aggregate.Contribution{Generation: 1, UpstreamGeneration: 1, Time: s.now, Status: status}}
		}
		s.step(s.targets[n])
	}
	for _, t := range targets {
		s.listTarget(ref.SyncTarget(t), true, true)
	}
	for _, u := range slices.SortedFunc(maps.Keys(s.queue), byName) {
		s.acknowledge(s.queue[u], u, nil)
		delete(s.queue, u)
	}
	s.out.Reset()
	s.advanceBy(5 * time.Second)
	for _, o := range objects {
		s.printf("%s %s: %s", o, s.server[name(o)].ResourceVersion, s.rendered(s.server[name(o)].Status))
	}
}

func byName(a, b ref.Upstream) int { return strings.Compare(a.String(), b.String()) }

func bySource(a, b ref.Downstream) int { return strings.Compare(a.String(), b.String()) }

func sourceOf(u ref.Upstream) ref.Downstream {
	return ref.Downstream{Namespace: "kcp-" + string(u.Workspace) + "-" + u.Namespace, Name: u.Name}
}

// target adds or changes a SyncTarget. One of a name that is there supersedes it.
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
	if d.HasArg("again") {
		s.step(s.targets[n])
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

// stale and fresh change the freshness of a SyncTarget.
func (s *script) stale(d *datadriven.TestData) {
	e := FreshnessChanged{Target: ref.SyncTarget(d.CmdArgs[0].Key), Stale: d.Cmd == "stale", Over: ref.Limit(arg(d, "over", ""))}
	if e.Stale {
		e.Since = s.now.Add(-40 * time.Second)
	}
	s.step(e)
}

func (s *script) next() string { s.version++; return strconv.Itoa(s.version) }

// upstream makes an object from the arguments of a command; its status is the input.
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
	o.Labels = map[string]string{}
	for _, t := range strings.Split(arg(d, "place", ""), ",") {
		if t != "" {
			o.Labels[locator.PlacementLabel(locator.Key("root", t))] = "Sync"
		}
	}
	for i := range number(d, "places", 0) {
		o.Labels[locator.PlacementLabel(fmt.Sprintf("k%05d", i))] = "Sync"
	}
	for _, label := range strings.Split(arg(d, "labels", ""), ",") {
		if key, value, ok := strings.Cut(label, ":"); ok {
			o.Labels[key] = value
		}
	}
	if p := arg(d, "primary", ""); p != "" {
		o.Annotations = map[string]string{aggregate.PrimaryAnnotation: p}
	}
	if d.HasArg("unreadable") {
		o.Managers = []ref.Manager{{Name: ref.FieldManager, Time: s.now, Fields: []byte("not a set of fields")}}
	}
	if other := arg(d, "other", ""); other != "" {
		o.Managers = append(slices.Clone(o.Managers), ref.Manager{Name: other, Time: s.now})
	}
	return o
}

// object has the watch show an upstream object; with "later" the server holds it, and the watch has not shown it yet.
func (s *script) object(d *datadriven.TestData) {
	o := s.upstream(d)
	u := nameOf(o)
	s.server[u], s.within[u] = o, ref.Workspace(arg(d, "scope", string(u.Workspace)))
	if !d.HasArg("later") {
		s.step(UpstreamObserved{Scope: s.within[u], Object: o})
	}
}

// watch has the watch show an upstream object as the server holds it.
func (s *script) watch(d *datadriven.TestData) {
	u := name(d.CmdArgs[0].Key)
	s.step(UpstreamObserved{Scope: s.within[u], Object: s.server[u]})
}

// undecodable has the watch show an upstream object that cannot be decoded.
func (s *script) undecodable(d *datadriven.TestData) {
	u := name(d.CmdArgs[0].Key)
	o := &ref.Object{Workspace: u.Workspace, Namespace: u.Namespace, Name: u.Name, Err: errors.New("deeper than 64 levels")}
	s.server[u] = o
	s.step(UpstreamObserved{Scope: s.within[u], Object: o})
}

func (s *script) delete(d *datadriven.TestData) {
	u := name(d.CmdArgs[0].Key)
	if d.HasArg("reported") { // the watch brings it late
		o := &ref.Object{Workspace: u.Workspace, Namespace: u.Namespace, Name: u.Name, UID: "u", ResourceVersion: arg(d, "version", "")}
		s.step(UpstreamGone{Scope: s.within[u], Object: o})
		return
	}
	o := *s.server[u]
	o.ResourceVersion = s.next()
	delete(s.server, u)
	if !d.HasArg("later") {
		s.step(UpstreamGone{Scope: s.within[u], Object: &o})
	}
}

// leave ends a workspace of a scope, or a whole scope.
func (s *script) leave(d *datadriven.TestData) {
	scope, w := ref.Workspace(arg(d, "scope", "team-a")), ref.Workspace(arg(d, "workspace", ""))
	if w == "" {
		delete(s.scopes, scope)
		s.step(ScopeLeft{scope})
		return
	}
	s.step(WorkspaceLeft{Scope: scope, Workspace: w, Version: arg(d, "version", s.next())})
}

// list has a scope listed as the server holds it, whole or a part of it.
func (s *script) list(d *datadriven.TestData) {
	scope := ref.Workspace("team-a")
	if len(d.CmdArgs) > 0 && len(d.CmdArgs[0].Vals) == 0 && d.CmdArgs[0].Key != "summary" {
		scope = ref.Workspace(d.CmdArgs[0].Key)
	}
	e := s.upstreamList(scope, arg(d, "version", ""))
	switch arg(d, "part", "") {
	case "first":
		e.Objects, e.Last = e.Objects[:1], false
	case "last":
		e.Objects, e.First = e.Objects[1:], false
	}
	s.step(e)
}

func (s *script) listScope(scope ref.Workspace, version string) {
	s.step(s.upstreamList(scope, version))
}

func (s *script) upstreamList(scope ref.Workspace, version string) UpstreamListed {
	if version == "" {
		version = s.next()
	}
	e := UpstreamListed{Scope: scope, Version: version, First: true, Last: true}
	for _, u := range slices.SortedFunc(maps.Keys(s.server), byName) {
		if s.within[u] == scope {
			e.Objects = append(e.Objects, s.server[u])
		}
	}
	return e
}

// described answers all Describe effects.
func (s *script) described(d *datadriven.TestData) {
	for len(s.describe) > 0 {
		scope := s.describe[0]
		s.describe = s.describe[1:]
		e := ScopeDescribed{Scope: scope, Typed: d.HasArg("typed"), HasStatus: !d.HasArg("no-status")}
		if text := arg(d, "error", ""); text != "" {
			e.Err = errors.New(text)
			s.step(e)
			return
		}
		s.scopes[scope] = e
		s.step(e)
	}
}

// report has a copy reported with the status in the input; "again" repeats its last report, with "later" only the SyncTarget knows it yet.
func (s *script) report(d *datadriven.TestData) {
	t, u := ref.SyncTarget(d.CmdArgs[0].Key), name(d.CmdArgs[1].Key)
	source := s.source(d, u)
	e := Reported{Target: t, Source: source, Upstream: u, Refused: arg(d, "refused", ""), Received: s.now, At: ref.Position{
		Epoch: uint64(number(d, "epoch", int64(s.epoch))), UID: types.UID(arg(d, "uid", "copy")), ResourceVersion: arg(d, "version", ""), //nolint:gosec // a small number
	}}
	if e.At.ResourceVersion == "" {
		e.At.ResourceVersion = s.next()
	}
	before := s.copies[t][source]
	switch {
	case d.HasArg("again"), e.Refused != "":
		e.Contribution = before.Contribution // object actors keep the last status that was accepted
	case d.Input != "":
		e.Contribution = s.contribution(d)
		for i := range number(d, "fields", 0) {
			e.Contribution.Status[fmt.Sprintf("f%03d", i)] = i
		}
	}
	if s.copies[t] != nil && !e.At.Before(before.At) && e.At.Epoch >= s.targets[t].FromEpoch {
		s.copies[t][source] = e
	}
	if !d.HasArg("later") {
		s.step(e)
	}
}

func (s *script) contribution(d *datadriven.TestData) *aggregate.Contribution {
	c := &aggregate.Contribution{Generation: number(d, "generation", 1), UpstreamGeneration: number(d, "of", 1), Time: s.now}
	decoder := json.NewDecoder(strings.NewReader(d.Input))
	decoder.UseNumber()
	var status map[string]any
	s.must(decoder.Decode(&status))
	c.Status = integers(status).(map[string]any)
	return c
}

// integers turns json.Numbers into the numbers that a status holds.
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

func (s *script) source(d *datadriven.TestData, u ref.Upstream) ref.Downstream {
	source := sourceOf(u)
	if c := arg(d, "copy", ""); c != "" {
		source.Namespace, source.Name, _ = strings.Cut(c, "/")
	}
	return source
}

// withdraw has a copy deleted.
func (s *script) withdraw(d *datadriven.TestData) {
	t, u := ref.SyncTarget(d.CmdArgs[0].Key), name(d.CmdArgs[1].Key)
	source := s.source(d, u)
	at := s.copies[t][source].At
	at.ResourceVersion = arg(d, "version", s.next())
	if !d.HasArg("late") {
		delete(s.copies[t], source)
	}
	s.step(Withdrew{Target: t, Source: source, Upstream: u, At: at})
}

// lose deletes a copy while the watch does not notice: the next list lacks it.
func (s *script) lose(d *datadriven.TestData) {
	delete(s.copies[ref.SyncTarget(d.CmdArgs[0].Key)], s.source(d, name(d.CmdArgs[1].Key)))
}

// listed has SyncTargets complete a list of the copies that they hold, at a new epoch, and report each of them; with "silent" the copies
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
	sources := slices.SortedFunc(maps.Keys(s.copies[t]), bySource)
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

// confirm confirms the newest list of a SyncTarget, or that of an epoch.
func (s *script) confirm(d *datadriven.TestData) {
	s.step(ListConfirmed{ref.SyncTarget(d.CmdArgs[0].Key), uint64(number(d, "epoch", int64(s.epoch)))}) //nolint:gosec // a small number
}
