package ref

import "strings"

// Description is how an API server serves a resource in a scope.
type Description struct {
	HasStatus bool    // with a status subresource; true where that may differ between workspaces
	Typed     bool    // normalised by the server's own Go types, so that zero and absent are the same
	Schema    *Schema // nil: it has none
}

// Schema is the part of a kind's schema that merging follows. It is immutable. Paths are below status; "*" stands for a list item or any
// member of an object.
type Schema struct {
	lists    map[string]List
	counters [][]string
}

// List is what a schema says of a list.
type List struct {
	Keys     []string // the key fields of a list of type map; none: another type
	MaxItems int      // 0: no bound
}

// NewSchema makes an empty Schema. Counters are those that the scale subresource names.
func NewSchema(counters ...[]string) *Schema {
	return &Schema{lists: map[string]List{}, counters: counters}
}

// Add adds a list, before the Schema is shared.
func (s *Schema) Add(path []string, l List) { s.lists[listPath(path)] = l }

// List returns what the schema says of the list at a path. A nil Schema says nothing.
func (s *Schema) List(path []string) List {
	if s == nil {
		return List{}
	}
	return s.lists[listPath(path)]
}

// Counters returns the paths of the counters that the scale subresource names.
func (s *Schema) Counters() [][]string {
	if s == nil {
		return nil
	}
	return s.counters
}

func listPath(path []string) string { return strings.Join(path, "\x00") }
