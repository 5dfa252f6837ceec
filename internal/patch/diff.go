package patch

import "slices"

// Options define which differences count. The zero value compares strictly (null is absent, 1 is 1.0, two spellings of one time are equal).
type Options struct {
	Whole bool // the policy owns the whole status: everything that is not desired goes
	Typed bool // the API server's own types hold it: zero, false, "", [] and {} are the same as absent, "1000m" as "1"

	// Ignore holds paths below status whose differences alone are no reason to write; "*" matches a list item or any map key.
	Ignore [][]string
	// Learned reports whether the API server is known to change or drop the value at this path ("*" stands for a list item).
	// Such differences alone are no reason to write. It must not keep path. Nil: nothing is learned.
	Learned func(path []string) bool
	// Keys returns the key fields of the list at this path ("*" stands for a list item), or none if its order counts.
	// It must not keep path. Nil: no list is keyed.
	Keys func(path []string) []string
}

// Diff returns the status part of a JSON merge patch (RFC 7386) that brings published to desired, or nil if applying it would change
// nothing that counts. Once a patch is due it carries every difference, those that would not have counted alone included:
// objects by difference, lists whole, zeros as they are.
//
// Fields that are ours and not desired are removed by null; those of other writers stay, also below a field of ours, and as entries
// of keyed lists. Every field of desired is ours to decide, even if another writer owns it now.
//
// The result shares memory with its inputs; none of them is modified.
func Diff(published, desired map[string]any, owned *Owned, o Options) map[string]any {
	path := make([]string, 0, 16)
	counting := differ{Options: o, owned: owned}
	if counting.same(published, desired, path, false) {
		return nil
	}
	everything := differ{Options: o, owned: owned, exact: true}
	patch, _ := everything.object(published, desired, path)
	return patch
}

// Differences returns the paths below status of the values that were sent (a patch that Diff made) and came back (the status in the API
// server's answer) different or not at all, and of values that were added to list items, as these lists would differ for ever. List items
// are "*". The paths are sorted, each once. typed is as in Options.
func Differences(sent, got map[string]any, typed bool) [][]string {
	d := differ{Options: Options{Typed: typed}, record: true}
	d.sameObject(got, sent, nil, false)
	slices.SortFunc(d.paths, slices.Compare)
	return slices.CompactFunc(d.paths, slices.Equal)
}

// Equal compares two values: 1 and 1.0 are equal, and so are two spellings of one time, null and an absent field. Heartbeats of conditions are not compared.
func Equal(a, b any) bool {
	d := differ{}
	switch b.(type) {
	case map[string]any, []any:
		return d.same(a, b, make([]string, 0, 16), true)
	}
	return d.equalScalars(a, b)
}

// differ compares status values. path names the value below status, with "*" for list items; inList means that the value lies within a
// list, where a merge patch replaces all and no other writer's part is kept.
type differ struct {
	Options
	owned *Owned
	exact bool // all differences, not only those that count

	record bool // collect the paths of all differences
	paths  [][]string
}

// differs is the result of same for a difference: false ends the walk, unless all differences are recorded.
func (d *differ) differs(path []string) bool {
	if d.record {
		d.paths = append(d.paths, slices.Clone(path))
	}
	return d.record
}

// same reports whether patching have to want would change nothing that counts.
func (d *differ) same(have, want any, path []string, inList bool) bool {
	if d.skip(path) || d.empty(have) && d.empty(want) {
		return true
	}
	switch want := want.(type) {
	case nil:
		if inList || d.record {
			return d.differs(path)
		}
		_, changed := d.removal(have, path)
		return !changed
	case map[string]any:
		if h, ok := d.asObject(have, want); ok {
			return d.sameObject(h, want, path, inList)
		}
	case []any:
		if h, ok := have.([]any); ok {
			return d.sameList(h, want, path, inList)
		}
	default:
		if d.equalScalars(have, want) {
			return true
		}
	}
	return d.differs(path)
}

// asObject returns have as an object to compare with want field by field; false if their difference is one of the whole value.
func (d *differ) asObject(have any, want map[string]any) (map[string]any, bool) {
	h, ok := have.(map[string]any)
	if ok || have != nil {
		return h, ok
	}
	if d.record {
		return nil, onlyRemovals(want)
	}
	return nil, d.Typed
}

func (d *differ) sameObject(have, want map[string]any, path []string, inList bool) bool {
	for name, w := range want {
		if !d.same(have[name], w, append(path, name), inList) {
			return false
		}
	}
	if d.record && !inList { // other fields of an object may be another writer's
		return true
	}
	for name, h := range have {
		if _, both := want[name]; !both && !d.same(h, nil, append(path, name), inList) {
			return false
		}
	}
	return true
}

func (d *differ) sameList(have, want []any, path []string, inList bool) bool {
	item := append(path, "*")
	if slices.EqualFunc(have, want, func(h, w any) bool { return d.same(h, w, item, true) }) {
		return true
	}
	keys := d.keys(path)
	haveAt, ok1 := index(have, keys)
	wantAt, ok2 := index(want, keys)
	if !ok1 || !ok2 {
		return d.differs(path)
	}
	for key, i := range wantAt {
		if j, ok := haveAt[key]; !ok || !d.same(have[j], want[i], append(path, "*"), true) {
			return false
		}
	}
	for key, j := range haveAt {
		if _, both := wantAt[key]; !both && (inList || d.ours(path, have[j])) {
			return false
		}
	}
	return true
}

// object returns the merge patch from have to want, and whether it changes anything.
func (d *differ) object(have, want map[string]any, path []string) (map[string]any, bool) {
	patch := map[string]any{}
	for name, w := range want {
		if p, changed := d.value(have[name], w, append(path, name)); changed {
			patch[name] = p
		}
	}
	for name, h := range have {
		if _, both := want[name]; both {
			continue
		}
		if p, changed := d.removal(h, append(path, name)); changed {
			patch[name] = p
		}
	}
	return patch, len(patch) > 0
}

func (d *differ) value(have, want any, path []string) (patch any, changed bool) {
	switch want := want.(type) {
	case nil:
		return d.removal(have, path)
	case map[string]any:
		if h, ok := have.(map[string]any); ok {
			return d.object(h, want, path)
		}
		return Apply(nil, want), true
	case []any:
		h, ok := have.([]any)
		if ok && d.sameList(h, want, path, false) {
			return nil, false
		}
		return d.withOthers(h, want, path), true
	default:
		return want, !d.equalScalars(have, want)
	}
}

// removal returns the patch that takes our parts from have, which is not desired: null if all of it is ours.
func (d *differ) removal(have any, path []string) (patch any, changed bool) {
	if d.skip(path) || d.empty(have) {
		return nil, false
	}
	if d.Whole {
		return nil, true
	}
	switch have := have.(type) {
	case map[string]any:
		rest, left := map[string]any{}, false
		for name, h := range have {
			p, changed := d.removal(h, append(path, name))
			if changed {
				rest[name] = p
			}
			left = left || p != nil || !changed && !d.empty(h)
		}
		if left {
			return rest, len(rest) > 0
		}
	case []any:
		if others := d.withOthers(have, nil, path); len(others) > 0 {
			return others, len(others) < len(have)
		}
	}
	return nil, d.owned.Field(path...)
}

// withOthers returns the list want, followed by the entries of have that are neither in want nor ours. Only a keyed list has such entries,
// or one that is not wanted at all.
func (d *differ) withOthers(have, want []any, path []string) []any {
	keys := d.keys(path)
	wantAt, ok1 := index(want, keys)
	if _, ok2 := index(have, keys); want != nil && (!ok1 || !ok2) {
		return want
	}
	list := slices.Clip(want)
	for _, h := range have {
		key, _ := EntryKey(h, keys)
		if _, both := wantAt[key]; !both && !d.ours(path, h) {
			list = append(list, h)
		}
	}
	return list
}

func (d *differ) ours(list []string, item any) bool { return d.Whole || d.owned.Item(list, item) }

func (d *differ) keys(path []string) []string {
	if d.Keys == nil {
		return nil
	}
	return d.Keys(path)
}

// skip reports whether the value at path is left out of the comparison.
func (d *differ) skip(path []string) bool {
	if !d.record && heartbeat(path) {
		return true
	}
	if d.exact {
		return false
	}
	for _, pattern := range d.Ignore {
		if matches(pattern, path) {
			return true
		}
	}
	return len(path) > 0 && d.Learned != nil && d.Learned(path)
}

func (d *differ) empty(v any) bool { return v == nil || d.Typed && zero(v) }

// heartbeat reports whether path is a time in a condition that tells only that its writer is alive.
func heartbeat(path []string) bool {
	n := len(path)
	if n < 3 || path[n-2] != "*" || path[n-3] != "conditions" {
		return false
	}
	return path[n-1] == "lastHeartbeatTime" || path[n-1] == "lastProbeTime" || path[n-1] == "lastUpdateTime"
}

func matches(pattern, path []string) bool {
	return len(pattern) > 0 && slices.EqualFunc(pattern, path, func(p, name string) bool { return p == "*" || p == name })
}

// onlyRemovals reports whether a patch value does nothing but remove, so that nothing need be there afterwards.
func onlyRemovals(sent map[string]any) bool {
	for _, v := range sent {
		if below, ok := v.(map[string]any); v != nil && (!ok || !onlyRemovals(below)) {
			return false
		}
	}
	return len(sent) > 0
}
