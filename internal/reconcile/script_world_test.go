package reconcile

import (
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
	"github.com/upstreamd/upstreamd/internal/ref"
)

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
	w := s.witness(d)
	o.Created, o.Spec, o.Annotations = w.Created, w.Spec, w.Annotations
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
		o.Annotations[aggregate.PrimaryAnnotation] = p
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
		e := ScopeDescribed{Scope: scope, Description: ref.Description{Typed: d.HasArg("typed"), HasStatus: !d.HasArg("no-status")}}
		if list, key, ok := strings.Cut(arg(d, "keys", ""), ":"); ok {
			e.Schema = ref.NewSchema()
			e.Schema.Add([]string{list}, ref.List{Keys: []string{key}})
		}
		if text := arg(d, "error", ""); text != "" {
			e.Err = errors.New(text)
			s.step(e)
			return
		}
		s.scopes[scope] = e
		s.step(e)
	}
}
