package lean

import (
	"hash/maphash"
	"math"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// census records which objects exist, by a list and the watch after it, and how many bytes are kept of each: the input of one connection
// must not take unbounded memory. An object costs about 20 bytes here, for names are kept as
// hashes with a secret seed, so that collisions cannot be constructed. nil counts nothing.
type census struct {
	objects, kept int64 // at most; 0: any number
	seed          maphash.Seed
	sizes         map[uint64]uint32
	total         int64 // of sizes
	repeated      int64 // entries of the list whose name it held before
}

// newCensus is nil if the limits ask for none.
func newCensus(l Limits) *census {
	if l.Objects <= 0 && l.Kept <= 0 {
		return nil
	}
	return &census{objects: l.Objects, kept: l.Kept, seed: maphash.MakeSeed(), sizes: map[uint64]uint32{}}
}

// add takes an object that was added or modified. The error is a limit that it exceeds; then it is not taken.
func (c *census) add(o *ref.Object) error {
	if c == nil {
		return nil
	}
	key, size := c.key(o), size(o)
	before, known := c.sizes[key]
	if !known && !c.room() {
		return tooLarge(ref.LimitObjects, c.objects)
	}
	total := c.total - int64(before) + int64(size)
	if c.kept > 0 && total > c.kept {
		return tooLarge(ref.LimitKept, c.kept)
	}
	c.sizes[key], c.total = size, total
	return nil
}

// enlist takes an entry of a list, which is held in one piece: one that repeats another takes its room all the same.
func (c *census) enlist(o *ref.Object) error {
	if c == nil {
		return nil
	}
	if before, known := c.sizes[c.key(o)]; known {
		if !c.room() {
			return tooLarge(ref.LimitObjects, c.objects)
		}
		c.repeated++
		c.total += int64(before)
	}
	return c.add(o)
}

func (c *census) room() bool { return c.objects <= 0 || int64(len(c.sizes))+c.repeated < c.objects }

// remove takes an object out, and reports whether it was known: deletions of unknown objects would take memory, too, until they are read.
func (c *census) remove(o *ref.Object) bool {
	if c == nil {
		return true
	}
	key := c.key(o)
	before, known := c.sizes[key]
	c.total -= int64(before)
	delete(c.sizes, key)
	return known
}

func (c *census) key(o *ref.Object) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	for _, part := range []string{string(o.Workspace), o.Namespace, o.Name} {
		_, _ = h.WriteString(part)
		_ = h.WriteByte(0) // does not stand in names
	}
	return h.Sum64()
}

// size is how many bytes an object keeps of the server's input.
func size(o *ref.Object) uint32 {
	n := len(o.Name) + len(o.Namespace) + len(o.UID) + len(o.ResourceVersion) + len(o.Status) + len(o.Raw)
	for _, m := range []map[string]string{o.Labels, o.Annotations} {
		for key, value := range m {
			n += len(key) + len(value)
		}
	}
	for _, m := range o.Managers {
		n += len(m.Name) + len(m.Fields)
	}
	return uint32(min(n, math.MaxUint32))
}
