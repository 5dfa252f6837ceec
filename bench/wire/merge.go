package wire

import (
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/upstreamd/upstreamd/internal/patch"
)

// merge applies a merge patch (RFC 7386) to a JSON object; an empty target has no fields. It returns the result as canonical JSON and
// decoded.
func merge(target, change []byte) (merged []byte, fields map[string]any, err error) {
	var have, with map[string]any
	if len(target) > 0 {
		if err := json.Unmarshal(target, &have); err != nil {
			return nil, nil, fmt.Errorf("decode the target of a merge patch: %w", err)
		}
	}
	if err := json.Unmarshal(change, &with); err != nil {
		return nil, nil, fmt.Errorf("decode a merge patch: %w", err)
	}
	fields = patch.Apply(have, with)
	merged, err = json.Marshal(fields, json.Deterministic(true))
	return merged, fields, err
}

// patchBody is a status patch as it was sent.
type patchBody struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"` // empty: any
	} `json:"metadata"`
	Status jsontext.Value `json:"status"`
}

func readPatch(body []byte) (patchBody, error) {
	var p patchBody
	if err := json.Unmarshal(body, &p); err != nil {
		return p, fmt.Errorf("decode the patch: %w", err)
	}
	if p.Status == nil {
		return p, fmt.Errorf("the patch has no status: %.100s", body)
	}
	return p, nil
}

// names are the names of fields, in order.
func names(fields map[string]any) []string { return slices.Sorted(maps.Keys(fields)) }
