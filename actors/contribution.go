package actors

import (
	"time"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// statusTime is the time of the last change of a status: by managedFields, else the newest condition transition, else the time of observation.
func statusTime(o *ref.Object, parsed map[string]any, observed time.Time) time.Time {
	if !o.StatusTime.IsZero() {
		return o.StatusTime
	}
	var newest time.Time
	conditions, _ := parsed["conditions"].([]any)
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		text, _ := condition["lastTransitionTime"].(string)
		if t, err := time.Parse(time.RFC3339, text); err == nil && t.After(newest) {
			newest = t
		}
	}
	if newest.IsZero() {
		return observed
	}
	return newest
}
