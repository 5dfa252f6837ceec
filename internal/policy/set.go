package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Set finds the policy of a resource. It is immutable.
type Set struct {
	policies map[Resource]*Policy
}

var anything = Resource{Group: "*", Resource: "*"}

// Compile checks and compiles documents into a set. It must hold a policy for "anything else" (group and resource "*") if For is
// called with resources that no document names. The error lists every mistake in all documents.
func Compile(docs ...*Document) (*Set, error) {
	set := &Set{policies: map[Resource]*Policy{}}
	names := map[string]bool{}
	env, err := NewEnvironment()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, doc := range docs {
		p, err := compile(doc, env)
		if err != nil {
			errs = append(errs, located(doc.place(), err)...)
			continue
		}
		if names[p.Name] {
			errs = append(errs, fmt.Errorf("%s: metadata.name: %q names two policies: rename one", doc.place(), p.Name))
		}
		names[p.Name] = true
		for i, r := range doc.Spec.Resources {
			if other, taken := set.policies[r]; taken {
				errs = append(errs, fmt.Errorf("%s: spec.resources[%d]: policy %q is for the same resource: remove it from one", doc.place(), i, other.Name))
				continue
			}
			set.policies[r] = p
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return set, nil
}

// With returns the set with documents added. They replace the policies of the same resource; one without a version replaces all versions.
func (s *Set) With(docs ...*Document) (*Set, error) {
	added, err := Compile(docs...)
	if err != nil {
		return nil, err
	}
	policies := maps.Clone(s.policies)
	for r := range added.policies {
		maps.DeleteFunc(policies, func(old Resource, _ *Policy) bool {
			return old.Group == r.Group && old.Resource == r.Resource && r.Version == ""
		})
	}
	maps.Copy(policies, added.policies)
	return &Set{policies: policies}, nil
}

// For returns the policy of a resource: that of its version, else of its kind, else the one for anything else. It is never nil for a set
// that Builtin made.
func (s *Set) For(r ref.Resource) *Policy {
	if p, ok := s.policies[Resource{Group: r.Group, Version: r.Version, Resource: r.Resource}]; ok {
		return p
	}
	if p, ok := s.policies[Resource{Group: r.Group, Resource: r.Resource}]; ok {
		return p
	}
	return s.policies[anything]
}

// All returns the policies in force, by name.
func (s *Set) All() []*Policy {
	return slices.Compact(slices.SortedFunc(maps.Values(s.policies), func(a, b *Policy) int { return strings.Compare(a.Name, b.Name) }))
}

func (d *Document) place() string {
	if d.source != "" {
		return d.source
	}
	return d.Metadata.Name
}
