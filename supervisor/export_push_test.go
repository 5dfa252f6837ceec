package supervisor

import "github.com/upstreamd/upstreamd/internal/ref"

// Pushed is how many objects of a resource a push target keeps.
func (s *System) Pushed(target ref.SyncTarget, r ref.Resource) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.targets[target].source.(*pushed)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.resources[r] == nil {
		return 0
	}
	return len(p.resources[r].objects)
}
