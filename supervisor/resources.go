package supervisor

import (
	"fmt"
	"strconv"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
)

// resource is a resource whose statuses are published.
type resource struct {
	number uint64 // makes actors' names unique: a name that is taken again right after a stop would orphan the new actor
	listed bool   // upstream, at least once
}

// AddResource begins to publish the statuses of a resource, from all SyncTargets.
func (s *System) AddResource(r actors.Resource) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.resources[r]; ok {
		return fmt.Errorf("resource %s is there already", ref.ResourceString(r))
	}
	s.added++
	s.resources[r] = &resource{number: s.added}
	s.send(addResource{r, s.added})
	return nil
}

// RemoveResource ends the work on a resource. Published statuses stay. Objects of it that push targets handed over are forgotten.
func (s *System) RemoveResource(r actors.Resource) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.resources[r]
	if found == nil {
		return fmt.Errorf("resource %s is not there", ref.ResourceString(r))
	}
	delete(s.resources, r)
	for _, registration := range s.targets {
		if p, ok := registration.source.(*pushed); ok {
			p.remove(r)
		}
	}
	s.send(removeResource{r, found.number})
	return nil
}

// RegisterExtractor replaces the extraction of a resource's status by e. It gets whole objects (Object.Raw). Call it before AddResource.
func (s *System) RegisterExtractor(r actors.Resource, e actors.Extractor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.resources[r]; ok {
		return fmt.Errorf("resource %s is there already: register its extractor before AddResource", ref.ResourceString(r))
	}
	s.extractors[r] = e
	return nil
}

// aggregator is the aggregator of a resource. If the resource was removed, no actor has that name.
func (s *System) aggregator(r ref.Resource) *actor.PID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var number uint64
	if found := s.resources[r]; found != nil {
		number = found.number
	}
	return s.engine.NewLocalPID(rootName + "/" + aggregatorPrefix + numbered(r, number))
}

// numbered is a resource in the name of an actor.
func numbered(r ref.Resource, number uint64) string {
	return ref.ResourceString(r) + "#" + strconv.FormatUint(number, 10)
}

func (s *System) extractor(r ref.Resource) status.Extractor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.extractors[r]
}

func (s *System) resourceNumbers() map[ref.Resource]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	numbers := make(map[ref.Resource]uint64, len(s.resources))
	for r, found := range s.resources {
		numbers[r] = found.number
	}
	return numbers
}

func (s *System) setReady(r ref.Resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.resources[r]; found != nil {
		found.listed = true
	}
}
