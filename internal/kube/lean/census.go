package lean

import (
	"hash/maphash"
	"math"

	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
)

// census records which objects exist, by a list and the watch after it, and how much heap each takes: the input of one connection
// must not take unbounded memory. An object costs about 20 bytes here, for names are kept as
// hashes with a secret seed, so that collisions cannot be constructed. nil counts nothing.
type census struct {
	objects, kept int64 // at most; 0: any number
	share         *share
	listing       bool // until the list is complete, its predecessor is kept, and counts in the share
	seed          maphash.Seed
	sizes         map[uint64]uint32
	total         int64 // of sizes
	repeated      int64 // entries of the list with a name that it held before
}

// newCensus begins the census of a list. It is nil if there are no limits.
func newCensus(l Limits, s *share) *census {
	if l.Objects <= 0 && l.Kept <= 0 && s == nil {
		return nil
	}
	return &census{objects: l.Objects, kept: l.Kept, share: s, listing: true, seed: maphash.MakeSeed(), sizes: map[uint64]uint32{}}
}

// complete ends the list.
func (c *census) complete() {
	if c != nil {
		c.listing = false
		_ = c.hold(c.total) // refused while it was counted, if at all
	}
}

// hold takes a number of bytes out of the share.
func (c *census) hold(total int64) error {
	if c.listing && c.share != nil {
		total = max(total, c.share.held)
	}
	return c.share.hold(total)
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
	if err := c.hold(total); err != nil {
		return err
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
	_ = c.hold(c.total) // less is never refused
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

// Bytes of heap: an object with the bookkeeping for it, a map of strings, an entry of it, a manager.
const (
	heapOfObject  = 512
	heapOfMap     = 336
	heapOfEntry   = 40
	heapOfManager = 80
)

// size estimates the heap that an object takes as long as it exists, with its status in parsed form. The true heap is at most four times as
// much.
func size(o *ref.Object) uint32 {
	n := heapOfObject + len(o.Name) + len(o.Namespace) + len(o.UID) + len(o.ResourceVersion) + len(o.Spec) + len(o.Raw)
	for _, m := range []map[string]string{o.Labels, o.Annotations} {
		if m != nil {
			n += heapOfMap
		}
		for key, value := range m {
			n += heapOfEntry + len(key) + len(value)
		}
	}
	for _, m := range o.Managers {
		n += heapOfManager + len(m.Name) + len(m.Fields)
	}
	return uint32(min(int64(n)+status.Heap(o.Status), math.MaxUint32)) //nolint:gosec // it is bounded
}
