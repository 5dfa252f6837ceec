// Package status extracts the status of an object as a map of plain JSON values.
//
// A result is bounded (Limits) and holds only map[string]any, []any, string, int64, float64, bool and nil. A missing status is no error,
// and a refusal carries a reason.
//
// The package is pure: no I/O, no clock, no goroutine.
package status

import (
	"bytes"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Options select the parts of an object that are extracted.
type Options struct {
	Limits Limits
	// Fields are the paths of status to keep, through objects only; none: all of it.
	Fields [][]string
	// Paths are fields to add to status, each with its path in the whole object, through objects only. They need Object.Raw.
	Paths map[string][]string
}

// Extractor returns the status of an object. The map belongs to the caller; nil without an error means that there is no status. An
// Extractor does not modify the object.
type Extractor interface {
	Extract(o *ref.Object) (map[string]any, error)
}

// ExtractorFunc is a function that is an Extractor.
type ExtractorFunc func(o *ref.Object) (map[string]any, error)

// Extract calls f.
func (f ExtractorFunc) Extract(o *ref.Object) (map[string]any, error) { return f(o) }

// Extract calls the function of that name, so that Options are an Extractor.
func (opts Options) Extract(o *ref.Object) (map[string]any, error) { return Extract(o, opts) }

// Validated is e with its results normalised: any Go values that encode as JSON become plain JSON values within the limits.
func Validated(e Extractor, l Limits) Extractor {
	return ExtractorFunc(func(o *ref.Object) (map[string]any, error) {
		s, err := e.Extract(o)
		if err != nil || s == nil {
			return nil, err
		}
		return normalise(s, l.orDefaults())
	})
}

// Extract returns an object's status: integers as int64, other numbers and those too large for it as float64. It is nil if the status is
// absent or null. The error is a *Refused.
func Extract(o *ref.Object, opts Options) (map[string]any, error) {
	if o.Err != nil {
		return nil, &Refused{Undecodable, short(o.Err.Error())}
	}
	l := opts.Limits.orDefaults()
	status, err := parseObject(o.Status, l)
	if err != nil {
		return nil, err
	}
	if status != nil && len(opts.Fields) > 0 {
		whole := status
		status = map[string]any{}
		for _, path := range opts.Fields {
			pick(status, whole, path)
		}
	}
	if len(opts.Paths) == 0 {
		return status, nil
	}
	for _, name := range slices.Sorted(maps.Keys(opts.Paths)) {
		v, err := lookUp(o.Raw, opts.Paths[name], l)
		switch {
		case err != nil:
			return nil, err
		case v == nil:
			continue
		case status == nil:
			status = map[string]any{}
		}
		status[name] = v
	}
	if status == nil {
		return nil, nil
	}
	return normalise(status, l) // each part was within the limits, the whole may not be
}

// pick copies the value at path.
func pick(to, from map[string]any, path []string) {
	name := path[0]
	v, ok := from[name]
	if ok && len(path) == 1 {
		to[name] = v
		return
	}
	if below, ok := v.(map[string]any); ok {
		next, ok := to[name].(map[string]any)
		if !ok {
			next = map[string]any{}
			to[name] = next
		}
		pick(next, below, path[1:])
	}
}

// Hash identifies a raw status: equal bytes have equal hashes, others practically never.
func Hash(raw []byte) uint64 { return xxhash.Sum64(bytes.TrimSpace(raw)) }
