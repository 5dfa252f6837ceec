package actors

import (
	"errors"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// classify maps an error to a refusal. Anything but an answer of the API server leaves the outcome unknown.
func classify(err error) reconcile.Refusal {
	answer, answered := err.(apierrors.APIStatus)
	switch {
	case answered:
	case errors.Is(err, ref.ErrUnreachable):
		return reconcile.Unreachable
	default:
		return reconcile.OutcomeUnknown
	}
	s := answer.Status()
	switch s.Code {
	case http.StatusConflict:
		return reconcile.Conflict
	case http.StatusNotFound:
		if namesObject(s) {
			return reconcile.Gone
		}
		return reconcile.NotServed
	case http.StatusMethodNotAllowed:
		return reconcile.NotServed
	case http.StatusForbidden:
		return reconcile.Forbidden
	case http.StatusUnauthorized:
		return reconcile.Unauthorized
	case http.StatusRequestEntityTooLarge:
		return reconcile.TooLarge
	case http.StatusUnprocessableEntity, http.StatusBadRequest, http.StatusUnsupportedMediaType:
		return reconcile.Invalid
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return reconcile.Busy
	}
	return reconcile.OutcomeUnknown
}

// namesObject distinguishes "no such object" from "no such resource": only the first names the object.
func namesObject(s metav1.Status) bool { return s.Details != nil && s.Details.Name != "" }
