package policytest

import (
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/upstreamd/upstreamd/internal/policy"
)

// schema is the file schema.yaml: the part of a kind's schema that merging follows, by path below status.
type schema struct {
	Lists map[string]struct {
		Keys     []string `json:"keys"`     // x-kubernetes-list-map-keys
		MaxItems int      `json:"maxItems"` // 0: no bound
	} `json:"lists"`
	Scale []string `json:"scale"` // the counters that the scale subresource names
}

func (s *schema) ListKeys(path []string) []string { return s.Lists[policy.Path(path).String()].Keys }
func (s *schema) MaxItems(path []string) int      { return s.Lists[policy.Path(path).String()].MaxItems }

func (s *schema) Counters() [][]string {
	var paths [][]string
	for _, path := range s.Scale {
		paths = append(paths, policy.ParsePath(path))
	}
	return paths
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
	c.schema = s
	return nil
}
