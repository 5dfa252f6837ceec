package supervisor

import "strconv"

// GrowRegistry has the engine's registry of actors take all the memory that it will ever keep: each of its 32,768 maps keeps the room
// of its first entry, 9 MB in all, which is no leak and would hide one.
func (s *System) GrowRegistry() {
	registry := s.engine.ProcessRegistry
	for n := range 500_000 {
		pid, _ := registry.Add(nil, strconv.Itoa(n))
		registry.Remove(pid)
	}
}

// Actors is how many the engine has registered.
func (s *System) Actors() int {
	n := 0
	for _, m := range s.engine.ProcessRegistry.LocalPIDs.LocalPIDs {
		n += m.Count()
	}
	return n
}
