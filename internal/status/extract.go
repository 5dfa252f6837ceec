// Package status takes the status out of an object, as a map of plain JSON values.
//
// It promises that what it gives is small, shallow and made of JSON types only (Limits), whoever wrote it; that a missing status is
// no error; that a refusal has a reason; and that a status is the same map whichever object it came with.
//
// It is pure: no I/O, no clock, no goroutine.
package status

import (
	"bytes"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Options say what is taken.
type Options struct {
	Limits Limits
	// Fields are the paths of status that are kept, through objects only; none: all of it.
	Fields [][]string
	// Paths are fields that are added to status, each with its path in the whole object, through objects only. They need Object.Raw.
	Paths map[string][]string
}

// Extractor takes the status out of an object, or something that stands for it. The map is the caller's to keep and modify; nil without
// an error means that there is no status. It does not modify the object.
type Extractor interface {
	Extract(o *ref.Object) (map[string]any, error)
}

// ExtractorFunc is a function that is an Extractor.
type ExtractorFunc func(o *ref.Object) (map[string]any, error)

// Extract calls f.
func (f ExtractorFunc) Extract(o *ref.Object) (map[string]any, error) { return f(o) }

// Extract calls the function of that name, so that Options are an Extractor.
func (opts Options) Extract(o *ref.Object) (map[string]any, error) { return Extract(o, opts) }

// Validated is e with its results validated.
func Validated(e Extractor, l Limits) Extractor {
	return ExtractorFunc(func(o *ref.Object) (map[string]any, error) {
		s, err := e.Extract(o)
		if err == nil && s != nil {
			err = Validate(s, l)
		}
		if err != nil {
			return nil, err
		}
		return s, nil
	})
}

// Extract takes an object's status: integers as int64, other numbers and those too large for it as float64. It is nil if there is
// none, absent or null. The error is a *Refused.
func Extract(o *ref.Object, opts Options) (map[string]any, error) {
	if o.Err != nil {
		return nil, &Refused{Undecodable, short(o.Err.Error())}
	}
	l := opts.Limits.orDefaults()
	v, err := parse(o.Status, l)
	if err != nil {
		return nil, err
	}
	status, ok := v.(map[string]any)
	if v != nil && !ok {
		return nil, &Refused{NotAnObject, "status is a list, a string, a number or a boolean"}
	}
	if status != nil && len(opts.Fields) > 0 {
		whole := status
		status = map[string]any{}
		for _, path := range opts.Fields {
			pick(status, whole, path)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(opts.Paths)) {
		v, err := lookUp(o.Raw, opts.Paths[name], l)
		if err != nil {
			return nil, err
		}
		if v == nil {
			continue
		}
		if status == nil {
			status = map[string]any{}
		}
		status[name] = v
	}
	if len(opts.Paths) > 0 && status != nil {
		if err := Validate(status, l); err != nil { // the parts were within the limits, the whole may not be
			return nil, err
		}
	}
	return status, nil
}

// pick copies what stands at path.
func pick(to, from map[string]any, path []string) {
	name := path[0]
	v, ok := from[name]
	if ok && len(path) == 1 {
		to[name] = v
		return
	}
	below, ok := v.(map[string]any)
	if !ok {
		return
	}
	next, ok := to[name].(map[string]any)
	if !ok {
		next = map[string]any{}
		to[name] = next
	}
	pick(next, below, path[1:])
}

// Hash tells a raw status from the one before: equal bytes have equal hashes, others practically never.
func Hash(raw []byte) uint64 { return xxhash.Sum64(bytes.TrimSpace(raw)) }
