package actors

import (
	"errors"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Refusal says what an answer that is no success means for the object and for what follows.
type Refusal string

const (
	// Conflict: the object changed since the decision.
	Conflict Refusal = "Conflict"
	// OutcomeUnknown: time-out, reset, a server error; the write may have taken place.
	OutcomeUnknown Refusal = "OutcomeUnknown"
	// Gone: the object is not there.
	Gone Refusal = "Gone"
	// NotServed: the resource, its status subresource, or the workspace is not there.
	NotServed Refusal = "NotServed"
	// Forbidden: no right to patch this resource in this workspace.
	Forbidden Refusal = "Forbidden"
	// Unauthorized: the credentials are not accepted (any more).
	Unauthorized Refusal = "Unauthorized"
	// TooLarge: the status is larger than the server takes.
	TooLarge Refusal = "TooLarge"
	// Invalid: the server's validation refuses the status.
	Invalid Refusal = "Invalid"
	// Busy: the server asks for a pause.
	Busy Refusal = "Busy"
	// Unreachable: no connection could be made, so nothing was sent.
	Unreachable Refusal = "Unreachable"
	// Fenced: not sent, as the right to write has run out.
	Fenced Refusal = "Fenced"
)

// classify tells answers apart. Anything that is not an answer of the API server leaves the outcome unknown.
func classify(err error) Refusal {
	answer, answered := err.(apierrors.APIStatus)
	switch {
	case answered:
	case errors.Is(err, ref.ErrUnreachable):
		return Unreachable
	default:
		return OutcomeUnknown
	}
	s := answer.Status()
	switch s.Code {
	case http.StatusConflict:
		return Conflict
	case http.StatusNotFound:
		if namesObject(s) {
			return Gone
		}
		return NotServed
	case http.StatusMethodNotAllowed:
		return NotServed
	case http.StatusForbidden:
		return Forbidden
	case http.StatusUnauthorized:
		return Unauthorized
	case http.StatusRequestEntityTooLarge:
		return TooLarge
	case http.StatusUnprocessableEntity, http.StatusBadRequest, http.StatusUnsupportedMediaType:
		return Invalid
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return Busy
	}
	return OutcomeUnknown
}

// namesObject tells "this object is not there" from "this resource is not there": only the first names the object.
func namesObject(s metav1.Status) bool { return s.Details != nil && s.Details.Name != "" }
