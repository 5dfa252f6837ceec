package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Set finds the policy of a resource. It is immutable.
type Set struct {
	policies map[Resource]*entry
}

// entry is a document and its policy, which is compiled at its first use if the document is embedded: all of these take 100 ms.
type entry struct {
	doc    *Document
	policy func() *Policy
}

var anything = Resource{Group: "*", Resource: "*"}

// Compile checks and compiles documents into a set. It must hold a policy for "anything else" (group and resource "*") if For is
// called with resources that no document names. The error lists every mistake in all documents but the embedded ones.
func Compile(docs ...*Document) (*Set, error) {
	set := &Set{policies: map[Resource]*entry{}}
	names := map[string]bool{}
	env, err := NewEnvironment()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, doc := range docs {
		e := &entry{doc: doc, policy: sync.OnceValue(func() *Policy { return mustCompile(doc, env) })}
		if doc.Source == "" {
			p, err := compile(doc, env)
			if err != nil {
				errs = append(errs, located(doc.place(), err)...)
				continue
			}
			e.policy = func() *Policy { return p }
		}
		name := doc.Metadata.Name
		if names[name] {
			errs = append(errs, fmt.Errorf("%s: metadata.name: %q names two policies: rename one", doc.place(), name))
		}
		names[name] = true
		for i, r := range doc.Spec.Resources {
			if other, taken := set.policies[r]; taken {
				errs = append(errs, fmt.Errorf("%s: spec.resources[%d]: policy %q is for the same resource: remove it from one", doc.place(), i, other.doc.Metadata.Name))
				continue
			}
			set.policies[r] = e
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return set, nil
}

// mustCompile compiles an embedded document; a test compiles all of them.
func mustCompile(doc *Document, env *Environment) *Policy {
	p, err := compile(doc, env)
	if err != nil {
		panic(fmt.Sprintf("embedded policy %s: %v", doc.place(), err))
	}
	return p
}

// With returns the set with documents added. They replace the policies of the same resource; one without a version replaces all versions.
func (s *Set) With(docs ...*Document) (*Set, error) {
	added, err := Compile(docs...)
	if err != nil {
		return nil, err
	}
	policies := maps.Clone(s.policies)
	for r := range added.policies {
		maps.DeleteFunc(policies, func(old Resource, _ *entry) bool {
			return old.Group == r.Group && old.Resource == r.Resource && r.Version == ""
		})
	}
	maps.Copy(policies, added.policies)
	return &Set{policies: policies}, nil
}

// For returns the policy of a resource: that of its version, else of its kind, else the one for anything else. It is never nil for a set
// that Builtin made.
func (s *Set) For(r ref.Resource) *Policy {
	for _, name := range []Resource{{Group: r.Group, Version: r.Version, Resource: r.Resource}, {Group: r.Group, Resource: r.Resource}, anything} {
		if e, ok := s.policies[name]; ok {
			return e.policy()
		}
	}
	return nil
}

// All returns the policies in force, by name.
func (s *Set) All() []*Policy {
	var all []*Policy
	for _, e := range s.policies {
		all = append(all, e.policy())
	}
	slices.SortFunc(all, func(a, b *Policy) int { return strings.Compare(a.Name, b.Name) })
	return slices.Compact(all)
}

// Resources returns the resources for which a policy is in force: those of its document that no other policy replaces.
func (s *Set) Resources(p *Policy) []Resource {
	return slices.DeleteFunc(slices.Clone(p.Document.Spec.Resources), func(r Resource) bool {
		e, ok := s.policies[r]
		return !ok || e.doc != p.Document
	})
}

func (d *Document) place() string {
	if d.location != "" {
		return d.location
	}
	return d.Metadata.Name
}
