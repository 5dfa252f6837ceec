package patch

import (
	"errors"
	"fmt"
	"maps"

	"github.com/go-json-experiment/json"
)

// Apply returns the status that a server holds after it accepted patch, a JSON merge patch (RFC 7386), on published. The result shares
// memory with both; neither is modified. A nil patch changes nothing.
func Apply(published, patch map[string]any) map[string]any {
	if patch == nil {
		return published
	}
	merged := make(map[string]any, len(published)+len(patch))
	maps.Copy(merged, published)
	for name, p := range patch {
		switch p := p.(type) {
		case nil:
			delete(merged, name)
		case map[string]any:
			below, _ := merged[name].(map[string]any)
			merged[name] = Apply(below, p)
		default:
			merged[name] = p
		}
	}
	return merged
}

// Body encodes the write: {"metadata":{"resourceVersion":…},"status":…}, keys in order. The resourceVersion makes the API server refuse a
// patch that was decided on an older object, so there is no body without one. Values that are not JSON are errors.
func Body(resourceVersion string, status map[string]any) ([]byte, error) {
	if resourceVersion == "" {
		return nil, errors.New("encode the patch: the object has no resourceVersion to fence the write with")
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
