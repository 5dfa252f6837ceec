package lean

import (
	"bytes"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// keep is a ref.Want made ready for the decoder: which keys of labels and annotations, and which other fields, to copy.
type keep struct {
	labels, annotations          keys
	times, managers, spec, whole bool
}

func newKeep(w ref.Want) keep {
	return keep{
		labels:      newKeys(w.Labels),
		annotations: newKeys(w.Annotations),
		times:       w.StatusTimes,
		managers:    w.Managers,
		spec:        w.Spec,
		whole:       w.Whole,
	}
}

// keys is a set of exact keys and key prefixes.
type keys struct {
	exact    map[string]struct{}
	prefixes [][]byte
}

func newKeys(wanted []string) keys {
	var k keys
	for _, key := range wanted {
		switch key {
		case "":
			continue
		case ref.All:
			k.prefixes = append(k.prefixes, []byte{})
			continue
		}
		switch key[len(key)-1] {
		case '/', '-', '.':
			k.prefixes = append(k.prefixes, []byte(key))
		default:
			if k.exact == nil {
				k.exact = make(map[string]struct{}, len(wanted))
			}
			k.exact[key] = struct{}{}
		}
	}
	return k
}

func (k keys) none() bool { return len(k.exact) == 0 && len(k.prefixes) == 0 }

func (k keys) has(key []byte) bool {
	if _, ok := k.exact[string(key)]; ok {
		return true
	}
	for _, prefix := range k.prefixes {
		if bytes.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// strs shares the memory of strings that come again and again in one watch: namespaces, keys of labels, names of managers.
// It is bounded: when full it starts anew, which costs a copy or two and nothing else. Long strings are not shared. nil shares nothing.
type strs map[string]string

const (
	maxShared       = 4096
	maxSharedLength = 256 // bytes
)

func (s strs) share(b []byte) string {
	if len(b) > maxSharedLength {
		return string(b)
	}
	if v, ok := s[string(b)]; ok {
		return v
	}
	if len(s) >= maxShared {
		clear(s)
	}
	v := string(b)
	if s != nil {
		s[v] = v
	}
	return v
}
