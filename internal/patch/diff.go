package patch

import "slices"

// Options say what counts as a difference. The zero value compares strictly (null is absent, 1 is 1.0, nothing else is lenient).
type Options struct {
	Whole bool // the policy owns the whole status: everything that is not desired goes
	Typed bool // the API server's own types hold it: zero, false, "", [] and {} are the same as absent

	// Ignore holds paths below status whose differences alone are no reason to write; "*" matches a list item or any map key.
	Ignore [][]string
	// Learned says whether the API server is known to change or drop what is sent at this path ("*" stands for a list item).
	// Such differences alone are no reason to write. It must not keep path. Nil: nothing is learned.
	Learned func(path []string) bool
	// Keys gives the key fields of the list at this path ("*" stands for a list item), or none if its order is what counts.
	// It must not keep path. Nil: no list is keyed.
	Keys func(path []string) []string
}

// Diff is the status part of a JSON merge patch (RFC 7386) that brings published to desired, or nil if applying it would change
// nothing that counts. Once a patch is due it carries every difference, those that would not have counted alone included:
// objects by difference, lists whole, zeros as they are.
//
// Fields that are ours and not desired are removed by null; those of other writers stay, also below a field of ours, and as entries
// of keyed lists. What desired holds is ours to decide, whoever owns it now.
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

// differ compares status values. path names the value below status, with "*" for list items; inList says that the value lies within a
// list, where a merge patch replaces all and no other writer's part is kept.
type differ struct {
	Options
	owned *Owned
	exact bool // see all differences, not only those that count
}

// same says whether patching have to want would change nothing that counts.
func (d *differ) same(have, want any, path []string, inList bool) bool {
	if d.skip(path) || d.empty(have) && d.empty(want) {
		return true
	}
	switch want := want.(type) {
	case nil:
		if inList {
			return false
		}
		_, changed := d.removal(have, path)
		return !changed
	case map[string]any:
		h, ok := have.(map[string]any)
		return (ok || have == nil && d.Typed) && d.sameObject(h, want, path, inList)
	case []any:
		h, ok := have.([]any)
		return ok && d.sameList(h, want, path, inList)
	default:
		return equalScalars(have, want)
	}
}

func (d *differ) sameObject(have, want map[string]any, path []string, inList bool) bool {
	for name, w := range want {
		if !d.same(have[name], w, append(path, name), inList) {
			return false
		}
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
		return false
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

// object is the merge patch from have to want, and whether it changes anything.
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
		return merge(nil, want), true
	case []any:
		h, ok := have.([]any)
		if ok && d.sameList(h, want, path, false) {
			return nil, false
		}
		return d.withOthers(h, want, path), true
	default:
		return want, !equalScalars(have, want)
	}
}

// removal is the patch that takes from have, which is not desired, what is ours: null if that is all of it.
func (d *differ) removal(have any, path []string) (patch any, changed bool) {
	if d.skip(path) || d.empty(have) {
		return nil, false
	}
	if d.Whole {
		return nil, true
	}
	switch have := have.(type) {
	case map[string]any:
		if len(have) == 0 {
			break
		}
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
		others := d.others(path, have)
		if len(others) == len(have) && len(have) > 0 {
			return nil, false
		}
		if len(others) > 0 {
			return others, true
		}
	}
	return nil, d.owned.Field(path...)
}

// withOthers is the list want, followed by the entries of the keyed list have that are neither in want nor ours.
func (d *differ) withOthers(have, want []any, path []string) []any {
	keys := d.keys(path)
	wantAt, ok1 := index(want, keys)
	if _, ok2 := index(have, keys); !ok1 || !ok2 {
		return want
	}
	list := slices.Clip(want)
	for _, h := range have {
		key, _ := keyOf(h, keys)
		if _, both := wantAt[key]; !both && !d.ours(path, h) {
			list = append(list, h)
		}
	}
	return list
}

func (d *differ) others(path []string, list []any) []any {
	var others []any
	for _, item := range list {
		if !d.ours(path, item) {
			others = append(others, item)
		}
	}
	return others
}

func (d *differ) ours(list []string, item any) bool {
	return d.Whole || d.owned.entry(list, item)
}

func (d *differ) keys(path []string) []string {
	if d.Keys == nil {
		return nil
	}
	return d.Keys(path)
}

// skip says whether the value at path is left out of the comparison.
func (d *differ) skip(path []string) bool {
	if heartbeat(path) {
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

// heartbeat says whether path is a time in a condition that only says that somebody looked.
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
