package sim

import (
	"encoding/json"
	"strconv"
	"sync"
	"time"
)

// seen is what one life of a daemon was told of one SyncTarget, up to now and when.
type seen struct {
	mu         sync.Mutex
	namespaces map[string]bool // known, with whether they say where they belong
	pages      map[string][]told
	resources  map[string]*seenResource // by plural
}

// seenResource are the objects of one resource.
type seenResource struct {
	listed  bool // once completely
	objects map[string]*seenObject
}

// seenObject is one object's past: what it said, and from when on that was known. It begins with nothing.
type seenObject struct {
	version   uint64
	facts     []fact
	published int // the oldest fact that what was published last can be of
}

// fact is what an object contributed from a moment on; "" is nothing.
type fact struct {
	at    time.Time
	token string
}

// told is one object in a list or event.
type told struct {
	namespace, name string
	version         uint64
	token           string
	located         bool // of Namespaces: it says where its objects belong
}

func newSeen() *seen {
	return &seen{namespaces: map[string]bool{}, pages: map[string][]told{}, resources: map[string]*seenResource{}}
}

func (s *seen) resource(plural string) *seenResource {
	r := s.resources[plural]
	if r == nil {
		r = &seenResource{objects: map[string]*seenObject{}}
		s.resources[plural] = r
	}
	return r
}

type wireObject struct {
	Metadata struct {
		Name, Namespace, ResourceVersion string
		Annotations                      map[string]string
	}
	Status json.RawMessage
}

func (o *wireObject) told(plural string) told {
	version, _ := strconv.ParseUint(o.Metadata.ResourceVersion, 10, 64)
	t := told{namespace: o.Metadata.Namespace, name: o.Metadata.Name, version: version}
	if plural == "namespaces" {
		t.located = o.Metadata.Annotations[locatorAnnotation] != ""
		return t
	}
	if k := kindOf(plural); k != nil {
		t.token = k.token(o.Status)
	}
	return t
}

// page takes what a list says. Pages count once the last one is there.
func (s *seen) page(c call, body []byte) {
	var list struct {
		Metadata struct{ Continue string }
		Items    []wireObject
	}
	if c.limit == "1" || json.Unmarshal(body, &list) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := c.resource + "/" + c.namespace
	if !c.next {
		delete(s.pages, key)
	}
	for i := range list.Items {
		s.pages[key] = append(s.pages[key], list.Items[i].told(c.resource))
	}
	if list.Metadata.Continue != "" {
		return
	}
	all := s.pages[key]
	delete(s.pages, key)
	if c.namespace == "" {
		s.list(c.resource, all)
		return
	}
	for _, t := range all {
		s.present(c.resource, t)
	}
}

// list takes a complete list: what it lacks is gone.
func (s *seen) list(plural string, all []told) {
	there := map[string]bool{}
	for _, t := range all {
		there[t.namespace+"/"+t.name] = true
		s.present(plural, t)
	}
	if plural == "namespaces" {
		for name := range s.namespaces {
			if !there["/"+name] {
				delete(s.namespaces, name)
			}
		}
	}
	r := s.resource(plural)
	r.listed = true
	for key, o := range r.objects {
		if !there[key] {
			o.add(0, "")
		}
	}
}

func (s *seen) present(plural string, t told) {
	if plural == "namespaces" {
		s.namespaces[t.name] = t.located
		return
	}
	r := s.resource(plural)
	o := r.objects[t.namespace+"/"+t.name]
	switch located, known := s.namespaces[t.namespace]; {
	case !known || o == nil && !located:
		return // it is not known yet whose it is, and will be told again
	case !located:
		t.token = "" // it is nobody's any more
	}
	if o == nil {
		o = &seenObject{facts: []fact{{}}}
		r.objects[t.namespace+"/"+t.name] = o
	}
	o.add(t.version, t.token)
}

func (o *seenObject) add(version uint64, token string) {
	if version != 0 && version < o.version {
		return
	}
	o.version = max(o.version, version)
	o.facts = append(o.facts, fact{time.Now(), token})
}

// telling is a watch that is open.
type telling struct {
	*seen
	plural  string
	initial bool // it begins with a list
	list    []told
}

// open begins a watch. A nil seen asks for nothing.
func (s *seen) open(c call) *telling {
	if s == nil {
		return nil
	}
	return &telling{seen: s, plural: c.resource, initial: c.streaming}
}

// line takes an event.
func (t *telling) line(text []byte) {
	var event struct {
		Type   string
		Object wireObject
	}
	if t == nil || json.Unmarshal(text, &event) != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	o := event.Object.told(t.plural)
	switch event.Type {
	case "BOOKMARK":
		if t.initial && event.Object.Metadata.Annotations["k8s.io/initial-events-end"] == "true" {
			t.initial = false
			t.seen.list(t.plural, t.list)
			t.list = nil
		}
	case "ADDED", "MODIFIED":
		if t.initial {
			t.list = append(t.list, o)
			return
		}
		t.present(t.plural, o)
	case "DELETED":
		if t.plural == "namespaces" {
			delete(t.namespaces, o.name)
		} else if known := t.resource(t.plural).objects[o.namespace+"/"+o.name]; known != nil {
			known.add(o.version, "")
		}
	}
}

// could are the tokens that a daemon that decides within patience may say of an object now: what it knew that long ago, and all that it was told since.
// listed is false if it was never told all objects.
func (s *seen) could(plural, namespace, name string, at time.Time, patience time.Duration) (tokens []string, listed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.resource(plural)
	o := r.objects[namespace+"/"+name]
	tokens = []string{""}
	if o == nil {
		return tokens, r.listed
	}
	for _, f := range o.facts {
		switch {
		case f.at.After(at):
			return tokens, r.listed
		case at.Sub(f.at) >= patience:
			tokens = append(tokens[:0], f.token)
		default:
			tokens = append(tokens, f.token)
		}
	}
	return tokens, r.listed
}

// follows takes note of a token that is published, and reports whether what was known can have been published in the order in which it was told: after
// something newer, nothing older ever is. at and patience are those of could.
func (s *seen) follows(plural, namespace, name, token string, at time.Time, patience time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.resource(plural).objects[namespace+"/"+name]
	if o == nil {
		return true
	}
	first := o.published
	for i, f := range o.facts {
		if at.Sub(f.at) >= patience {
			first = max(first, i)
		}
	}
	for i := first; i < len(o.facts) && !o.facts[i].at.After(at); i++ {
		if o.facts[i].token == token {
			o.published = i
			return true
		}
	}
	return false
}
