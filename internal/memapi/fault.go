package memapi

import (
	"cmp"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Fault is a failure injected into one request; the zero Fault is none. Its parts combine: a Delay comes before a Status.
type Fault struct {
	Refuse bool          // the connection is refused; the request is not processed
	Delay  time.Duration // before the request is processed

	Status     int           // answers with this code; the request is not processed
	Header     http.Header   // of that answer, such as a Location
	Body       []byte        // of that answer; nil: a metav1.Status
	RetryAfter time.Duration // of that answer, in whole seconds

	Hold       time.Duration // after the request is processed, before it is answered
	LoseAnswer bool          // the request is processed, then the connection is reset instead of answering
	Truncate   int           // the body ends after so many bytes, and the connection with it; 0: it does not

	Watch WatchFault
}

// WatchFault is a failure injected into a watch once After events or Within have passed or When is closed, the first of them.
// Events that are sent to begin with (sendInitialEvents) count too, bookmarks do not.
type WatchFault struct {
	Kind   WatchFaultKind
	After  int             // events; 0: with none, if Within and When are not set either
	Within time.Duration   // 0: never
	When   <-chan struct{} // nil: never
}

// WatchFaultKind is a way in which a watch fails.
type WatchFaultKind int

const (
	// Healthy watches do not fail.
	Healthy WatchFaultKind = iota
	// Reset ends the connection in the middle of an event's line.
	Reset
	// Finish ends the answer in order.
	Finish
	// Expire sends an ERROR event with 410 Expired, and ends the answer.
	Expire
	// Silence sends nothing more, bookmarks included, and stays open.
	Silence
	// OnlyBookmarks sends bookmarks, but no more events. Their resourceVersion does not go past the last event that was sent.
	OnlyBookmarks
)

// refused and reset are the errors that a client's transport returns for a refused and for a reset socket.
func refused() error {
	return &net.OpError{Op: "dial", Net: "memory", Err: syscall.ECONNREFUSED}
}

func reset() error {
	return &net.OpError{Op: "read", Net: "memory", Err: syscall.ECONNRESET}
}

// abort ends the connection. In memory the client gets err; over a socket the connection breaks.
func (x *exchange) abort(err error) {
	if w, ok := x.w.(interface{ fail(error) }); ok {
		w.fail(err)
	}
	panic(http.ErrAbortHandler)
}

// faulty injects the failures that come before the request is processed. It reports whether the request has ended with that.
func (x *exchange) faulty() bool {
	f := x.fault
	if f.Refuse {
		x.abort(refused())
	}
	if !x.pause(f.Delay) {
		return true
	}
	if f.Status == 0 {
		return false
	}
	for name, values := range f.Header {
		x.w.Header()[name] = values
	}
	if seconds := int(f.RetryAfter / time.Second); seconds > 0 {
		x.w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	body := f.Body
	if body == nil {
		body = encode(metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: int32(f.Status), //nolint:gosec // three digits
			Message: cmp.Or(http.StatusText(f.Status), strconv.Itoa(f.Status)), Reason: reasons[f.Status],
		})
	}
	_ = x.answer(f.Status, body)
	return true
}

var reasons = map[int]metav1.StatusReason{
	http.StatusBadRequest:            metav1.StatusReasonBadRequest,
	http.StatusUnauthorized:          metav1.StatusReasonUnauthorized,
	http.StatusForbidden:             metav1.StatusReasonForbidden,
	http.StatusNotFound:              metav1.StatusReasonNotFound,
	http.StatusConflict:              metav1.StatusReasonConflict,
	http.StatusGone:                  metav1.StatusReasonExpired,
	http.StatusRequestEntityTooLarge: metav1.StatusReasonRequestEntityTooLarge,
	http.StatusUnprocessableEntity:   metav1.StatusReasonInvalid,
	http.StatusTooManyRequests:       metav1.StatusReasonTooManyRequests,
	http.StatusInternalServerError:   metav1.StatusReasonInternalError,
	http.StatusServiceUnavailable:    metav1.StatusReasonServiceUnavailable,
	http.StatusGatewayTimeout:        metav1.StatusReasonTimeout,
}

// pause waits, and reports whether client and server are still there.
func (x *exchange) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-x.r.Context().Done():
	case <-x.s.closing:
	}
	return false
}

// begin sends the head of an answer.
func (x *exchange) begin(code int, contentType string) error {
	if !x.pause(x.fault.Hold) {
		return x.r.Context().Err()
	}
	if x.fault.LoseAnswer {
		x.abort(reset())
	}
	if x.fault.Truncate > 0 {
		x.left = x.fault.Truncate
	}
	x.code = code
	x.s.calls.add(x.call(), code)
	x.w.Header().Set("Content-Type", contentType)
	x.w.Header().Set("Date", x.s.now().Format(http.TimeFormat))
	x.w.WriteHeader(code)
	return nil
}

// send sends a part of a body.
func (x *exchange) send(part []byte) error {
	if x.left < 0 {
		_, err := x.w.Write(part)
		return err
	}
	n := min(x.left, len(part))
	x.left -= n
	if _, err := x.w.Write(part[:n]); err != nil {
		return err
	}
	if n < len(part) {
		_ = http.NewResponseController(x.w).Flush() // else the bytes so far might be lost too
		x.abort(io.ErrUnexpectedEOF)
	}
	return nil
}
