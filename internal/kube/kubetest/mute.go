package kubetest

import (
	"context"
	"net/http"
	"testing"
	"time"
)

// Mute accepts a call and never answers.
func Mute(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// Stuck sends the head of an answer and nothing after it.
func Stuck(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// Returns checks that each call, with a context that never ends, returns an error in time. It needs a bubble of testing/synctest.
func Returns(t *testing.T, within time.Duration, calls map[string]func(context.Context) error) {
	t.Helper()
	for name, call := range calls {
		done := make(chan error, 1)
		begun := time.Now()
		go func() { done <- call(context.WithoutCancel(t.Context())) }()
		select {
		case err := <-done:
			if err == nil {
				t.Errorf("%s: no error", name)
			}
			t.Logf("%s: %v after %v", name, err, time.Since(begun))
		case <-time.After(within):
			t.Fatalf("%s: has not returned after %v", name, within)
		}
	}
}
