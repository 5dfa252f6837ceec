package reconcile

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// target is one SyncTarget.
type target struct {
	locator.Target
	Scheduling
	key        string // of its placement label
	workspaces map[ref.Workspace]bool
	fromEpoch  uint64 // reports of earlier epochs come from an earlier SyncTarget of that name
	gone       bool   // removed or superseded: its copies are being withdrawn

	copies list[contribution]
	epoch  uint64 // of the newest list
	marked int    // copies that are known to exist at that epoch

	listed  bool // a list was confirmed
	overdue bool // its first list took longer than the deadline
	stale   bool
	since   time.Time
	over    ref.Limit
	timer   timer
}

func (t *target) compare(u *target) int {
	return cmp.Or(strings.Compare(string(t.Name), string(u.Name)), cmp.Compare(t.fromEpoch, u.fromEpoch))
}

// bound reports whether the SyncTarget is bound to a workspace. It costs the same however many workspaces there are.
func (t *target) bound(w ref.Workspace) bool {
	return t.workspaces[w] && w != locator.All || w != "" && w != locator.All && t.workspaces[locator.All]
}

// mark notes that a copy is known to exist at an epoch.
func (t *target) mark(c *contribution, epoch uint64) {
	if epoch > t.epoch {
		t.epoch, t.marked = epoch, 0
	}
	if c.listed < epoch {
		c.listed = epoch
		if epoch == t.epoch {
			t.marked++
		}
	}
}

// forget takes a copy out of the index. The last one takes its place.
func (t *target) forget(c *contribution) {
	if int(c.index) >= t.size() || t.copies.at(int(c.index)) != c {
		return
	}
	t.copies.remove(c.index, func(moved *contribution) { moved.index = c.index })
	if c.listed == t.epoch {
		t.marked--
	}
}

func (t *target) size() int        { return t.copies.size() }
func (t *target) at(i int) *object { return t.copies.at(i).object }

func (s *State) targetAdded(e SyncTargetAdded) {
	if before := s.targets[e.Target.Name]; before != nil {
		if before.fromEpoch == e.FromEpoch {
			return // the parent repeats it, as it does not know which of its messages a restarted actor received
		}
		s.reconsiderOthers(before)
		s.dismiss(before)
	}
	t := &target{fromEpoch: e.FromEpoch}
	s.targets[e.Target.Name] = t
	s.pending = append(s.pending, t)
	s.describe(t, e.Target, e.Scheduling)
	s.due.set(t, s.at+int64(s.Deadline))
	s.reconsiderTarget(t)
}

// describe replaces the facts about a SyncTarget, and the indexes that depend on them.
func (s *State) describe(t *target, facts locator.Target, scheduling Scheduling) {
	t.Target, t.Scheduling, t.key = facts, scheduling, facts.Key()
	t.workspaces = make(map[ref.Workspace]bool, len(facts.Workspaces))
	for _, w := range facts.Workspaces {
		t.workspaces[w] = true
	}
	s.key(t.key).target = t
	s.countBound(t, 1)
}

// undescribe undoes describe.
func (s *State) undescribe(t *target) {
	s.countBound(t, -1)
	if k := s.keys[t.key]; k != nil && k.target == t {
		k.target = nil
		s.releaseKey(k)
	}
}

func (s *State) countBound(t *target, by int) {
	if t.Evicted {
		return
	}
	for w := range t.workspaces {
		if s.bound[w] += by; s.bound[w] == 0 {
			delete(s.bound, w)
		}
	}
}

// dismiss withdraws all copies of a SyncTarget that is gone, in slices. No decision counts them from now on.
func (s *State) dismiss(t *target) {
	t.gone = true
	s.undescribe(t)
	s.listedOrGone(t)
	s.due.stop(t)
	s.each(t, func(o *object) {
		for _, c := range slices.Clone(o.from(t)) {
			s.withdraw(c)
			o.had = true
		}
		s.consider(o)
		s.release(o)
	})
}

// listedOrGone takes a SyncTarget off those that are waited for.
func (s *State) listedOrGone(t *target) {
	if i := slices.Index(s.pending, t); i >= 0 {
		s.pending = slices.Delete(s.pending, i, i+1)
	}
}

func (s *State) targetChanged(e SyncTargetChanged) {
	t := s.targets[e.Target.Name]
	if t == nil {
		return
	}
	s.reconsiderTarget(t) // the objects that it had a part in
	workspaces := slices.Sorted(maps.Keys(t.workspaces))
	workspaces = append(workspaces, slices.DeleteFunc(slices.Clone(e.Target.Workspaces), func(w ref.Workspace) bool { return t.workspaces[w] })...)
	before := make([]int, len(workspaces))
	for i, w := range workspaces {
		before[i] = s.bound[w]
	}
	s.undescribe(t)
	s.describe(t, e.Target, e.Scheduling)
	s.reconsiderTarget(t) // the objects that it has a part in now
	for i, w := range workspaces {
		if (before[i] > 0) != (s.bound[w] > 0) { // only where a SyncTarget could hold an object is the absence of copies a fact
			s.reconsiderWorkspace(w)
		}
	}
}

// reconsiderWorkspace decides again on the objects of a workspace, or with locator.All of all.
func (s *State) reconsiderWorkspace(w ref.Workspace) {
	if w == locator.All {
		s.eachScope(func(c *scope) { s.reconsider(c) })
		return
	}
	for _, p := range s.places[w] {
		s.reconsider(p)
	}
}

func (s *State) freshnessChanged(e FreshnessChanged) {
	t := s.targets[e.Target]
	if t == nil || t.stale == e.Stale && t.over == e.Over {
		return
	}
	t.stale, t.since, t.over = e.Stale, e.Since, e.Over
	s.reconsiderTarget(t)
}

func (s *State) targetRemoved(e SyncTargetRemoved) {
	t := s.targets[e.Target]
	if t == nil {
		return
	}
	delete(s.targets, e.Target)
	s.reconsiderOthers(t)
	s.dismiss(t)
}

// fire ends the wait for a first list.
func (t *target) fire(s *State) {
	t.overdue = true
	if !t.listed {
		s.reconsiderTarget(t)
	}
}

func (t *target) due() *timer { return &t.timer }

// copiesListed takes a part of a complete list.
func (s *State) copiesListed(e CopiesListed) {
	t := s.targets[e.Target]
	if t == nil || e.Epoch < t.fromEpoch || e.Epoch < t.epoch {
		return
	}
	for _, l := range e.Copies {
		c, known := s.copy(s.object(l.Upstream), t, l.Source)
		t.mark(c, e.Epoch)
		if !known {
			c.awaited, c.at = true, ref.Position{Epoch: e.Epoch}
		}
	}
	if e.Last {
		if e.Epoch > t.epoch { // an empty list
			t.epoch, t.marked = e.Epoch, 0
		}
		s.emit(Tallied{Target: e.Target, Epoch: e.Epoch, Vanished: t.size() - t.marked, Known: t.size()})
	}
}

// listConfirmed withdraws the copies that the list lacks.
func (s *State) listConfirmed(e ListConfirmed) {
	t := s.targets[e.Target]
	if t == nil || e.Epoch != t.epoch {
		return
	}
	if !t.listed { // absence is a fact from now on, and so are the reports so far
		s.reconsiderTarget(t)
		t.listed = true
		s.listedOrGone(t)
	}
	if t.marked == t.size() {
		return
	}
	s.each(t, func(o *object) {
		for _, c := range slices.Clone(o.from(t)) {
			if c.listed < e.Epoch {
				s.withdraw(c)
			}
		}
		s.consider(o)
		s.release(o)
	}, func(i int) bool { return t.copies.at(i).listed < e.Epoch })
}

// reconsiderTarget decides again on the objects in which a SyncTarget may have a part: those with a copy, and others.
func (s *State) reconsiderTarget(t *target) {
	s.reconsider(t)
	s.reconsiderOthers(t)
}

// reconsiderOthers decides again on the objects that are placed on a SyncTarget and, until it has listed, all in the workspaces that it is
// bound to.
func (s *State) reconsiderOthers(t *target) {
	if k := s.keys[t.key]; k != nil {
		s.reconsider(k)
	}
	if t.listed {
		return
	}
	if t.workspaces[locator.All] {
		s.reconsiderWorkspace(locator.All)
		return
	}
	for _, w := range slices.Sorted(maps.Keys(t.workspaces)) {
		s.reconsiderWorkspace(w)
	}
}

// ---- placement by label

// placementKey indexes the objects that labels place on a SyncTarget.
type placementKey struct {
	key     string
	target  *target // nil: no SyncTarget has this key
	objects list[object]
}

// placement is one of an object's labels.
type placement struct {
	on    *placementKey
	index int32 // in on.objects
}

func (k *placementKey) size() int        { return k.objects.size() }
func (k *placementKey) at(i int) *object { return k.objects.at(i) }

func (s *State) key(key string) *placementKey {
	k := s.keys[key]
	if k == nil {
		k = &placementKey{key: key}
		s.keys[key] = k
	}
	return k
}

func (s *State) releaseKey(k *placementKey) {
	if k.target == nil && k.size() == 0 {
		delete(s.keys, k.key)
	}
}

// placedOn reports whether a label places the object on the SyncTarget with this key.
func (v *view) placedOn(key string) bool {
	_, ok := v.placement(key)
	return ok
}

func (v *view) placement(key string) (int, bool) {
	return slices.BinarySearchFunc(v.placements, key, func(p placement, key string) int { return strings.Compare(p.on.key, key) })
}

// maxPlacements bounds how many placement labels of one object count: the first ones by name.
const maxPlacements = 1000

// placeByLabels indexes the placement labels of an object's new view.
func (s *State) placeByLabels(o *object, labels map[string]string) []placement {
	if len(labels) == 0 {
		return nil
	}
	keys := locator.PlacedKeys(labels)
	if len(keys) > maxPlacements {
		s.warn("placements/"+o.name.String(), "too many placement labels: only the first ones by name count",
			"upstream", o.name, "labels", len(keys), "counted", maxPlacements)
		keys = keys[:maxPlacements]
	}
	if len(keys) == 0 {
		return nil
	}
	placements := make([]placement, 0, len(keys))
	for _, key := range keys {
		k := s.key(key)
		placements = append(placements, placement{k, k.objects.add(o)})
	}
	return placements
}

// displace takes an object's view out of the index of placement labels.
func (s *State) displace(v *view) {
	for _, p := range v.placements {
		k := p.on
		k.objects.remove(p.index, func(moved *object) {
			i, _ := moved.view.placement(k.key)
			moved.view.placements[i].index = p.index
		})
		s.releaseKey(k)
	}
	v.placements = nil
}
