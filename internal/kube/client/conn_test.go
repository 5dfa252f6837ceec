package client

import (
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/upstreamd/upstreamd/internal/ref"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func dial(t *testing.T, cfg *rest.Config) *Conn {
	t.Helper()
	c, err := New(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// get asks once and returns the body.
func get(t *testing.T, c *Conn, path string) (string, error) {
	t.Helper()
	resp, err := c.Do(t.Context(), Request{Path: path})
	if err != nil {
		return "", err
	}
	defer Drain(resp.Body)
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestRequestsAreBuiltOnTheServersPath(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Method+" "+r.RequestURI) })
	for host, want := range map[string]string{
		"":                    "GET /api/v1/x%3Fy?a=b",
		"/":                   "GET /api/v1/x%3Fy?a=b",
		"/clusters/root:team": "GET /clusters/root:team/api/v1/x%3Fy?a=b",
	} {
		c := dial(t, &rest.Config{Host: s.URL + host})
		resp, err := c.Do(t.Context(), Request{Path: "/api/v1/x?y", Query: url.Values{"a": {"b"}}})
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		Drain(resp.Body)
		if string(body) != want {
			t.Errorf("%q: asked %s, want %s", host, body, want)
		}
	}
}

// TestTokenFile: after a 401 the file is read again, so that a rotated token works at the next try.
func TestTokenFile(t *testing.T) {
	var valid atomic.Value
	valid.Store("one")
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+valid.Load().(string) {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	c := dial(t, &rest.Config{Host: s.URL, BearerTokenFile: file})
	if _, err := get(t, c, "/"); err != nil {
		t.Fatal(err)
	}
	write("two")
	valid.Store("two")
	if _, err := get(t, c, "/"); !apierrors.IsUnauthorized(err) {
		t.Errorf("error = %v, want 401: the old token was still in use", err)
	}
	if _, err := get(t, c, "/"); err != nil {
		t.Errorf("the rotated token was not taken: %v", err)
	}
}

// TestExecPlugin: a trusted kubeconfig may name a program; its token is used, and requested again after a 401.
func TestExecPlugin(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	program := filepath.Join(dir, "login")
	script := "#!/bin/sh\nprintf '{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":{\"token\":\"%s\"}}' \"$(cat " + token + ")\"\n"
	for path, content := range map[string]string{token: "one", program: script} {
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	valid := "one"
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+valid {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer s.Close()
	c := dial(t, &rest.Config{
		Host:            s.URL,
		TLSClientConfig: rest.TLSClientConfig{CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})},
		ExecProvider:    &api.ExecConfig{APIVersion: "client.authentication.k8s.io/v1", Command: program, InteractiveMode: api.NeverExecInteractiveMode},
	})
	defer s.CloseClientConnections()
	if _, err := get(t, c, "/"); err != nil {
		t.Fatal(err)
	}
	valid = "two"
	if err := os.WriteFile(token, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _ = get(t, c, "/")
	if _, err := get(t, c, "/"); err != nil {
		t.Errorf("the new token was not fetched: %v", err)
	}
}

func TestErrorsHoldNoSecrets(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	c := dial(t, &rest.Config{Host: s.URL, BearerToken: canary})
	_, err := get(t, c, "/x")
	if err == nil || strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), "GET /x") {
		t.Errorf("error = %v", err)
	}
	s.Close()
	if _, err := get(t, c, "/x"); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("error = %v", err)
	}
}

// Only where no connection came about is it certain that nothing was sent.
func TestUnreachable(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	foreign := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(foreign.Close)
	foreign.Config.ErrorLog = log.New(io.Discard, "", 0)
	cut := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for name, c := range map[string]struct {
		host string
		want bool
	}{
		"refused":                   {gone.URL, true},
		"a certificate of others":   {foreign.URL, true},
		"cut while it was answered": {cut.URL, false},
	} {
		_, err := get(t, dial(t, &rest.Config{Host: c.host}), "/")
		if err == nil || errors.Is(err, ref.ErrUnreachable) != c.want {
			t.Errorf("%s: %v; unreachable: %v, want %v", name, err, !c.want, c.want)
		}
	}
}

func TestGzipBomb(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		for range 1 << 10 {
			if _, err := z.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	c := dial(t, &rest.Config{Host: s.URL})
	start := time.Now()
	if _, err := get(t, c, "/"); !errors.Is(err, ErrCompressed) {
		t.Errorf("error = %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v: it was read", took)
	}
}

// TestEndlessError: an error's body is read up to a limit.
func TestEndlessError(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("x", 4096)); err != nil {
				return
			}
		}
	})
	_, err := get(t, dial(t, &rest.Config{Host: s.URL}), "/")
	if !apierrors.IsInternalError(err) || len(err.Error()) > 4096 {
		t.Errorf("%d bytes of error", len(fmt.Sprint(err)))
	}
}

// TestConnectionsAreUsedAgain counts connections over many calls, answers with a body that is not read among them.
func TestConnectionsAreUsedAgain(t *testing.T) {
	var opened atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusConflict)
		}
		_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	c := dial(t, &rest.Config{Host: s.URL})
	for range 10 {
		if _, err := get(t, c, "/bad"); !apierrors.IsConflict(err) {
			t.Error(err)
		}
		resp, err := c.Do(t.Context(), Request{Path: "/good"})
		if err != nil {
			t.Fatal(err)
		}
		Drain(resp.Body)
	}
	c.Close()
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections for 20 calls", n)
	}
}

func TestCause(t *testing.T) {
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	other := errors.New("other")
	if Cause(ctx, fmt.Errorf("x: %w", context.Canceled)) != why || Cause(ctx, other) != other || Cause(t.Context(), context.Canceled) != context.Canceled {
		t.Error("wrong cause")
	}
}

func TestResourcePath(t *testing.T) {
	apps := ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"}
	for _, tc := range []struct {
		r                       ref.Resource
		namespace, name, sub, p string
	}{
		{apps, "", "", "", "/apis/apps/v1/deployments"},
		{apps, "ns", "web", "status", "/apis/apps/v1/namespaces/ns/deployments/web/status"},
		{ref.Resource{Version: "v1", Resource: "nodes"}, "", "n1", "", "/api/v1/nodes/n1"},
		{apps, "..", "web", "", ""},
		{apps, "ns", ".", "", ""},
		{apps, "ns", "a/b", "", ""},
		{apps, "ns", "a%2fb", "", ""},
		{ref.Resource{Group: "../x", Version: "v1", Resource: "y"}, "", "", "", ""},
		{ref.Resource{Group: "x", Version: "..", Resource: "y"}, "", "", "", ""},
		{ref.Resource{Group: "x", Version: "v1", Resource: "y/z"}, "", "", "", ""},
	} {
		got, err := ResourcePath(tc.r, tc.namespace, tc.name, tc.sub)
		if got != tc.p || (err != nil) != (tc.p == "") {
			t.Errorf("%v %q %q %q: %q, %v; want %q", tc.r, tc.namespace, tc.name, tc.sub, got, err, tc.p)
		}
	}
}

// TestNothingIsSentAfterTheDeadline has a transport that does not heed the end of a call before it sends, as that of a process that was frozen.
func TestNothingIsSentAfterTheDeadline(t *testing.T) {
	for _, frozen := range []bool{true, false} {
		sent, timeout := "", time.Minute
		c := dial(t, &rest.Config{Host: "http://frozen.example", Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if frozen {
				<-r.Context().Done()
			}
			body, err := io.ReadAll(r.Body)
			if sent = string(body); err != nil {
				return nil, err
			}
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
		})})
		if frozen {
			timeout = time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		_, err := c.Do(ctx, Request{Method: http.MethodPatch, Path: "/x", Body: []byte("{}"), ContentType: "application/json"})
		cancel()
		if frozen != errors.Is(err, context.DeadlineExceeded) || frozen != (sent == "") {
			t.Errorf("frozen %v: sent %q, error %v", frozen, sent, err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
