package policytest

import (
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// schema is the file schema.yaml: the part of a kind's schema that merging follows, by path below status.
type schema struct {
	Lists map[string]struct {
		Keys     []string `json:"keys"`     // x-kubernetes-list-map-keys
		MaxItems int      `json:"maxItems"` // 0: no bound
	} `json:"lists"`
	Scale []string `json:"scale"` // the counters that the scale subresource names
}

// loadSchema reads the schema, if the case has one.
func (c *Case) loadSchema(data []byte) error {
	if data == nil {
		return nil
	}
	s := &schema{}
	if err := yaml.UnmarshalStrict(data, s); err != nil {
		return fmt.Errorf("schema.yaml: %w", err)
	}
	for _, path := range slices.Sorted(maps.Keys(s.Lists)) {
		if s.Lists[path].MaxItems < 0 {
			return fmt.Errorf("schema.yaml: lists[%s].maxItems: %d: must not be negative", path, s.Lists[path].MaxItems)
		}
	}
	var counters [][]string
	for _, path := range s.Scale {
		counters = append(counters, policy.ParsePath(path))
	}
	c.schema = ref.NewSchema(counters...)
	for path, l := range s.Lists {
		c.schema.Add(policy.ParsePath(path), ref.List{Keys: l.Keys, MaxItems: l.MaxItems})
	}
	return nil
}
