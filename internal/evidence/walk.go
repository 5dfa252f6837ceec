package evidence

import (
	"bytes"
	"math/bits"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"github.com/go-json-experiment/json/jsontext"
)

// walk collects the leaves of valid JSON in one pass. Parsed into maps first, the specs of 200,000 Deployments took 15 s of CPU time at a
// start; so they take about one.
type walk struct {
	raw     []byte
	at      int
	leaves  []uint32
	ignored uint32
	name    []byte // of the list item that was walked last, by its field of that name; nil: it has none
}

// mix goes one step down a path. The upper half of the product depends on all bits.
func mix(path uint64, text []byte) uint64 {
	return (bits.RotateLeft64(path, 23) ^ xxhash.Sum64(text)) * 0x9e3779b97f4a7c15
}

func half(hash uint64) uint32 { return uint32(hash >> 32) }

// peek steps over space, commas and colons.
func (w *walk) peek() byte {
	for {
		switch c := w.raw[w.at]; c {
		case ' ', '\t', '\n', '\r', ',', ':':
			w.at++
		default:
			return c
		}
	}
}

// below are the patterns for a member or item.
func below(ignored [][]string, name string, ignore bool) ([][]string, bool) {
	var rest [][]string
	for _, p := range ignored {
		if p[0] == name || p[0] == "*" {
			ignore = ignore || len(p) == 1
			if len(p) > 1 {
				rest = append(rest, p[1:])
			}
		}
	}
	return rest, ignore
}

// value walks the next value, at a path.
func (w *walk) value(path uint64, ignored [][]string, ignore bool) {
	switch w.peek() {
	case '{':
		w.object(path, ignored, ignore)
	case '[':
		w.list(path, ignored, ignore)
	case '"':
		if text := w.text(); len(text) > 0 {
			w.leaf(mix(path, []byte(spelling(string(text)))), ignore)
		}
	default:
		w.scalar(path, ignore)
	}
}

func (w *walk) object(path uint64, ignored [][]string, ignore bool) {
	var name []byte
	for w.at++; w.peek() != '}'; {
		member := w.text()
		rest, skip := ignored, ignore
		if len(ignored) > 0 {
			rest, skip = below(ignored, string(member), ignore)
		}
		if string(member) == "name" && w.peek() == '"' {
			at := w.at
			name = w.text()
			w.at = at
		}
		w.value(mix(path, member), rest, skip)
	}
	w.at++
	w.name = name
}

// list tells items apart by their names, where they have one, else by their order: the way down may add some.
func (w *walk) list(path uint64, ignored [][]string, ignore bool) {
	rest, skip := ignored, ignore
	if len(ignored) > 0 {
		rest, skip = below(ignored, "*", ignore)
	}
	w.at++
	for n := 0; w.peek() != ']'; n++ {
		from, outside := len(w.leaves), w.ignored
		w.ignored, w.name = 0, nil
		w.value(path, rest, skip)
		key := w.name
		if key == nil {
			key = strconv.AppendInt([]byte{0}, int64(n), 10)
		}
		for i := range w.leaves[from:] {
			w.leaves[from+i] = half(mix(uint64(w.leaves[from+i]), key))
		}
		if w.ignored != 0 {
			w.ignored = half(mix(uint64(w.ignored), key))
		}
		w.ignored += outside
	}
	w.at++
	w.name = nil
}

// scalar walks a number or literal. null, false and 0 are no leaves.
func (w *walk) scalar(path uint64, ignore bool) {
	from := w.at
	for w.at < len(w.raw) && bytes.IndexByte([]byte(" \t\n\r,]}"), w.raw[w.at]) < 0 {
		w.at++
	}
	text := w.raw[from:w.at]
	if bytes.ContainsAny(text, ".eE") && text[0] <= '9' {
		if f, err := strconv.ParseFloat(string(text), 64); err == nil {
			text = strconv.AppendFloat(nil, f, 'f', -1, 64)
		}
	}
	switch string(text) {
	case "null", "false", "0", "-0":
	default:
		w.leaf(mix(path, text), ignore)
	}
}

func (w *walk) leaf(hash uint64, ignore bool) {
	leaf := half(hash)
	if ignore {
		w.ignored += leaf // in any order
		return
	}
	w.leaves = append(w.leaves, leaf)
}

// text reads a string.
func (w *walk) text() []byte {
	w.peek()
	from := w.at
	escaped := false
	for w.at++; w.raw[w.at] != '"'; w.at++ {
		if w.raw[w.at] == '\\' {
			escaped = true
			w.at++
		}
	}
	w.at++
	if !escaped {
		return w.raw[from+1 : w.at-1]
	}
	text, _ := jsontext.AppendUnquote(nil, w.raw[from:w.at]) // it is valid
	return text
}
