// Package kubetest helps to test clients of API servers: answers, scripts of answers, HTTP over memory that works inside testing/synctest,
// and a recorder of watch events.
package kubetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Deployments is the resource that most tests use.
var Deployments = ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"}

// Memory serves h over net.Pipe: no socket, so that it may run in a bubble of testing/synctest.
func Memory(t testing.TB, h http.Handler) *rest.Config {
	t.Helper()
	l := &listener{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: readFirst(h), ErrorLog: log.New(io.Discard, "", 0)} //nolint:gosec // a test's server
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return &rest.Config{Host: "http://memory", Dial: l.dial}
}

// readFirst reads a request's body before it is answered: net/http notices a client's disconnection only behind the body.
func readFirst(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		h.ServeHTTP(w, r)
	})
}

type listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (l *listener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Script answers one request after the other, each with its own step; the last step answers all further ones. It records the requests.
type Script struct {
	mu    sync.Mutex
	steps []http.HandlerFunc
	asked []string
}

// NewScript makes a script of steps.
func NewScript(steps ...http.HandlerFunc) *Script { return &Script{steps: steps} }

func (s *Script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Method+" "+r.URL.RequestURI())
	step := s.steps[0]
	if len(s.steps) > 1 {
		s.steps = s.steps[1:]
	}
	s.mu.Unlock()
	step(w, r)
}

// Asked are the requests so far: method, path and query.
func (s *Script) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// JSON answers with a body.
func JSON(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// Status answers with an error as API servers send it.
func Status(code int, reason string) http.HandlerFunc {
	return JSON(code, fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":"told so","reason":%q,"code":%d}`, reason, code))
}

// NoStreamingLists answers as servers do that know of them and do not have them.
func NoStreamingLists(w http.ResponseWriter, r *http.Request) { Status(422, "Invalid")(w, r) }

// List answers with a list of objects.
func List(version, next string, objects ...string) http.HandlerFunc {
	return JSON(200, fmt.Sprintf(`{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":%q,"continue":%q},"items":[%s]}`,
		version, next, strings.Join(objects, ",")))
}

// Watch answers with events, then keeps the stream open until the client goes away.
func Watch(events ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		send(w, r, events)
		<-r.Context().Done()
	}
}

// Closed answers with events, then closes the stream in good order.
func Closed(events ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { send(w, r, events) }
}

// Reset answers with events, then breaks the connection.
func Reset(events ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		send(w, r, events)
		panic(http.ErrAbortHandler)
	}
}

// Pause among the events of a step lets 2 s go by.
const Pause = "pause"

func send(w http.ResponseWriter, r *http.Request, events []string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	for _, e := range events {
		if e == Pause {
			w.(http.Flusher).Flush()
			Sleep(r, 2*time.Second)
			continue
		}
		_, _ = io.WriteString(w, e+"\n")
	}
	w.(http.Flusher).Flush()
}

// Sleep lets time go by, or the client go away.
func Sleep(r *http.Request, d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}

// Object is an object's JSON. The status holds the resourceVersion, so that it can be told from older ones.
func Object(namespace, name string, version int) string {
	return fmt.Sprintf(`{"metadata":{"namespace":%q,"name":%q,"uid":"uid-%s","resourceVersion":"%d"},"status":{"n":%d}}`,
		namespace, name, name, version, version)
}

// Event is an event's JSON.
func Event(kind, object string) string { return fmt.Sprintf(`{"type":%q,"object":%s}`, kind, object) }

// Bookmark is the event that says how far a watch has come.
func Bookmark(version int) string {
	return fmt.Sprintf(`{"type":"BOOKMARK","object":{"kind":"Deployment","metadata":{"resourceVersion":"%d"}}}`, version)
}

// InitialEnd is the bookmark that ends a streaming list.
func InitialEnd(version int) string {
	return fmt.Sprintf(`{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"%d","annotations":{"k8s.io/initial-events-end":"true"}}}}`, version)
}

// Gone is the event that says that a watch's resourceVersion is no longer known.
const Gone = `{"type":"ERROR","object":{"kind":"Status","status":"Failure","message":"too old resource version","reason":"Expired","code":410}}`

// Recorder keeps the events of a watch in short form: "Listed a ns/b", "Changed a", "Deleted a", "Failed <error>". Objects are written as
// workspace|namespace/name@version, as far as they have these.
type Recorder struct {
	mu     sync.Mutex
	said   []string
	events []ref.Event
	busy   bool
	read   int
	news   chan struct{}
}

// NewRecorder makes an empty recorder.
func NewRecorder() *Recorder { return &Recorder{news: make(chan struct{}, 1)} }

// Emit is a ref.Emit. It panics if two goroutines call it at once.
func (r *Recorder) Emit(e ref.Event) {
	r.mu.Lock()
	if r.busy {
		panic("two events at once")
	}
	r.busy = true
	r.mu.Unlock()
	short := Short(e)
	r.mu.Lock()
	r.busy = false
	r.said = append(r.said, short)
	r.events = append(r.events, e)
	r.mu.Unlock()
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// Short is an event in short form.
func Short(e ref.Event) string {
	var b strings.Builder
	b.WriteString([...]string{"Listed", "Changed", "Deleted", "Failed", "Left", "Scopes", "Resumed"}[e.Type])
	if e.Scope != "" {
		b.WriteString(" in " + string(e.Scope) + ":")
	}
	if e.Workspace != "" {
		b.WriteString(" " + string(e.Workspace))
	}
	for _, scope := range e.Scopes {
		fmt.Fprintf(&b, " %q", scope)
	}
	for _, o := range e.Objects {
		b.WriteString(" " + ref.Upstream{Workspace: o.Workspace, Namespace: o.Namespace, Name: o.Name}.String())
		if o.ResourceVersion != "" {
			b.WriteString("@" + o.ResourceVersion)
		}
		if o.Err != nil {
			b.WriteString(" (bad)")
		}
	}
	if e.Err != nil {
		b.WriteString(" " + e.Err.Error())
	}
	return b.String()
}

// All is all events so far, in short form.
func (r *Recorder) All() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.said)
}

// Events are all events so far.
func (r *Recorder) Events() []ref.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Next waits for the next event and returns its short form; the test fails if none comes for 30 s.
func (r *Recorder) Next(t testing.TB) string {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		r.mu.Lock()
		if r.read < len(r.said) {
			r.read++
			defer r.mu.Unlock()
			return r.said[r.read-1]
		}
		r.mu.Unlock()
		select {
		case <-r.news:
		case <-deadline:
			t.Fatalf("nothing more was said; so far %q", r.All())
		}
	}
}

// Expect waits for exactly these events, each begun by its text.
func (r *Recorder) Expect(t testing.TB, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := r.Next(t); !strings.HasPrefix(got, w) {
			t.Fatalf("said %q, want %q; all: %q", got, w, r.All())
		}
	}
}

// Run runs a watch in the background until the test ends, and waits for its end.
func Run(t testing.TB, watch func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		watch(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}
