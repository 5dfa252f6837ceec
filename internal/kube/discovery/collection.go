package discovery

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// confirmAfter is the least time between two lists of which the second confirms that objects are gone.
const confirmAfter = 5 * time.Second

// collection is the last known content of one list and its watch: raw objects by name.
//
// Objects leave it by a DELETED event or by a list without them. A list that lacks more than one object and more than half of them is
// doubted, because a wrong backend or a restored store looks the same: the objects stay until a second list confirms it.
type collection struct {
	kind    string // plural, for messages
	objects map[string][]byte
	listed  bool
	doubted map[string]time.Time // objects that a list lacked, and since when
	broken  bool                 // Failed was the last event
	now     func() time.Time
}

func newCollection(kind string) *collection {
	return &collection{kind: kind, objects: map[string][]byte{}, doubted: map[string]time.Time{}, now: time.Now}
}

// take applies an event. The error is that of a failure, or says why objects stay although a list lacks them.
func (c *collection) take(e ref.Event) error {
	c.broken = e.Type == ref.Failed
	switch {
	case e.Type == ref.Failed:
		return e.Err
	case e.Type == ref.Listed && e.Version == "" && len(c.objects) > 0:
		// The kind is not served. Deleting a CustomResourceDefinition deletes its objects first, one DELETED event each.
		return fmt.Errorf("%s are not served any more: the %d that are known stay until a complete list", c.kind, len(c.objects))
	case e.Type == ref.Listed:
		c.listed = true
		return c.list(e.Objects)
	case !c.listed:
		return nil // the list that is due holds it
	}
	for _, o := range e.Objects {
		switch {
		case o.Name == "": // it cannot be identified
		case e.Type == ref.Deleted:
			c.remove(o.Name)
		case e.Type == ref.Changed:
			c.put(o)
		}
	}
	return nil
}

func (c *collection) list(objects []*ref.Object) error {
	present := make(map[string]struct{}, len(objects))
	known := len(c.objects)
	for _, o := range objects {
		if o.Name != "" {
			present[o.Name] = struct{}{}
			c.put(o)
		}
	}
	var missing []string
	for name := range c.objects {
		if _, there := present[name]; there {
			continue
		}
		since, doubted := c.doubted[name]
		switch {
		case !doubted:
			missing = append(missing, name)
		case c.now().Sub(since) >= confirmAfter:
			c.remove(name)
		}
	}
	if len(missing) <= 1 || 2*len(missing) <= known {
		for _, name := range missing {
			c.remove(name)
		}
		return nil
	}
	for _, name := range missing {
		c.doubted[name] = c.now()
	}
	return fmt.Errorf("a list lacks %d of %d %s: they stay until a second list confirms it", len(missing), known, c.kind)
}

// confirm applies a consistent list that was read after doubts arose. It decides only on the objects in doubt: the watch may
// have reported newer states of the others.
func (c *collection) confirm(objects []*ref.Object) {
	present := make(map[string]*ref.Object, len(objects))
	for _, o := range objects {
		present[o.Name] = o
	}
	for _, name := range slices.Collect(maps.Keys(c.doubted)) {
		if o := present[name]; o != nil {
			c.put(o)
			continue
		}
		c.remove(name)
	}
}

func (c *collection) put(o *ref.Object) {
	c.objects[o.Name] = o.Raw
	delete(c.doubted, o.Name)
}

func (c *collection) remove(name string) {
	delete(c.objects, name)
	delete(c.doubted, name)
}
