package client

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// ErrCredentialProgram is the error of a call whose credentials come from a program that does not end.
var ErrCredentialProgram = errors.New("the program that gives credentials does not end")

// programGrace is how long a call may take beyond the end of its context: all but those that wait for a program end at once.
const programGrace = time.Second

// impatient is the transport of a connection with credentials from a program (exec plugin). client-go waits for the program without
// regard to the context of the call. So a call is left behind when its context ends, and no other one begins until it has returned.
type impatient struct {
	next http.RoundTripper
	left atomic.Int32
}

func (t *impatient) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.left.Load() > 0 {
		return nil, fmt.Errorf("%w: an earlier call waits for it", ErrCredentialProgram)
	}
	type answer struct {
		resp *http.Response
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		var a answer
		err := Recover(func() error { a.resp, a.err = t.next.RoundTrip(req); return nil }) //nolint:bodyclose // by the caller, or below
		a.err = errors.Join(a.err, err)
		answered <- a
	}()
	select {
	case a := <-answered:
		return a.resp, a.err
	case <-req.Context().Done():
	}
	select {
	case a := <-answered:
		return a.resp, a.err
	case <-time.After(programGrace):
	}
	t.left.Add(1)
	go func() {
		if a := <-answered; a.resp != nil {
			_ = a.resp.Body.Close()
		}
		t.left.Add(-1)
	}()
	return nil, fmt.Errorf("%w: %w", ErrCredentialProgram, req.Context().Err())
}
