package supervisor

import (
	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// SendToBucket sends a message to one bucket of a resource, past everything that checks messages.
func (s *System) SendToBucket(r ref.Resource, bucket int, m any) {
	s.engine.Root.Send(actors.BucketsOf(s.aggregator(r), s.options.Buckets)[bucket], m)
}
