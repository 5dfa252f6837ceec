package lean

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	kt "github.com/upstreamd/upstreamd/internal/kube/kubetest"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// TestMain sees to it that nothing goes through client-go's process-wide error handlers: they sleep, and they log past our logger.
func TestMain(m *testing.M) {
	var handled atomic.Pointer[string]
	utilruntime.ErrorHandlers = []utilruntime.ErrorHandler{func(_ context.Context, err error, msg string, kv ...any) {
		text := fmt.Sprint(err, msg, kv)
		handled.Store(&text)
	}}
	code := m.Run()
	if text := handled.Load(); text != nil {
		fmt.Fprintln(os.Stderr, "the global error handler was called:", *text)
		code = 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// source runs a watch against h, in a bubble.
func source(t *testing.T, h http.Handler, want ref.Want, s Settings) (*kt.Recorder, *client.Conn) {
	t.Helper()
	conn, err := client.New(kt.Memory(t, h), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	path, err := client.ResourcePath(kt.Deployments, "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	r := kt.NewRecorder()
	if s.Backoff == (Backoff{}) {
		s.Backoff = Backoff{Initial: time.Second, Max: 30 * time.Second}
	}
	kt.Run(t, func(ctx context.Context) { NewSource(conn, path, want, s, nil).Watch(ctx, r.Emit) })
	return r, conn
}

var (
	a1, a2, a3 = kt.Object("ns", "a", 1), kt.Object("ns", "a", 2), kt.Object("ns", "a", 3)
	b1, b5     = kt.Object("ns", "b", 1), kt.Object("ns", "b", 5)
)

// TestWatchSays: for the server's behaviour, request by request, the events that a watch reports.
func TestWatchSays(t *testing.T) {
	for name, tc := range map[string]struct {
		script   []http.HandlerFunc
		settings Settings
		want     ref.Want
		after    time.Duration // how long it runs; default 20 s
		expect   []string
		asked    []string // parts of the queries, request by request; nil: not looked at
	}{
		"streaming list, then changes": {
			script: []http.HandlerFunc{kt.Watch(
				kt.Event("ADDED", b1), kt.Event("ADDED", a1), kt.InitialEnd(3),
				kt.Event("MODIFIED", a2), kt.Event("ADDED", kt.Object("", "c", 4)), kt.Bookmark(9), kt.Event("DELETED", b5))},
			want:   ref.Want{Selector: "x=y"},
			expect: []string{"Listed ns/a@1 ns/b@1", "Changed ns/a@2", "Changed c@4", "Deleted ns/b@5"},
			asked:  []string{"allowWatchBookmarks=true labelSelector=x%3Dy resourceVersionMatch=NotOlderThan sendInitialEvents=true watch=true"},
		},
		"nothing there": {script: []http.HandlerFunc{kt.Watch(kt.InitialEnd(3))}, expect: []string{"Listed"}},
		"an object listed twice by the stream counts once": {
			script: []http.HandlerFunc{kt.Watch(kt.Event("ADDED", a1), kt.Event("MODIFIED", a2), kt.Event("ADDED", b1), kt.Event("DELETED", b5), kt.InitialEnd(5))},
			expect: []string{"Listed ns/a@2"},
		},
		"no streaming lists: pages": {
			script: []http.HandlerFunc{
				kt.NoStreamingLists, kt.List("7", "two", a1), kt.List("7", "", b1), kt.Watch(kt.Event("MODIFIED", a2)),
			},
			settings: Settings{PageSize: 1},
			want:     ref.Want{Selector: "x=y"},
			expect:   []string{"Listed ns/a@1 ns/b@1", "Changed ns/a@2"},
			asked: []string{
				"sendInitialEvents", "labelSelector=x%3Dy limit=1 resourceVersion=0", "continue=two labelSelector=x%3Dy limit=1",
				"allowWatchBookmarks=true labelSelector=x%3Dy resourceVersion=7",
			},
		},
		"a page expires: all in one piece": {
			script: []http.HandlerFunc{
				kt.NoStreamingLists, kt.List("7", "two", a1), kt.Status(410, "Expired"), kt.List("8", "", a2, b1), kt.Watch(),
			},
			expect: []string{"Listed ns/a@2 ns/b@1"},
			asked:  []string{"", "limit=500", "continue=two", "!limit", "resourceVersion=8"},
		},
		"a page fails: again from the first": {
			script: []http.HandlerFunc{
				kt.NoStreamingLists, kt.List("7", "two", a1), kt.Status(500, "InternalError"), kt.List("8", "", a2, b1), kt.Watch(),
			},
			expect: []string{"Failed told so", "Listed ns/a@2 ns/b@1"},
		},
		"server before 1.27 ignores what it does not know": {
			script: []http.HandlerFunc{
				kt.Watch(kt.Event("ADDED", a1)), kt.List("7", "", a1, b1), kt.Watch(kt.Event("MODIFIED", a2)),
			},
			after:  time.Minute,
			expect: []string{"Listed ns/a@1 ns/b@1", "Changed ns/a@2"},
			asked:  []string{"sendInitialEvents", "limit=500", "resourceVersion=7 !sendInitialEvents"},
		},
		"bookmarks move the resourceVersion on": {
			script: []http.HandlerFunc{kt.Closed(kt.Event("ADDED", a1), kt.InitialEnd(3), kt.Bookmark(42)), kt.Watch(kt.Event("MODIFIED", a2))},
			expect: []string{"Listed ns/a@1", "Changed ns/a@2"},
			asked:  []string{"sendInitialEvents=true", "resourceVersion=42 !sendInitialEvents"},
		},
		"closed by the server: on from there": {
			script: []http.HandlerFunc{kt.Closed(kt.Event("ADDED", a1), kt.InitialEnd(3), kt.Event("MODIFIED", a2)), kt.Watch(kt.Event("DELETED", a3))},
			expect: []string{"Listed ns/a@1", "Changed ns/a@2", "Deleted ns/a@3"},
			asked:  []string{"sendInitialEvents=true", "resourceVersion=2 !sendInitialEvents"},
		},
		"connection reset: said, and on from there": {
			script: []http.HandlerFunc{kt.Reset(kt.Event("ADDED", a1), kt.InitialEnd(3), kt.Event("MODIFIED", a2)), kt.Watch(kt.Event("DELETED", a3))},
			expect: []string{"Listed ns/a@1", "Changed ns/a@2", "Failed watch broken: unexpected EOF", "Resumed", "Deleted ns/a@3"},
			asked:  []string{"sendInitialEvents=true", "resourceVersion=2 !sendInitialEvents"},
		},
		"reset in the streaming list: it begins anew": {
			script: []http.HandlerFunc{kt.Reset(kt.Event("ADDED", a1)), kt.Watch(kt.Event("ADDED", b1), kt.InitialEnd(3))},
			expect: []string{"Failed watch broken", "Listed ns/b@1"},
		},
		"410 in the stream: listed again": {
			script: []http.HandlerFunc{
				kt.Watch(kt.Event("ADDED", a1), kt.Event("ADDED", b1), kt.InitialEnd(3), kt.Gone), kt.Watch(kt.Event("ADDED", a2), kt.InitialEnd(9)),
			},
			expect: []string{"Listed ns/a@1 ns/b@1", "Listed ns/a@2"},
			asked:  []string{"sendInitialEvents=true", "sendInitialEvents=true"},
		},
		"410 without streaming lists: listed by pages as it is now": {
			script: []http.HandlerFunc{
				kt.NoStreamingLists, kt.List("7", "", a1, b1), kt.Watch(kt.Gone), kt.List("9", "two", a2), kt.List("9", "", b5), kt.Watch(),
			},
			expect: []string{"Listed ns/a@1 ns/b@1", "Listed ns/a@2 ns/b@5"},
			asked: []string{
				"sendInitialEvents", "limit=500 resourceVersion=0 !resourceVersionMatch", "watch=true resourceVersion=7",
				"limit=500 resourceVersion=7 resourceVersionMatch=NotOlderThan", "continue=two limit=500 !resourceVersion", "watch=true resourceVersion=9",
			},
		},
		"410 at the door: listed again": {
			script: []http.HandlerFunc{
				kt.Closed(kt.Event("ADDED", a1), kt.InitialEnd(3), kt.Pause), kt.Status(410, "Expired"), kt.Watch(kt.Event("ADDED", a2), kt.InitialEnd(9)),
			},
			expect: []string{"Listed ns/a@1", "Listed ns/a@2"},
			asked:  []string{"", "resourceVersion=3 !sendInitialEvents", "sendInitialEvents=true"},
		},
		"a server that went back in time: listed again, as it is now": {
			script: []http.HandlerFunc{
				kt.Closed(kt.Event("ADDED", a1), kt.InitialEnd(300), kt.Pause),
				kt.JSON(504, `{"kind":"Status","status":"Failure","reason":"Timeout","code":504,"details":{"causes":[{"reason":"ResourceVersionTooLarge","message":"Too large resource version"}]}}`),
				kt.JSON(504, `{"kind":"Status","status":"Failure","reason":"Timeout","code":504,"details":{"causes":[{"reason":"ResourceVersionTooLarge","message":"Too large resource version"}]}}`),
				kt.Watch(kt.Event("ADDED", a2), kt.InitialEnd(2)),
			},
			expect: []string{"Listed ns/a@1", "Listed ns/a@2"},
			asked:  []string{"", "resourceVersion=300", "resourceVersion=300 sendInitialEvents", "!resourceVersion=300 sendInitialEvents"},
		},
		"not served for a moment: a complete list, not a resume": {
			script: []http.HandlerFunc{
				kt.Closed(kt.Event("ADDED", a1), kt.Event("ADDED", b1), kt.InitialEnd(3), kt.Pause),
				kt.JSON(404, "404 page not found"),
				kt.Watch(kt.Event("ADDED", a2), kt.Event("ADDED", b1), kt.InitialEnd(9)),
			},
			settings: Settings{Absent: absent},
			expect:   []string{"Listed ns/a@1 ns/b@1", "Listed", "Listed ns/a@2 ns/b@1"},
			asked:    []string{"", "resourceVersion=3 !sendInitialEvents", "sendInitialEvents=true !resourceVersion=3"},
		},
		"not served for a moment, without streaming lists: a complete list at the present version": {
			script: []http.HandlerFunc{
				kt.NoStreamingLists, kt.List("7", "", a1, b1), kt.Closed(kt.Pause), kt.JSON(404, "404 page not found"), kt.JSON(404, "404 page not found"),
				kt.List("9", "", a2, b1), kt.Watch(kt.Event("MODIFIED", a3)),
			},
			settings: Settings{Absent: absent},
			expect:   []string{"Listed ns/a@1 ns/b@1", "Failed watch closed at once", "Listed", "Listed ns/a@2 ns/b@1", "Changed ns/a@3"},
			asked: []string{
				"sendInitialEvents", "limit=500", "watch=true resourceVersion=7", "watch=true resourceVersion=7", "limit=500 !resourceVersion",
				"limit=500 !resourceVersion", "watch=true resourceVersion=9",
			},
		},
		"ERROR in the stream": {
			script: []http.HandlerFunc{
				kt.Watch(kt.Event("ADDED", a1), kt.InitialEnd(3), kt.Pause, `{"type":"ERROR","object":{"kind":"Status","code":500,"reason":"InternalError","message":"etcd is ill"}}`),
				kt.Watch(kt.Event("MODIFIED", a2)),
			},
			expect: []string{"Listed ns/a@1", "Failed etcd is ill", "Resumed", "Changed ns/a@2"},
		},
		"forbidden, then allowed": {
			script: []http.HandlerFunc{kt.Status(403, "Forbidden"), kt.Status(403, "Forbidden"), kt.Watch(kt.InitialEnd(3))},
			expect: []string{"Failed told so", "Failed told so", "Listed"},
		},
		"unknown resource, then known": {
			script: []http.HandlerFunc{kt.JSON(404, "404 page not found"), kt.Watch(kt.InitialEnd(3))},
			expect: []string{"Failed the server could not find the requested resource", "Listed"},
		},
		"not kt.JSON, but HTML": {
			script: []http.HandlerFunc{
				func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "text/html; charset=utf-8")
				}, kt.Watch(kt.InitialEnd(3))},
			expect: []string{"Failed GET /apis/apps/v1/deployments: the answer is HTML", "Listed"},
		},
		"redirects": {
			script: []http.HandlerFunc{redirect(301), redirect(307), redirect(308), kt.Watch(kt.InitialEnd(3))},
			expect: []string{"Failed redirect refused", "Failed redirect refused", "Failed redirect refused", "Listed"},
		},
		"compressed": {
			script: []http.HandlerFunc{
				func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") }, kt.Watch(kt.InitialEnd(3))},
			expect: []string{"Failed GET /apis/apps/v1/deployments: compressed answer refused", "Listed"},
		},
		"a bad object does not end the stream": {
			script: []http.HandlerFunc{kt.Watch(
				kt.Event("ADDED", a1), kt.Event("ADDED", `{"metadata":{"name":"bad","namespace":"ns","resourceVersion":7}}`), kt.InitialEnd(3),
				`{"type":"MODIFIED","object":{"metadata":{"name":"bad","namespace":"ns"},"status":{"n":}}}`, "?", kt.Event("MODIFIED", a2))},
			expect: []string{"Listed ns/a@1 ns/bad (bad)", "Changed ns/bad (bad)", "Changed  (bad)", "Changed ns/a@2"},
		},
		"a bad object does not lose the place": {
			script: []http.HandlerFunc{
				kt.Closed(kt.Event("ADDED", a1), kt.InitialEnd(3), kt.Event("MODIFIED", `{"metadata":{"name":"bad","resourceVersion":{}}}`)), kt.Watch()},
			expect: []string{"Listed ns/a@1", "Changed bad (bad)"},
			asked:  []string{"", "resourceVersion=3"},
		},
		"too large": {
			script: []http.HandlerFunc{kt.Watch(
				kt.Event("ADDED", a1), kt.InitialEnd(3),
				`{"type":"MODIFIED","object":{"metadata":{"name":"big"},"x":"`+strings.Repeat("x", 5000)+`"}}`, kt.Event("MODIFIED", a2))},
			settings: Settings{Limits: Limits{Object: 1000}},
			expect:   []string{"Listed ns/a@1", "Changed big (bad)", "Changed ns/a@2"},
		},
		"too large without a name": {
			script: []http.HandlerFunc{
				kt.Watch(kt.Event("ADDED", a1), kt.InitialEnd(3), kt.Pause, `{"type":"MODIFIED","object":{"x":"`+strings.Repeat("x", 5000)+`"}}`),
				kt.Watch(kt.Event("ADDED", a2), kt.InitialEnd(9)),
			},
			settings: Settings{Limits: Limits{Object: 1000}},
			expect:   []string{"Listed ns/a@1", "Failed watch broken: too large", "Listed ns/a@2"},
			asked:    []string{"", "sendInitialEvents"},
		},
		"a watch without a sign of life is opened anew": {
			script: []http.HandlerFunc{kt.Watch(kt.Event("ADDED", a1), kt.InitialEnd(3), kt.Bookmark(9)), kt.Watch(kt.Event("MODIFIED", a2))},
			after:  151 * time.Second,
			expect: []string{"Listed ns/a@1", "Failed no sign of life for 2m30s", "Resumed", "Changed ns/a@2"},
			asked:  []string{"", "resourceVersion=9 !sendInitialEvents"},
		},
		"a watch that never had a bookmark is opened anew, and is not broken": {
			script: []http.HandlerFunc{kt.Watch(kt.Event("ADDED", a1), kt.InitialEnd(3)), kt.Watch(), kt.Watch(kt.Event("MODIFIED", a2))},
			after:  301 * time.Second,
			expect: []string{"Listed ns/a@1", "Changed ns/a@2"},
			asked:  []string{"", "resourceVersion=3 !sendInitialEvents", "resourceVersion=3 !sendInitialEvents"},
		},
		"a busy server before 1.27: pages": {
			script: []http.HandlerFunc{busy("MODIFIED"), kt.List("7", "", a1), kt.Watch(kt.Event("MODIFIED", a2))},
			expect: []string{"Listed ns/a@1", "Changed ns/a@2"},
			asked:  []string{"sendInitialEvents", "limit=500", "resourceVersion=7 !sendInitialEvents"},
		},
		"a server before 1.27 where objects are made all the time: pages": {
			script: []http.HandlerFunc{busy("ADDED"), kt.List("7", "", a1), kt.Watch(kt.Event("MODIFIED", a2))},
			expect: []string{"Listed ns/a@1", "Changed ns/a@2"},
		},
		"a bookmark that ends no list: pages": {
			script: []http.HandlerFunc{kt.Watch(kt.Event("ADDED", a1), kt.Bookmark(3)), kt.List("7", "", a1), kt.Watch(kt.Event("MODIFIED", a2))},
			after:  3 * time.Second,
			expect: []string{"Listed ns/a@1", "Changed ns/a@2"},
		},
		"a long streaming list": {
			script: []http.HandlerFunc{
				func(w http.ResponseWriter, r *http.Request) {
					for i := range 60 {
						for j := range 100 {
							_, _ = io.WriteString(w, kt.Event("ADDED", kt.Object("ns", fmt.Sprint(i, "-", j), 1))+"\n")
						}
						w.(http.Flusher).Flush()
						kt.Sleep(r, time.Second)
					}
					kt.Closed(kt.InitialEnd(3))(w, r)
				}, kt.Watch()},
			want:   ref.Want{Labels: []string{"x"}},
			after:  70 * time.Second,
			expect: nil,
		},
		"refused for another reason each time: each is reported": {
			script: []http.HandlerFunc{
				kt.Reset(kt.Event("ADDED", a1), kt.InitialEnd(3), kt.Pause), kt.Status(503, "ServiceUnavailable"), kt.Status(403, "Forbidden"), kt.Status(401, "Unauthorized"),
				kt.Watch(kt.Event("MODIFIED", a2))},
			after:  time.Minute,
			expect: []string{"Listed ns/a@1", "Failed watch broken: unexpected EOF", "Failed told so", "Failed told so", "Failed told so", "Resumed", "Changed ns/a@2"},
		},
		"410 again and again: reported": {
			script: []http.HandlerFunc{
				kt.Closed(kt.Event("ADDED", a1), kt.InitialEnd(3), kt.Pause), kt.Status(410, "Expired"), kt.Status(410, "Expired"), kt.Status(410, "Expired"),
				kt.Watch(kt.Event("ADDED", a2), kt.InitialEnd(9))},
			expect: []string{"Listed ns/a@1", "Failed told so", "Listed ns/a@2"},
		},
		"a server that does not answer": {
			script: []http.HandlerFunc{hang, kt.Watch(kt.InitialEnd(3))},
			after:  77 * time.Second,
			expect: []string{"Failed no answer from the server within 1m15s", "Listed"},
		},
		"a list that stops in the middle": {
			script: []http.HandlerFunc{
				kt.NoStreamingLists,
				func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, `{"items":[`+a1+`,`)
					w.(http.Flusher).Flush()
					hang(w, r)
				},
				kt.List("7", "", a1), kt.Watch()},
			after:  62 * time.Second,
			expect: []string{"Failed no sign of life for 1m0s", "Listed ns/a@1"},
		},
		"a slow list is none that stops": {
			script: []http.HandlerFunc{
				kt.NoStreamingLists,
				func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, `{"items":[`+a1)
					for i := range 10 {
						w.(http.Flusher).Flush()
						kt.Sleep(r, 30*time.Second)
						_, _ = io.WriteString(w, ","+kt.Object("z", fmt.Sprint(i), i))
					}
					_, _ = io.WriteString(w, `]}`)
				}, kt.Watch()},
			after:  301 * time.Second,
			expect: []string{"Listed ns/a@1 z/0@0 z/1@1 z/2@2 z/3@3 z/4@4 z/5@5 z/6@6 z/7@7 z/8@8 z/9@9"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script := kt.NewScript(tc.script...)
				r, _ := source(t, script, tc.want, tc.settings)
				if tc.after == 0 {
					tc.after = 20 * time.Second
				}
				time.Sleep(tc.after)
				synctest.Wait()
				got := r.All()
				for i := range min(len(got), len(tc.expect)) {
					if why, ok := strings.CutPrefix(tc.expect[i], "Failed"); ok && strings.HasPrefix(got[i], "Failed") && strings.Contains(got[i], why) {
						got[i] = tc.expect[i]
					}
				}
				if tc.expect == nil {
					if len(got) != 1 || !strings.HasPrefix(got[0], "Listed") || len(r.Events()[0].Objects) != 6000 {
						t.Errorf("%d events", len(got))
					}
					return
				}
				if diff := cmp.Diff(tc.expect, got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
				queries(t, tc.asked, script.Asked())
			})
		})
	}
}

// queries compares the queries of requests with parts that they must hold; a part that begins with "!" must not be there.
func queries(t *testing.T, want, asked []string) {
	t.Helper()
	if want == nil {
		return
	}
	if len(want) != len(asked) {
		t.Fatalf("asked %d times, want %d: %q", len(asked), len(want), asked)
	}
	for i, w := range want {
		for part := range strings.FieldsSeq(w) {
			part, not := strings.CutPrefix(part, "!")
			if strings.Contains(asked[i], part) == not {
				t.Errorf("request %d: %s, want %s", i, asked[i], w)
			}
		}
	}
}

func redirect(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://elsewhere.example"+r.URL.Path, code)
	}
}

// busy answers as an ordinary watch of a resource on which something happens every second.
func busy(kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 1; r.Context().Err() == nil; i++ {
			_, _ = io.WriteString(w, kt.Event(kind, kt.Object("ns", "a", i))+"\n")
			w.(http.Flusher).Flush()
			kt.Sleep(r, time.Second)
		}
	}
}

func absent(context.Context) bool { return true }

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// TestPace: attempts are spaced out, a server's own wish is heeded, and a healthy watch forgets the past.
func TestPace(t *testing.T) {
	for name, tc := range map[string]struct {
		step   http.HandlerFunc
		after  time.Duration
		expect []time.Duration // when requests came, since the start
	}{
		"doubling to the most": {
			step: kt.Status(500, "InternalError"), after: 30 * time.Second,
			expect: seconds(0, 1, 3, 7, 12, 17, 22, 27),
		},
		"forbidden: every 10 s for 5 min, then backing off to a minute": {
			step: kt.Status(403, "Forbidden"), after: 600 * time.Second,
			expect: append(seconds(0), append(every(10, 300), seconds(310, 330, 370, 430, 490, 550)...)...),
		},
		"429 with Retry-After": {
			step: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "20")
				kt.Status(429, "TooManyRequests")(w, r)
			}, after: 90 * time.Second,
			expect: seconds(0, 20, 40, 60, 80),
		},
		"Retry-After has a limit": {
			step: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "100000")
				kt.JSON(503, "busy")(w, r)
			}, after: 130 * time.Second,
			expect: seconds(0, 60, 120),
		},
		"closed at once, for ever": {step: kt.Closed(), after: 20 * time.Second, expect: nil},
		"one event and closed, for ever": {
			step: kt.Closed(kt.Event("ADDED", a1)), after: 20 * time.Second,
			expect: seconds(0, 1, 3, 7, 12, 17),
		},
		"410 for ever": {step: kt.Status(410, "Expired"), after: 20 * time.Second, expect: nil},
		"410 in the stream for ever": {
			step: kt.Closed(kt.Event("ADDED", a1), kt.InitialEnd(3), kt.Gone), after: 20 * time.Second,
			expect: seconds(0, 1, 3, 7, 12, 17),
		},
		"closed every 10 s: at once again": {
			step: func(w http.ResponseWriter, r *http.Request) {
				kt.Closed(kt.Event("ADDED", a1), kt.InitialEnd(3))(w, r)
				kt.Sleep(r, 10*time.Second)
			}, after: 45 * time.Second,
			expect: seconds(0, 10, 20, 30, 40),
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var at []time.Duration
				source(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					at = append(at, time.Since(start).Truncate(100*time.Millisecond))
					tc.step(w, r)
				}), ref.Want{}, Settings{})
				time.Sleep(tc.after)
				synctest.Wait()
				if tc.expect == nil && len(at) > 12 {
					t.Errorf("%d requests in %v: %v", len(at), tc.after, at)
				}
				if diff := cmp.Diff(tc.expect, at); tc.expect != nil && diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

// every is seconds from step on, up to last.
func every(step, last int) []time.Duration {
	var all []time.Duration
	for at := step; at <= last; at += step {
		all = append(all, time.Duration(at)*time.Second)
	}
	return all
}

func seconds(at ...int) []time.Duration {
	var all []time.Duration
	for _, s := range at {
		all = append(all, time.Duration(s)*time.Second)
	}
	return all
}

// TestStop: in any state, a watch ends within a second of its context, and emits nothing afterwards.
func TestStop(t *testing.T) {
	for name, step := range map[string]http.HandlerFunc{
		"while it waits for the next attempt": kt.Status(500, "InternalError"),
		"while the server does not answer":    hang,
		"while it watches":                    kt.Watch(kt.Event("ADDED", a1), kt.InitialEnd(3)),
		"while it lists": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("watch") {
				kt.NoStreamingLists(w, r)
			} else {
				hang(w, r)
			}
		},
		"while a streaming list is under way": kt.Watch(kt.Event("ADDED", a1)),
		"while the server asks for patience": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "50")
			kt.Status(429, "TooManyRequests")(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, err := client.New(kt.Memory(t, step), client.Options{})
				if err != nil {
					t.Fatal(err)
				}
				r := kt.NewRecorder()
				stop := kt.Run(t, func(ctx context.Context) {
					NewSource(conn, "/api/v1/pods", ref.Want{}, Settings{}, nil).Watch(ctx, r.Emit)
				})
				time.Sleep(10 * time.Second)
				said, asked := len(r.All()), time.Now()
				stop()
				if took := time.Since(asked); took > time.Second {
					t.Errorf("stopping took %v", took)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if all := r.All(); len(all) != said {
					t.Errorf("said after the end: %q", all[said:])
				}
				conn.Close()
			})
		})
	}
}

// TestJitter: waits are spread, within the share that was given.
func TestJitter(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 100 {
		p := pace{backoff: Backoff{Initial: time.Second, Max: time.Minute, Jitter: 0.5}}
		p.failed(nil)
		if p.due < time.Second || p.due > 1500*time.Millisecond {
			t.Fatalf("waits %v", p.due)
		}
		seen[p.due] = true
	}
	if len(seen) < 50 {
		t.Errorf("only %d different waits of 100", len(seen))
	}
}

// TestNothingIsSaidAfterTheEnd: a list that is under way when the reflector stops may fail later.
func TestNothingIsSaidAfterTheEnd(t *testing.T) {
	r := kt.NewRecorder()
	f := &follower{emit: r.Emit}
	f.failed(io.EOF)
	f.stop()
	f.failed(io.EOF)
	if said := r.All(); len(said) != 1 {
		t.Errorf("said %q", said)
	}
}
