package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	kt "github.com/upstreamd/upstreamd/internal/kube/kubetest"
)

// TestEveryCallHasADeadline: a call without a deadline of its own gets one; a watch gets one for the head of its answer.
func TestEveryCallHasADeadline(t *testing.T) {
	watch := url.Values{"watch": {"true"}}
	for name, tc := range map[string]struct {
		server http.HandlerFunc
		query  url.Values
		own    time.Duration // the context's deadline
		after  time.Duration // when the call, with its body, has ended; 0: not within an hour
	}{
		"no answer":                     {server: kt.Mute, after: callTimeout},
		"no body":                       {server: kt.Stuck, after: callTimeout},
		"a shorter deadline":            {server: kt.Mute, own: time.Second, after: time.Second},
		"a longer deadline":             {server: kt.Stuck, own: 10 * time.Minute, after: 10 * time.Minute},
		"a watch without an answer":     {server: kt.Mute, query: watch, after: watchHeadTimeout},
		"a watch that has a deadline":   {server: kt.Mute, query: watch, own: time.Hour, after: watchHeadTimeout},
		"a watch without events":        {server: kt.Stuck, query: watch},
		"an answer that is there later": {server: func(w http.ResponseWriter, r *http.Request) { kt.Sleep(r, 20*time.Second); kt.JSON(200, "{}")(w, r) }, after: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := dial(t, kt.Memory(t, tc.server))
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if tc.own == 0 {
					ctx = context.WithoutCancel(ctx)
				} else {
					ctx, cancel = context.WithTimeout(ctx, tc.own)
					defer cancel()
				}
				begun, done := time.Now(), make(chan error, 1)
				go func() {
					resp, err := conn.Do(ctx, Request{Path: "/x", Query: tc.query})
					if err == nil {
						_, err = io.ReadAll(resp.Body)
						_ = resp.Body.Close()
					}
					done <- err
				}()
				select {
				case err := <-done:
					took := time.Since(begun)
					if took != tc.after {
						t.Errorf("ended after %v, want %v: %v", took, tc.after, err)
					}
					if own := tc.own == tc.after; !own && tc.after > 20*time.Second && !errors.Is(err, ErrNoAnswer) {
						t.Errorf("%v, want %v", err, ErrNoAnswer)
					}
				case <-time.After(time.Hour):
					if tc.after > 0 {
						t.Error("the call did not end")
					}
					conn.Close()
					<-done
				}
			})
		})
	}
}

// TestHTTPClientHasADeadline: the same holds for clients that do not use Conn.
func TestHTTPClientHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made, err := HTTPClient(kt.Memory(t, http.HandlerFunc(kt.Mute)))
		if err != nil {
			t.Fatal(err)
		}
		defer made.CloseIdleConnections()
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, "http://memory/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if resp, err := made.Do(req); err == nil {
			_ = resp.Body.Close()
			t.Error("no error")
		}
		if took := time.Since(begun); took != callTimeout {
			t.Errorf("ended after %v", took)
		}
	})
}
