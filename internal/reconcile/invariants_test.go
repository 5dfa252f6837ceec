package reconcile

import (
	"errors"
	"fmt"
	"slices"
)

// checkIndexes reports the first way in which the indexes of a State disagree with its objects.
func checkIndexes(s *State) error {
	return errors.Join(checkObjects(s), checkTargets(s), checkPlaces(s), checkKeys(s), checkDue(s))
}

func checkObjects(s *State) error {
	for name, o := range s.objects {
		switch {
		case o.name != name:
			return fmt.Errorf("%s is known as %s", o.name, name)
		case o.view == nil && len(o.copies) == 0 && o.pending == nil:
			return fmt.Errorf("%s has neither view nor copies", name)
		case (o.view == nil) != (o.place == nil):
			return fmt.Errorf("%s: view %v, place %v", name, o.view, o.place)
		case o.place != nil && (int(o.index) >= o.place.size() || o.place.at(int(o.index)) != o):
			return fmt.Errorf("%s is not in its place at %d", name, o.index)
		case o.place != nil && (int(o.inScope) >= o.place.scope.size() || o.place.scope.at(int(o.inScope)) != o):
			return fmt.Errorf("%s is not in its scope at %d", name, o.inScope)
		case o.place != nil && o.place.workspace != name.Workspace:
			return fmt.Errorf("%s is in the place of %s", name, o.place.workspace)
		}
		for i, c := range o.copies {
			if c.object != o || int(c.index) >= c.target.size() || c.target.copies.at(int(c.index)) != c {
				return fmt.Errorf("%s: the copy %s in %s is not in the list of its SyncTarget at %d", name, c.source, c.target.Name, c.index)
			}
			if j, ok := o.find(c.target, c.source); !ok || i != j {
				return fmt.Errorf("%s: the copy %s in %s is out of order", name, c.source, c.target.Name)
			}
		}
		if o.view == nil {
			continue
		}
		for i, p := range o.view.placements {
			if int(p.index) >= p.on.size() || p.on.at(int(p.index)) != o {
				return fmt.Errorf("%s is not among the objects of the placement key %s at %d", name, p.on.key, p.index)
			}
			if i > 0 && o.view.placements[i-1].on.key >= p.on.key {
				return fmt.Errorf("%s: placements are out of order at %d", name, i)
			}
			if s.keys[p.on.key] != p.on {
				return fmt.Errorf("%s is placed by the key %s, which is forgotten", name, p.on.key)
			}
		}
	}
	return nil
}

func checkTargets(s *State) error {
	bound := map[string]int{}
	for name, t := range s.targets {
		if t.Name != name || t.gone {
			return fmt.Errorf("SyncTarget %s is known as %s, gone %t", t.Name, name, t.gone)
		}
		if pending := slices.Contains(s.pending, t); pending == t.listed {
			return fmt.Errorf("SyncTarget %s: listed %t, and pending %t", name, t.listed, pending)
		}
		if k := s.keys[t.key]; k == nil || k.target != t {
			return fmt.Errorf("SyncTarget %s is not indexed by its placement key", name)
		}
		marked := 0
		for i := range t.size() {
			c := t.copies.at(i)
			if c.target != t || int(c.index) != i || s.objects[c.object.name] != c.object || !slices.Contains(c.object.copies, c) {
				return fmt.Errorf("SyncTarget %s: copy %d (%s) is not one of %s", name, i, c.source, c.object.name)
			}
			if c.listed == t.epoch {
				marked++
			}
		}
		if marked != t.marked {
			return fmt.Errorf("SyncTarget %s: %d copies are marked, %d counted", name, marked, t.marked)
		}
		if !t.Evicted {
			for w := range t.workspaces {
				bound[string(w)]++
			}
		}
	}
	if len(bound) != len(s.bound) {
		return fmt.Errorf("bound workspaces: %v, counted %v", bound, s.bound)
	}
	for w, n := range s.bound {
		if bound[string(w)] != n {
			return fmt.Errorf("workspace %s: %d SyncTargets are bound, %d counted", w, bound[string(w)], n)
		}
	}
	return nil
}

func checkPlaces(s *State) error {
	places := 0
	for name, c := range s.scopes {
		objects := 0
		for w, p := range c.places {
			objects += p.size()
			places++
			if p.scope != c || p.workspace != w || p.size() == 0 || !slices.Contains(s.places[w], p) {
				return fmt.Errorf("scope %q: place %q is not indexed, or empty", name, p.workspace)
			}
			for j := range p.size() {
				o := p.at(j)
				if o.place != p || int(o.index) != j || s.objects[o.name] != o {
					return fmt.Errorf("place %q: object %d (%s) belongs elsewhere", p.workspace, j, o.name)
				}
			}
		}
		if objects != c.size() {
			return fmt.Errorf("scope %q: %d objects, and %d in its places", name, c.size(), objects)
		}
	}
	indexed := 0
	for w, list := range s.places {
		indexed += len(list)
		for _, p := range list {
			if p.workspace != w {
				return fmt.Errorf("place of %q is indexed under %q", p.workspace, w)
			}
			if p.scope.left {
				places++ // still being forgotten
			}
		}
	}
	if indexed != places {
		return fmt.Errorf("%d places are indexed, there are %d", indexed, places)
	}
	return nil
}

func checkKeys(s *State) error {
	for key, k := range s.keys {
		if k.key != key || k.target == nil && k.size() == 0 {
			return fmt.Errorf("placement key %s is known as %s, or not needed", k.key, key)
		}
		for i := range k.size() {
			o := k.at(i)
			if o.view == nil || !slices.ContainsFunc(o.view.placements, func(p placement) bool { return p.on == k && int(p.index) == i }) {
				return fmt.Errorf("placement key %s: object %d (%s) is not placed by it", key, i, o.name)
			}
		}
	}
	return nil
}

func checkDue(s *State) error {
	for i, t := range s.due {
		if t.due().index != i+1 {
			return fmt.Errorf("due time %d has index %d", i, t.due().index)
		}
		if i > 0 && s.due.Less(i, (i-1)/2) {
			return fmt.Errorf("due time %d is before its parent", i)
		}
		if o, ok := t.(*object); ok && s.objects[o.name] != o {
			return fmt.Errorf("%s is due, and forgotten", o.name)
		}
	}
	return nil
}
