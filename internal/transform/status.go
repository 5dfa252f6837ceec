// Package transform reverses the changes of the spec syncer inside a status, so that a tenant reads it in the terms of his workspace.
//
// It promises: references lead to upstream objects where these are known; no UID or resourceVersion of a downstream object, none of the way
// down's labels and annotations, and nothing that the policy withholds is left; times are written one way; and values that the user wrote stay.
// One file holds one rule.
//
// It is pure: no I/O, no clock, no goroutine.
package transform

import (
	"maps"

	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Context names the object of a status, downstream and upstream.
type Context struct {
	Downstream  ref.Downstream
	Upstream    ref.Upstream
	UID         types.UID // of the downstream object; empty: not known
	UpstreamUID types.UID // of the upstream object; empty: not known, and references to the object itself lose their UID
	// Namespace gives the upstream namespace that a downstream one stands for. It is to be false for those of other workspaces: another
	// tenant's names are not for this one. Nil: only the object's own Namespace is known.
	Namespace func(downstream string) (upstream string, ok bool)
	// Withhold holds paths below status that tenants do not see; "*" is each item of a list or member of an object.
	Withhold [][]string
}

// Status applies all rules to s, which it owns, and gives it back. Nil stays nil. s is plain JSON.
func Status(s map[string]any, c Context) map[string]any {
	for _, path := range c.Withhold {
		withhold(s, path)
	}
	c.apply("", s)
	return s
}

// apply gives a value, the one or one of a list under the given name, as it is upstream. One that is not changed keeps its memory.
func (c *Context) apply(name string, value any) any {
	switch v := value.(type) {
	case string:
		if up := selector(name, v); up != v {
			return up
		}
	case []any:
		for i, item := range v {
			v[i] = c.apply(name, item)
		}
	case map[string]any:
		if labelMap(name, v) {
			maps.DeleteFunc(v, func(key string, _ any) bool { return bookkeeping(key) })
			return value
		}
		metadata(name, v)
		c.reference(v)
		for member, below := range v {
			if bookkeeping(member) {
				delete(v, member)
				continue
			}
			if object, ok := below.(map[string]any); ok && len(object) > 0 {
				if c.apply(member, object); len(object) == 0 { // nothing but bookkeeping was in it
					delete(v, member)
				}
				continue
			}
			v[member] = c.apply(member, below)
		}
	}
	return value
}
