package memapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upstreamd/upstreamd/internal/memapi"
)

const (
	configMaps = "/api/v1/namespaces/default/configmaps"
	statusPath = "/apis/apps/v1/namespaces/default/deployments/d/status"
)

// faulty is a server with a Deployment d that injects a fault into requests with the header Faulty.
func faulty(t *testing.T, fault memapi.Fault) *memapi.Server {
	t.Helper()
	s := memapi.New(memapi.Options{Fault: func(r *http.Request) memapi.Fault {
		if r.Header.Get("Faulty") == "" {
			return memapi.Fault{}
		}
		return fault
	}})
	t.Cleanup(s.Close)
	if _, err := s.Cluster("").Create(deployments, deploymentSpec("d")); err != nil {
		t.Fatal(err)
	}
	return s
}

func status(t *testing.T, s *memapi.Server) string {
	t.Helper()
	o, err := s.Cluster("").Get(deployments, "default", "d")
	if err != nil {
		t.Fatal(err)
	}
	return string(o.Status)
}

type outcome struct {
	code int
	body string
	head http.Header
	err  error // of the call, or of reading the body
}

func call(t *testing.T, rt http.RoundTripper, method, url, body string) outcome {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Faulty", "yes")
	if method == http.MethodPatch {
		r.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := rt.RoundTrip(r)
	if err != nil {
		return outcome{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return outcome{resp.StatusCode, string(text), resp.Header, err}
}

func TestFaultsOfCalls(t *testing.T) {
	for name, tt := range map[string]struct {
		fault   memapi.Fault
		written bool
		takes   time.Duration
		check   func(outcome) bool
	}{
		"none":     {memapi.Fault{}, true, 0, func(o outcome) bool { return o.code == 200 && o.err == nil }},
		"refused":  {memapi.Fault{Refuse: true}, false, 0, func(o outcome) bool { return errors.Is(o.err, syscall.ECONNREFUSED) }},
		"slow":     {memapi.Fault{Delay: 10 * time.Second}, true, 10 * time.Second, func(o outcome) bool { return o.code == 200 }},
		"held":     {memapi.Fault{Hold: 10 * time.Second}, true, 10 * time.Second, func(o outcome) bool { return o.code == 200 }},
		"lost":     {memapi.Fault{LoseAnswer: true}, true, 0, func(o outcome) bool { return errors.Is(o.err, syscall.ECONNRESET) }},
		"cut":      {memapi.Fault{Truncate: 10}, true, 0, func(o outcome) bool { return errors.Is(o.err, io.ErrUnexpectedEOF) && len(o.body) == 10 }},
		"conflict": {memapi.Fault{Status: 409}, false, 0, func(o outcome) bool { return o.code == 409 && strings.Contains(o.body, `"reason":"Conflict"`) }},
		"throttled": {memapi.Fault{Status: 429, RetryAfter: 3 * time.Second, Delay: time.Second}, false, time.Second, func(o outcome) bool {
			return o.code == 429 && o.head.Get("Retry-After") == "3"
		}},
		"own body": {memapi.Fault{Status: 500, Body: []byte("<html>")}, false, 0, func(o outcome) bool { return o.code == 500 && o.body == "<html>" }},
		"redirected": {memapi.Fault{Status: 307, Header: http.Header{"Location": {"http://elsewhere/"}}}, false, 0, func(o outcome) bool {
			return o.code == 307 && o.head.Get("Location") == "http://elsewhere/"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := faulty(t, tt.fault)
				started := time.Now()
				o := call(t, s.Transport(), http.MethodPatch, "http://memapi"+statusPath, `{"status":{"replicas":7}}`)
				if !tt.check(o) {
					t.Errorf("got %+v", o)
				}
				if took := time.Since(started); took != tt.takes {
					t.Errorf("took %v, want %v", took, tt.takes)
				}
				if written := status(t, s) == `{"replicas":7}`; written != tt.written {
					t.Errorf("written: %v, want %v", written, tt.written)
				}
			})
		})
	}
}

func TestFaultsOverASocket(t *testing.T) {
	for name, fault := range map[string]memapi.Fault{"refused": {Refuse: true}, "lost": {LoseAnswer: true}, "cut": {Truncate: 10}} {
		t.Run(name, func(t *testing.T) {
			s := faulty(t, fault)
			server := httptest.NewServer(s)
			defer server.Close()
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			o := call(t, transport, http.MethodGet, server.URL+configMaps, "")
			if o.err == nil || name == "cut" && len(o.body) != 10 {
				t.Errorf("got %+v", o)
			}
		})
	}
}

// watched records a watch as a client observes it; events come each second from the fifth on.
func watched(t *testing.T, fault memapi.WatchFault, query string) (kinds string, last string, err error) {
	t.Helper()
	s := faulty(t, memapi.Fault{Watch: fault})
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://memapi/apis/apps/v1/deployments?watch=true"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Faulty", "yes")
	resp, err := s.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	for i := range 3 {
		time.AfterFunc(time.Duration(5+i)*time.Second, func() {
			if _, err := s.Cluster("").UpdateStatus(deployments, "default", "d", deploymentStatus(i)); err != nil {
				t.Error(err)
			}
		})
	}
	lines := json.NewDecoder(resp.Body)
	for {
		var e struct {
			Type   string
			Object struct {
				Metadata struct{ ResourceVersion string }
				Code     int
			}
		}
		if err := lines.Decode(&e); err != nil {
			return kinds, last, err
		}
		kinds += e.Type[:1]
		last = e.Object.Metadata.ResourceVersion
		if e.Type == "ERROR" && e.Object.Code != http.StatusGone {
			t.Errorf("got an ERROR event with code %d", e.Object.Code)
		}
	}
}

func TestFaultsOfWatches(t *testing.T) {
	const bookmarks = "&allowWatchBookmarks=true"
	for name, tt := range map[string]struct {
		fault memapi.WatchFault
		query string
		kinds string // first letters of the events' types
		err   error
	}{
		"none":                     {memapi.WatchFault{}, bookmarks, "AMMMBB", context.DeadlineExceeded},
		"none, without bookmarks":  {memapi.WatchFault{}, "", "AMMM", context.DeadlineExceeded},
		"none, for a time":         {memapi.WatchFault{}, "&timeoutSeconds=6", "AM", io.EOF},
		"reset after 2":            {memapi.WatchFault{Kind: memapi.Reset, After: 2}, "", "AM", syscall.ECONNRESET},
		"reset at once":            {memapi.WatchFault{Kind: memapi.Reset}, "", "", syscall.ECONNRESET},
		"reset within 5.5 s":       {memapi.WatchFault{Kind: memapi.Reset, Within: 5500 * time.Millisecond}, "", "AM", syscall.ECONNRESET},
		"finished after 1":         {memapi.WatchFault{Kind: memapi.Finish, After: 1}, "", "A", io.EOF},
		"expired after 2":          {memapi.WatchFault{Kind: memapi.Expire, After: 2}, "", "AME", io.EOF},
		"silent after 2":           {memapi.WatchFault{Kind: memapi.Silence, After: 2}, bookmarks, "AM", context.DeadlineExceeded},
		"only bookmarks after 2":   {memapi.WatchFault{Kind: memapi.OnlyBookmarks, After: 2}, bookmarks, "AMBB", context.DeadlineExceeded},
		"silent in the first list": {memapi.WatchFault{Kind: memapi.Silence}, bookmarks + "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", "", context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kinds, _, err := watched(t, tt.fault, tt.query)
				if kinds != tt.kinds || !errors.Is(err, tt.err) {
					t.Errorf("got events %s and %v, want %s and %v", kinds, err, tt.kinds, tt.err)
				}
			})
		})
	}
}

func TestAFaultAtAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		when := make(chan struct{})
		time.AfterFunc(6500*time.Millisecond, func() { close(when) })
		kinds, _, err := watched(t, memapi.WatchFault{Kind: memapi.Finish, When: when}, "")
		if kinds != "AMM" || err != io.EOF {
			t.Errorf("got events %s and %v", kinds, err)
		}
	})
}

func TestBookmarksOfABrokenWatchDoNotPassWhatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, healthy, _ := watched(t, memapi.WatchFault{}, "&allowWatchBookmarks=true")
		_, broken, _ := watched(t, memapi.WatchFault{Kind: memapi.OnlyBookmarks, After: 2}, "&allowWatchBookmarks=true")
		if len(broken) != len(healthy) || broken >= healthy {
			t.Errorf("bookmarks carry %s, those of a healthy watch %s: a client that resumes there would miss events", broken, healthy)
		}
	})
}

func TestACancelledCallIsNotCarriedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := faulty(t, memapi.Fault{Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, method := range []string{http.MethodPatch, http.MethodGet} {
			r, err := http.NewRequestWithContext(ctx, method, "http://memapi"+statusPath, strings.NewReader(`{"status":{"replicas":7}}`))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Faulty", "yes")
			r.Header.Set("Content-Type", "application/merge-patch+json")
			if _, err := s.Transport().RoundTrip(r); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: got %v", method, err)
			}
		}
		if status(t, s) == `{"replicas":7}` {
			t.Error("written after its client had gone")
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memapi.New(memapi.Options{})
		resp := request(t, s, http.MethodGet, configMaps+"?watch=true", "")
		defer func() { _ = resp.Body.Close() }()
		time.AfterFunc(time.Second, s.Close)
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Errorf("the watch ended with %v", err)
		}
		if o := call(t, s.Transport(), http.MethodGet, "http://memapi"+configMaps, ""); !errors.Is(o.err, syscall.ECONNREFUSED) {
			t.Errorf("after Close: %+v", o)
		}
	})
}
