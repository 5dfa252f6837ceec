// Package evidence shows of which state of its upstream object a copy was made. Nothing in Kubernetes ties a copy to the uid and generation
// of its upstream object, so that only annotations and the content of the spec prove anything.
//
// The package is pure: no I/O, no clock, no goroutine.
package evidence

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
)

// Annotations of a copy that name its upstream object's uid and generation: ours, then Karmada's.
var (
	UIDAnnotations        = [...]string{"upstreamd.dev/upstream-uid", "resourcetemplate.karmada.io/uid"}
	GenerationAnnotations = [...]string{"upstreamd.dev/upstream-generation", "resourcetemplate.karmada.io/generation"}
)

var annotations = slices.Concat(UIDAnnotations[:], GenerationAnnotations[:])

// Annotations are all of them, for ref.Want.
func Annotations() []string { return slices.Clone(annotations) }

// Digest differs, in all likelihood, for objects whose annotations differ as evidence.
func Digest(o *ref.Object) (digest uint64) {
	if len(o.Annotations) == 0 {
		return 0
	}
	for _, key := range annotations {
		digest = digest*31 + xxhash.Sum64String(o.Annotations[key])
	}
	return digest
}

// Object is the evidence that an object carries. It is immutable.
type Object struct {
	Created    int64     // by this process's clock, Unix nanoseconds; 0: not known
	Clock      ref.Clock // of the object's server
	UID        types.UID // that an annotation names; empty: none does
	Generation int64     // likewise; 0: none
	Spec       Spec
}

// Of reads an object's evidence but for its spec.
func Of(o *ref.Object) Object {
	e := Object{Clock: o.Clock}
	if !o.Created.IsZero() {
		e.Created = o.Created.Add(-o.Clock.Offset).UnixNano()
	}
	for i := range UIDAnnotations {
		if e.UID == "" {
			e.UID = types.UID(o.Annotations[UIDAnnotations[i]])
		}
		if e.Generation == 0 {
			e.Generation, _ = strconv.ParseInt(o.Annotations[GenerationAnnotations[i]], 10, 64)
		}
	}
	return e
}

// SameBut reports whether e is the same as other, but for the spec and for what is known less certainly about clocks.
func (e *Object) SameBut(other *Object) bool {
	return e.UID == other.UID && e.Generation == other.Generation && e.Clock.Doubt >= other.Clock.Doubt
}

// Spec holds the hashes of a spec's leaves. A leaf is a scalar with its path; those that a server may leave out (null, false, 0, "") are none.
type Spec struct {
	leaves  []uint32 // sorted
	ignored uint32   // of all leaves that are ignored
	known   bool
}

const (
	mostBytes  = 256 << 10 // of a spec that is evidence
	mostLeaves = 4096
)

// SpecOf hashes the leaves of a spec's JSON. A spec that is too large, or no object, proves nothing.
func SpecOf(raw []byte, ignored [][]string) Spec {
	if len(raw) == 0 || len(raw) > mostBytes {
		return Spec{}
	}
	spec, err := status.Parse(raw)
	if err != nil {
		return Spec{}
	}
	s := Spec{known: true}
	s.add(spec, 0, ignored, false)
	if len(s.leaves) > mostLeaves {
		return Spec{}
	}
	slices.Sort(s.leaves)
	s.leaves = slices.Clip(slices.Compact(s.leaves))
	return s
}

// add hashes the leaves of a value. Items of a list are told apart by their names, where they have one, else by their order.
func (s *Spec) add(v any, path uint64, ignored [][]string, ignore bool) {
	below := func(name string, v any) {
		var rest [][]string
		ignore := ignore
		for _, p := range ignored {
			if p[0] == name || p[0] == "*" {
				ignore = ignore || len(p) == 1
				if len(p) > 1 {
					rest = append(rest, p[1:])
				}
			}
		}
		s.add(v, mix(path, name), rest, ignore)
	}
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			below(name, member)
		}
	case []any:
		for i, item := range v {
			name := strconv.Itoa(i)
			if m, ok := item.(map[string]any); ok {
				if given, ok := m["name"].(string); ok {
					name = "name=" + given
				}
			}
			below(name, item)
		}
	default:
		text := spelling(v)
		switch leaf := uint32(mix(path, text)); { //nolint:gosec // half of a hash
		case text == "":
		case ignore:
			s.ignored += leaf // in any order
		default:
			s.leaves = append(s.leaves, leaf)
		}
	}
}

func mix(path uint64, text string) uint64 {
	var h xxhash.Digest
	h.ResetWithSeed(path)
	_, _ = h.WriteString(text)
	return h.Sum64()
}

// spelling is the same for all spellings of a scalar that API servers normalise; "" for values that they may leave out.
func spelling(v any) string {
	switch v := v.(type) {
	case string:
		return spellingOf(v)
	case bool:
		if v {
			return "true"
		}
	case int64:
		if v != 0 {
			return strconv.FormatInt(v, 10)
		}
	case float64:
		if v != 0 {
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
	}
	return ""
}

func spellingOf(s string) string {
	const longest = 24
	if s == "" || len(s) > longest || s[0] < '0' || s[0] > '9' || strings.ContainsAny(s, "eE") { // an exponent may ask for a billion digits
		return s
	}
	if q, err := resource.ParseQuantity(s); err == nil {
		return q.String()
	}
	if d, err := time.ParseDuration(s); err == nil {
		return d.String()
	}
	return s
}

// Covers reports whether a copy's spec has every leaf of its upstream object's, and none that was removed from it. An empty spec proves
// nothing.
func (s Spec) Covers(upstream Spec, removed []uint32) bool {
	if !s.known || !upstream.known || len(upstream.leaves)+len(removed) == 0 {
		return false
	}
	return common(s.leaves, upstream.leaves) == len(upstream.leaves) && common(s.leaves, removed) == 0
}

// Removed adds the leaves that a newer spec lacks to those that earlier ones lacked.
func (s Spec) Removed(newer Spec, earlier []uint32) []uint32 {
	removed := slices.Concat(earlier, s.leaves)
	slices.Sort(removed)
	removed = slices.DeleteFunc(slices.Compact(removed), func(leaf uint32) bool {
		_, has := slices.BinarySearch(newer.leaves, leaf)
		return has
	})
	if len(removed) > mostLeaves {
		removed = removed[:mostLeaves]
	}
	return slices.Clip(removed)
}

// Ignored is a hash of the values at the paths that are ignored.
func (s Spec) Ignored() uint32 { return s.ignored }

// common is the number of hashes that two sorted lists share.
func common(a, b []uint32) (n int) {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			a = a[1:]
		case b[0] < a[0]:
			b = b[1:]
		default:
			n++
			a, b = a[1:], b[1:]
		}
	}
	return n
}
