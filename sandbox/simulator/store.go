package simulator

import (
	"math/rand/v2"
	"sync"

	"k8s.io/apimachinery/pkg/util/resourceversion"
)

type key struct {
	kind            behaviour
	namespace, name string
}

func keyOf(kind behaviour, o object) key { return key{kind, o.GetNamespace(), o.GetName()} }

// store holds the newest version of each object, from a watch or the answer to a write, and picks a random one in constant
// time.
type store struct {
	mu      sync.Mutex
	places  map[key]int
	entries []entry
}

type entry struct {
	key    key
	object object
}

func newStore() *store { return &store{places: map[key]int{}} }

func (s *store) put(kind behaviour, o object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, known := s.places[keyOf(kind, o)]
	if !known {
		s.places[keyOf(kind, o)] = len(s.entries)
		s.entries = append(s.entries, entry{keyOf(kind, o), o})
		return
	}
	if order, err := resourceversion.CompareResourceVersion(o.GetResourceVersion(), s.entries[at].object.GetResourceVersion()); err != nil || order >= 0 {
		s.entries[at].object = o
	}
}

// remove drops an object, unless its name belongs to another uid now.
func (s *store) remove(kind behaviour, o object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, known := s.places[keyOf(kind, o)]
	if !known || s.entries[at].object.GetUID() != o.GetUID() {
		return
	}
	last := len(s.entries) - 1
	s.entries[at] = s.entries[last]
	s.places[s.entries[at].key] = at
	s.entries = s.entries[:last]
	delete(s.places, keyOf(kind, o))
}

func (s *store) any(dice *rand.Rand) (entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.entries) == 0 {
		return entry{}, false
	}
	return s.entries[dice.IntN(len(s.entries))], true
}

func (s *store) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries)
}
