package reconcile

// Refusal classifies an answer that is no success by its consequence.
type Refusal string

const (
	// Conflict: the object changed since the decision.
	Conflict Refusal = "Conflict"
	// OutcomeUnknown: time-out, reset or a server error; the write may have taken place.
	OutcomeUnknown Refusal = "OutcomeUnknown"
	// Gone: the object does not exist.
	Gone Refusal = "Gone"
	// NotServed: the resource, its status subresource, or the workspace does not exist.
	NotServed Refusal = "NotServed"
	// Forbidden: no right to patch this object, or this resource in this workspace.
	Forbidden Refusal = "Forbidden"
	// TooLarge: the status is larger than the server accepts.
	TooLarge Refusal = "TooLarge"
	// Invalid: the server's validation refuses the status.
	Invalid Refusal = "Invalid"

	// The writer keeps writes with these refusals queued; they never reach a State.

	// Unauthorized: the credentials are not accepted (any more).
	Unauthorized Refusal = "Unauthorized"
	// Busy: the server asks for a pause.
	Busy Refusal = "Busy"
	// Unreachable: no connection could be made, so nothing was sent.
	Unreachable Refusal = "Unreachable"
	// Fenced: not sent, as the right to write has expired.
	Fenced Refusal = "Fenced"
)
