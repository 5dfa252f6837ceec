package client

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
)

// TestRedirectsAreRefusedForEveryCall sends each kind of call to a server that points elsewhere.
func TestRedirectsAreRefusedForEveryCall(t *testing.T) {
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for _, code := range []int{301, 302, 303, 307, 308} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL+r.URL.Path, code) })
		c := dial(t, &rest.Config{Host: s.URL, BearerToken: "secret"})
		for _, r := range []Request{
			{Path: "/apis/apps/v1/deployments"},
			{Path: "/apis/apps/v1/deployments", Query: map[string][]string{"watch": {"true"}}},
			{Method: http.MethodPatch, Path: "/apis/apps/v1/namespaces/a/deployments/b/status", Body: []byte(`{}`), ContentType: "application/merge-patch+json"},
			{Method: http.MethodPost, Path: "/apis/authentication.k8s.io/v1/tokenreviews", Body: []byte(`{}`), ContentType: "application/json"},
		} {
			resp, err := c.Do(t.Context(), r)
			if err == nil {
				Drain(resp.Body)
			}
			if !errors.Is(err, ErrRedirected) {
				t.Errorf("%d for %s %s: %v", code, r.Method, r.Path, err)
			}
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("%d calls went elsewhere", n)
	}
}
