package patch

import (
	"math"

	"github.com/cespare/xxhash/v2"
)

// Digest identifies a whole status where keeping it would cost too much memory: two statuses have the same Digest if a [Diff] between them with
// these options and Whole is nil, else practically never. Digests are not stable across processes.
func Digest(status map[string]any, o Options) uint64 {
	o.Whole = true
	d := differ{Options: o}
	return d.digest(status, make([]string, 0, 16))
}

// digest is 0 for a value that counts as absent.
func (d *differ) digest(v any, path []string) uint64 {
	if d.skip(path) || d.empty(v) {
		return 0
	}
	switch v := v.(type) {
	case map[string]any:
		return d.digestObject(v, path)
	case []any:
		return d.digestList(v, path)
	case string:
		return mixed('"', xxhash.Sum64String(d.spelling(v)))
	case bool:
		return mixed('b', map[bool]uint64{true: 1}[v])
	}
	if i, ok := integer(v); ok {
		return mixed('1', uint64(i)) //nolint:gosec // bits, not a number
	}
	if f, ok := v.(float64); ok {
		return mixed('.', math.Float64bits(f))
	}
	return 0
}

func (d *differ) digestObject(object map[string]any, path []string) uint64 {
	sum := uint64(0) // in no order
	for name, member := range object {
		if below := d.digest(member, append(path, name)); below != 0 {
			sum += mixed(xxhash.Sum64String(name), below)
		}
	}
	if sum == 0 && d.Typed {
		return 0 // nothing in it counts
	}
	return mixed('{', sum)
}

func (d *differ) digestList(list []any, path []string) uint64 {
	item := append(path, "*")
	if _, keyed := index(list, d.keys(path)); keyed {
		sum := uint64(0) // in any order
		for _, below := range list {
			sum += mixed('*', d.digest(below, item))
		}
		return mixed('[', sum)
	}
	chain := uint64(0)
	for _, below := range list {
		chain = mixed(chain, d.digest(below, item))
	}
	return mixed('[', chain)
}

// mixed is a hash of two, which differs from that of the two swapped (the finalizer of SplitMix64).
func mixed(a, b uint64) uint64 {
	x := a*0x9e3779b97f4a7c15 + b + 1
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
