package sim

import (
	"cmp"
	"encoding/json"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// observations are the facts that one life of a daemon received from one SyncTarget so far, with their times.
type observations struct {
	mu         sync.Mutex
	namespaces map[string]bool // known, with whether they carry a locator
	pages      map[string][]observation
	resources  map[string]*observedResource // by plural
}

// observedResource are the objects of one resource.
type observedResource struct {
	listed  bool      // once completely
	stale   time.Time // when it became stale first; zero: never
	objects map[string]*observedObject
}

// observedObject is the history of one object: its reports and the times of their arrival. It begins without a report.
type observedObject struct {
	version   string
	facts     []fact
	published int // the oldest fact behind the latest published status
}

// fact is the contribution of an object from a moment on; "" is none.
type fact struct {
	at      time.Time
	created time.Time // of the copy; zero: there is none
	token   string
	refused bool // a status that is not accepted: the last good one counts, if there is one
}

// observation is one object in a list or event.
type observation struct {
	namespace, name string
	version         string
	created         time.Time
	token           string
	refused         bool // its status is not accepted
	located         bool // of Namespaces: it carries a locator
}

func newObservations() *observations {
	return &observations{namespaces: map[string]bool{}, pages: map[string][]observation{}, resources: map[string]*observedResource{}}
}

func (s *observations) resource(plural string) *observedResource {
	r := s.resources[plural]
	if r == nil {
		r = &observedResource{objects: map[string]*observedObject{}}
		s.resources[plural] = r
	}
	return r
}

type wireObject struct {
	Metadata struct {
		Name, Namespace, ResourceVersion string
		CreationTimestamp                time.Time
		Annotations                      map[string]string
	}
	Status json.RawMessage
}

func (o *wireObject) observation(plural string) observation {
	t := observation{namespace: o.Metadata.Namespace, name: o.Metadata.Name, version: o.Metadata.ResourceVersion, created: o.Metadata.CreationTimestamp}
	if plural == "namespaces" {
		t.located = o.Metadata.Annotations[locatorAnnotation] != ""
		return t
	}
	if k := kindOf(plural); k != nil {
		t.token, t.refused = k.token(o.Status), isTooMuch(o.Status)
	}
	return t
}

// document takes the whole answer to a list or a request for discovery. Of nil, no observations are kept.
func (s *observations) document(c call, body []byte) {
	switch {
	case s == nil:
	case c.verb == "list":
		s.page(c, body)
	case discovers(c):
		s.discovered(body)
	}
}

// page takes a page of a list. Pages count once the last one is there.
func (s *observations) page(c call, body []byte) {
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
		s.pages[key] = append(s.pages[key], list.Items[i].observation(c.resource))
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

// list takes a complete list: objects that it lacks are gone.
func (s *observations) list(plural string, all []observation) {
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
			o.add("", "", time.Time{})
		}
	}
}

func (s *observations) present(plural string, t observation) {
	if plural == "namespaces" {
		s.namespaces[t.name] = t.located
		return
	}
	r := s.resource(plural)
	o := r.objects[t.namespace+"/"+t.name]
	switch located, known := s.namespaces[t.namespace]; {
	case !known || o == nil && !located:
		return // its Namespace is not located yet; it will be observed again
	case !located:
		t.token = "" // its Namespace names no workspace any more
	}
	if o == nil {
		o = &observedObject{facts: []fact{{}}}
		r.objects[t.namespace+"/"+t.name] = o
	}
	switch {
	case t.refused:
		o.version = t.version
		o.facts = append(o.facts, fact{at: time.Now(), refused: true, created: t.created})
	default:
		o.add(t.version, t.token, t.created)
	}
}

// becameStale notes that a resource is stale.
func (s *observations) becameStale(plural string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.resource(plural); r.stale.IsZero() {
		r.stale = time.Now()
	}
}

// wasStale reports whether a resource had become stale before a time.
func (s *observations) wasStale(plural string, at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	stale := s.resource(plural).stale
	return !stale.IsZero() && !stale.After(at)
}

// outlived reports whether the copy that a daemon may know is older than an upstream object that was created at a time. at and patience are
// those of possible.
func (s *observations) outlived(plural, namespace, name string, created, at time.Time, patience time.Duration) (old bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.resource(plural).objects[namespace+"/"+name]
	if o == nil {
		return false
	}
	for _, f := range o.facts {
		if f.at.After(at) {
			return old
		}
		older := !f.created.IsZero() && f.created.Before(created)
		old = older || old && at.Sub(f.at) < patience
	}
	return old
}

// add adds a fact. An empty version is that of a list that lacks the object.
func (o *observedObject) add(version, token string, created time.Time) {
	if version != "" && o.version != "" {
		if order, err := resourceversion.CompareResourceVersion(version, o.version); err == nil && order < 0 {
			return
		}
	}
	o.version = cmp.Or(version, o.version)
	o.facts = append(o.facts, fact{at: time.Now(), token: token, created: created})
}

// watchObservations is a watch that is open.
type watchObservations struct {
	*observations
	plural  string
	initial bool // it begins with a list
	list    []observation
}

// open begins a watch. Of nil, no observations are kept.
func (s *observations) open(c call) *watchObservations {
	if s == nil {
		return nil
	}
	return &watchObservations{observations: s, plural: c.resource, initial: c.streaming}
}

// line takes an event.
func (t *watchObservations) line(text []byte) {
	var event struct {
		Type   string
		Object wireObject
	}
	if t == nil || json.Unmarshal(text, &event) != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	o := event.Object.observation(t.plural)
	switch event.Type {
	case "BOOKMARK":
		if t.initial && event.Object.Metadata.Annotations["k8s.io/initial-events-end"] == "true" {
			t.initial = false
			t.observations.list(t.plural, t.list)
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
			known.add(o.version, "", time.Time{})
		}
	}
}

// possible are the tokens that a daemon that decides within patience may publish for an object now: the one known that long ago, and all since.
// listed is false if no list was ever completed.
func (s *observations) possible(plural, namespace, name string, at time.Time, patience time.Duration) (tokens []string, listed bool) {
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
		case f.refused:
			tokens = append(tokens, "")
		case at.Sub(f.at) >= patience:
			tokens = append(tokens[:0], f.token)
		default:
			tokens = append(tokens, f.token)
		}
	}
	return tokens, r.listed
}

// inOrder records a published token, and reports whether publications can have followed the order of observations: after a newer fact no older
// one is published. at and patience are those of possible.
func (s *observations) inOrder(plural, namespace, name, token string, at time.Time, patience time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.resource(plural).objects[namespace+"/"+name]
	if o == nil {
		return true
	}
	first := o.published
	for i, f := range o.facts {
		if at.Sub(f.at) >= patience && !f.refused {
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
