package patch

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
)

// Apply is what a server holds after it took patch, a JSON merge patch (RFC 7386) on published. The result shares memory with
// both; neither is modified. A nil patch changes nothing.
func Apply(published, patch map[string]any) map[string]any {
	if patch == nil {
		return published
	}
	return merge(published, patch)
}

func merge(have, patch map[string]any) map[string]any {
	merged := make(map[string]any, len(have)+len(patch))
	maps.Copy(merged, have)
	for name, p := range patch {
		switch p := p.(type) {
		case nil:
			delete(merged, name)
		case map[string]any:
			h, _ := merged[name].(map[string]any)
			merged[name] = merge(h, p)
		default:
			merged[name] = p
		}
	}
	return merged
}

// Body encodes the write: {"metadata":{"resourceVersion":…},"status":…}, keys in order. The resourceVersion is what makes the API server
// refuse a patch that was decided on an older object, so there is no body without one. Values that are not JSON are errors.
func Body(resourceVersion string, status map[string]any) ([]byte, error) {
	if resourceVersion == "" {
		return nil, errors.New("encode the patch: no resourceVersion to fence it with")
	}
	var body struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Status map[string]any `json:"status"`
	}
	body.Metadata.ResourceVersion = resourceVersion
	body.Status = status
	b, err := json.Marshal(&body, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode the patch: %w", err)
	}
	return b, nil
}

// Differences are the paths below status of what was sent (a patch that Diff made) and came back (the status in the API server's answer)
// different or not at all, and of what was added to list items, for these lists would differ for ever. List items are "*". The paths
// are sorted, each once. typed is as in Options.
func Differences(sent, got map[string]any, typed bool) [][]string {
	c := comparison{differ: differ{Options: Options{Typed: typed}}}
	for name, s := range sent {
		c.compare(s, got[name], []string{name}, false)
	}
	slices.SortFunc(c.paths, slices.Compare)
	return slices.CompactFunc(c.paths, slices.Equal)
}

type comparison struct {
	differ
	paths [][]string
}

func (c *comparison) compare(sent, got any, path []string, inList bool) {
	if c.empty(sent) && c.empty(got) || got == nil && onlyRemovals(sent) {
		return
	}
	switch sent := sent.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			c.objects(sent, g, path, inList)
			return
		}
	case []any:
		if g, ok := got.([]any); ok && len(g) == len(sent) {
			for i := range sent {
				c.compare(sent[i], g[i], append(path, "*"), true)
			}
			return
		}
	case nil:
	default:
		if equalScalars(sent, got) {
			return
		}
	}
	c.paths = append(c.paths, slices.Clone(path))
}

func (c *comparison) objects(sent, got map[string]any, path []string, inList bool) {
	for name, s := range sent {
		c.compare(s, got[name], append(path, name), inList)
	}
	if !inList { // what an object holds besides may be another writer's
		return
	}
	for name, g := range got {
		if _, both := sent[name]; !both {
			c.compare(nil, g, append(path, name), inList)
		}
	}
}

// onlyRemovals says whether a patch value does nothing but remove, so that nothing need be there afterwards.
func onlyRemovals(sent any) bool {
	m, ok := sent.(map[string]any)
	if !ok {
		return sent == nil
	}
	for _, v := range m {
		if !onlyRemovals(v) {
			return false
		}
	}
	return len(m) > 0
}
