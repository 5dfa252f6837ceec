// Package evidence shows of which state of its upstream object a copy was made. Nothing in Kubernetes ties a copy to the uid and generation
// of its upstream object, so that only annotations and the content of the spec prove anything.
//
// The package is pure: no I/O, no clock, no goroutine.
package evidence

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"
	"unique"

	"github.com/cespare/xxhash/v2"
	"github.com/go-json-experiment/json/jsontext"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/internal/ref"
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
	return e.UID == other.UID && e.Generation == other.Generation && e.Clock.Doubt >= other.Clock.Doubt &&
		time.Duration(e.Created-other.Created).Abs() <= other.Clock.Doubt
}

// Spec holds the hashes of a spec's leaves. A leaf is a scalar with its path; those that a server may leave out (null, false, 0, "") are none.
type Spec struct {
	leaves  unique.Handle[string] // sorted, four bytes each; one instance for an upstream object and its copies, where they are equal
	ignored uint32                // of all leaves that are ignored
	known   bool
}

const (
	mostBytes  = 256 << 10 // of a spec that is evidence
	mostLeaves = 4096
)

// SpecOf hashes the leaves of a spec's JSON. A spec that is too large, or no object, proves nothing.
func SpecOf(raw []byte, ignored [][]string) Spec {
	if len(raw) > mostBytes || jsontext.Value(raw).Kind() != '{' || !jsontext.Value(raw).IsValid() {
		return Spec{}
	}
	w := walk{raw: raw}
	w.value(0, ignored, false)
	if len(w.leaves) > mostLeaves {
		return Spec{}
	}
	slices.Sort(w.leaves)
	text := make([]byte, 0, 4*len(w.leaves))
	for _, leaf := range slices.Compact(w.leaves) {
		text = binary.BigEndian.AppendUint32(text, leaf)
	}
	return Spec{leaves: unique.Make(string(text)), ignored: w.ignored, known: true}
}

// all are the hashes.
func (s Spec) all() (leaves []uint32) {
	if !s.known {
		return nil
	}
	for text := s.leaves.Value(); len(text) > 0; text = text[4:] {
		leaves = append(leaves, binary.BigEndian.Uint32([]byte(text[:4])))
	}
	return leaves
}

// spelling is the same for all spellings of a text that API servers normalise.
func spelling(s string) string {
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
	if !s.known || !upstream.known {
		return false
	}
	wanted := upstream.all()
	if len(wanted)+len(removed) == 0 {
		return false
	}
	if s.leaves == upstream.leaves {
		return common(wanted, removed) == 0
	}
	copied := s.all()
	return common(copied, wanted) == len(wanted) && common(copied, removed) == 0
}

// Removed adds the leaves that a newer spec lacks to those that earlier ones lacked.
func (s Spec) Removed(newer Spec, earlier []uint32) []uint32 {
	removed, there := slices.Concat(earlier, s.all()), newer.all()
	slices.Sort(removed)
	removed = slices.DeleteFunc(slices.Compact(removed), func(leaf uint32) bool {
		_, has := slices.BinarySearch(there, leaf)
		return has
	})
	return slices.Clone(removed[:min(len(removed), mostLeaves)])
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
