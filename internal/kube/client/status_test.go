package client

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
)

func TestErrorsOfServers(t *testing.T) {
	date := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		code   int
		body   string
		header map[string]string
		is     func(error) bool
		delay  int // that the server asks for, in seconds
	}{
		"a Status":               {409, `{"kind":"Status","status":"Failure","reason":"Conflict","code":409}`, nil, apierrors.IsConflict, 0},
		"a Status without code":  {403, `{"kind":"Status","status":"Failure"}`, nil, apierrors.IsForbidden, 0},
		"text":                   {404, "page not found", nil, apierrors.IsNotFound, 0},
		"nothing":                {500, "", nil, apierrors.IsInternalError, 0},
		"a Status of success":    {500, `{"kind":"Status","status":"Success"}`, nil, apierrors.IsInternalError, 0},
		"JSON of another kind":   {422, `{"error":"x"}`, nil, apierrors.IsInvalid, 0},
		"wait, in a Status":      {429, `{"kind":"Status","status":"Failure","reason":"TooManyRequests","code":429,"details":{"retryAfterSeconds":4}}`, nil, apierrors.IsTooManyRequests, 4},
		"wait, header":           {429, `{"kind":"Status","status":"Failure","reason":"TooManyRequests","code":429}`, map[string]string{"Retry-After": "5"}, apierrors.IsTooManyRequests, 5},
		"wait, both: the longer": {429, `{"kind":"Status","status":"Failure","reason":"TooManyRequests","code":429,"details":{"retryAfterSeconds":4}}`, map[string]string{"Retry-After": "2"}, apierrors.IsTooManyRequests, 4},
		"wait, text":             {503, "busy", map[string]string{"Retry-After": "6"}, apierrors.IsServiceUnavailable, 6},
		"wait until, by the server's clock": {503, "busy", map[string]string{
			"Retry-After": date.Add(7 * time.Second).Format(http.TimeFormat), "Date": date.Format(http.TimeFormat)}, apierrors.IsServiceUnavailable, 7},
		"wait for a moment gone by": {503, "busy", map[string]string{
			"Retry-After": date.Add(-time.Hour).Format(http.TimeFormat), "Date": date.Format(http.TimeFormat)}, apierrors.IsServiceUnavailable, 0},
		"wait until, without a clock": {503, "busy", map[string]string{"Retry-After": date.Format(http.TimeFormat), "Date": "noon"}, apierrors.IsServiceUnavailable, 0},
		"wait for ages":               {503, "busy", map[string]string{"Retry-After": "100000000000"}, apierrors.IsServiceUnavailable, 3600},
		"wait for nonsense":           {503, "busy", map[string]string{"Retry-After": "soon"}, apierrors.IsServiceUnavailable, 0},
		"not modified":                {304, "", nil, func(err error) bool { return err != nil }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range tc.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(tc.code)
				if tc.body != "" {
					_, _ = w.Write([]byte(tc.body))
				}
			})
			_, err := get(t, dial(t, &rest.Config{Host: s.URL}), "/x")
			var status *apierrors.StatusError
			if !errors.As(err, &status) || !tc.is(err) || int(status.ErrStatus.Code) != tc.code {
				t.Fatalf("error = %#v", err)
			}
			if delay, _ := apierrors.SuggestsClientDelay(err); delay != tc.delay {
				t.Errorf("waits %d s, want %d", delay, tc.delay)
			}
		})
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		is     error
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example", http.StatusFound)
		}, ErrRedirected},
		"gzip": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") }, ErrCompressed},
		"HTML": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/html") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, &rest.Config{Host: serve(t, tc.answer).URL})
			if _, err := get(t, c, "/"); err == nil || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("error = %v, want %v", err, tc.is)
			}
		})
	}
}

// TestLastHeard: an API server's own answers count, refusals included; answers that every client gets, or that a proxy gives, do not.
func TestLastHeard(t *testing.T) {
	const asJSON, asText, asHTML = "application/json", "text/plain; charset=utf-8", "text/html; charset=utf-8"
	for _, tc := range []struct {
		code  int
		kind  string
		heard bool
	}{
		{200, asJSON, true}, {200, "application/json;stream=watch", true}, {200, asText, true}, {200, "", true}, {201, asJSON, true}, {200, asHTML, false},
		{302, asHTML, false}, {304, "", false},
		{400, asJSON, true}, {403, asJSON, true}, {404, asJSON + "; charset=utf-8", true}, {409, asJSON, true}, {410, asJSON, true}, {422, asJSON, true},
		{403, asHTML, false}, {404, asText, false}, {404, "", false}, {404, "application/json-seq", false},
		{401, asJSON, false}, {407, asJSON, false}, {408, asJSON, false}, {429, asJSON, false},
		{500, asJSON, false}, {502, asHTML, false}, {503, asJSON, false}, {504, asJSON, false},
	} {
		t.Run(fmt.Sprint(tc.code, " ", tc.kind), func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{tc.kind}
				w.WriteHeader(tc.code)
				if tc.code != http.StatusNotModified {
					_, _ = w.Write([]byte(`{}`))
				}
			})
			c := dial(t, &rest.Config{Host: s.URL})
			if !c.LastHeard().IsZero() {
				t.Error("heard before anything was asked")
			}
			_, _ = get(t, c, "/") // the caller's error is not tested here
			if got := !c.LastHeard().IsZero(); got != tc.heard {
				t.Errorf("contact: %t", got)
			}
		})
	}
}

// TestBodiesAreSentOnce: with their length, their type, and again from the start if net/http has to repeat a request that did not leave.
func TestBodiesAreSentOnce(t *testing.T) {
	c := dial(t, &rest.Config{Host: "https://x.example/base", UserAgent: "one"})
	r := c.request(t.Context(), Request{Method: http.MethodPatch, Path: "/y", Body: []byte("body"), ContentType: "text/x"})
	if r.ContentLength != 4 || r.Header.Get("Content-Type") != "text/x" || r.URL.String() != "https://x.example/base/y" || r.UserAgent() != "one" {
		t.Errorf("got %+v", r)
	}
	again, err := r.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, 4)
	if n, _ := again.Read(content); string(content[:n]) != "body" {
		t.Errorf("the body again: %q", content[:n])
	}
	if c.Base().Host != "x.example" {
		t.Errorf("base %v", c.Base())
	}
}

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]*rest.Config{
		"URL":          {Host: "http://a b"},
		"CA":           {Host: "https://a", TLSClientConfig: rest.TLSClientConfig{CAFile: "/nowhere/ca.crt"}},
		"token file":   {Host: "https://a", BearerTokenFile: "/nowhere/token"},
		"two logins":   {Host: "https://a", BearerToken: "t", Username: "u", Password: "p"},
		"CA, insecure": {Host: "https://a", TLSClientConfig: rest.TLSClientConfig{Insecure: true, CAData: []byte("x")}},
	} {
		if _, err := New(cfg, Options{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
