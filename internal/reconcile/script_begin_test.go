package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/evidence"
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
		s.server[u] = &ref.Object{Workspace: u.Workspace, Namespace: u.Namespace, Name: u.Name, UID: "u", ResourceVersion: s.next(), Generation: 1, Spec: []byte(`{"image":"a"}`)}
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
				Contribution: &aggregate.Contribution{Generation: 1, Time: s.now, Status: status},
				Evidence:     &evidence.Object{Generation: 1, Spec: evidence.SpecOf([]byte(`{"image":"a"}`), nil)}}
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
