package sim

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/memapi"
)

// network lies between the daemons and the API servers.
type network struct {
	seed  Seed
	plan  *plan
	trace *trace
	judge *judge
	log   zerolog.Logger // of the daemons
	// strike is asked before each write leaves: the daemon may be frozen right now, or the write so late on its way. Nil: nothing happens.
	strike func(*life, call) (late time.Duration)
	// denies is asked for the code that a write is refused with for good; 0: it is not. Nil: none is.
	denies func(call) int

	arrival sync.Mutex // held while a write is at its server
	writing *sent      // that write
}

// now separates the draws for a call from those for the same call at another time. Calls are not counted: whether one was begun in
// the instant in which its caller gave up may differ from run to run.
func (n *network) now() int { return int(time.Since(n.trace.begin)) }

// way leads one life of a daemon to one server.
type way struct {
	*network
	life     *life
	server   string
	inner    http.RoundTripper
	observed *observations // made over it; nil: none are kept
}

const (
	leastLatency = 100 * time.Microsecond
	mostLatency  = 4 * time.Millisecond
)

var (
	errRefused = &net.OpError{Op: "dial", Net: "memory", Err: syscall.ECONNREFUSED}
	errReset   = &net.OpError{Op: "read", Net: "memory", Err: syscall.ECONNRESET}
	errKilled  = errors.New("the daemon was killed")
)

type faultKey struct{}

// faultOf is the Fault option of the API servers: the decision of the network about a request.
func faultOf(r *http.Request) memapi.Fault {
	f, _ := r.Context().Value(faultKey{}).(memapi.Fault)
	return f
}

// RoundTrip implements http.RoundTripper.
func (w *way) RoundTrip(r *http.Request) (*http.Response, error) {
	c := callOf(r)
	kind := w.life.daemon + " → " + w.server + ": " + c.String()
	n := w.now()
	d := w.seed.draw(kind, n)
	called := time.Now()
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	late := time.Duration(0)
	if w.strike != nil && c.verb == "patch" {
		late = w.strike(w.life, c)
	}
	if late == 0 && !w.life.awake(d) {
		return nil, errKilled
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if o := w.plan.out(w.life.daemon, w.server); o != nil {
		if o.silent {
			return nil, w.nothing(r.Context())
		}
		w.pause(r.Context(), d.also(6).between(leastLatency, mostLatency)) // no two calls fail in one instant
		return nil, errRefused
	}
	h, name := w.plan.harm(w.life.daemon, w.server, c, harm.onNetwork, n)
	if name != "" {
		w.trace.note("%s: %s", kind, name)
	}
	if h.silent {
		return nil, w.nothing(r.Context())
	}
	if c.verb == "patch" {
		h = w.deny(c, h)
		h.late += late
		return w.write(r, c, kind, body, called, h, d)
	}
	return w.read(r, c, kind, h, d)
}

// deny refuses a write that is denied for good, in place of any other harm.
func (w *way) deny(c call, h harm) harm {
	if w.denies == nil {
		return h
	}
	code := w.denies(c)
	if code == 0 {
		return h
	}
	w.plan.count(denied)
	return harm{server: memapi.Fault{Status: code}}
}

// nothing blocks until the caller gives up.
func (w *way) nothing(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.life.dead:
		return errKilled
	}
}

// write sends a request that goes its way, whether its caller waits or not.
func (w *way) write(r *http.Request, c call, kind string, body []byte, called time.Time, h harm, d draw) (*http.Response, error) {
	record := w.judge.sent(w.life, c, body, called)
	w.trace.note("%s: sent %s", kind, record.status)
	type answer struct {
		resp *http.Response
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		time.Sleep(d.also(1).between(leastLatency, mostLatency) + h.late)
		resp, err := w.arrive(r, body, h, record)
		time.Sleep(d.also(2).between(leastLatency, mostLatency))
		if h.lost && err == nil {
			_ = resp.Body.Close()
			resp, err = nil, errReset
		}
		answered <- answer{resp, err}
	}()
	select {
	case a := <-answered:
		if !w.life.awake(d.also(3)) {
			return nil, errKilled
		}
		return a.resp, a.err
	case <-r.Context().Done():
		w.trace.note("%s: given up", kind)
		return nil, r.Context().Err()
	case <-w.life.dead:
		return nil, errKilled
	}
}

// arrive has the server carry a write out.
func (w *way) arrive(r *http.Request, body []byte, h harm, record *sent) (*http.Response, error) {
	ctx := context.WithValue(context.WithoutCancel(r.Context()), faultKey{}, h.server)
	again := r.Clone(ctx)
	again.Body = io.NopCloser(bytes.NewReader(body))
	hold := h.server.Hold
	if h.server.Delay > 0 || hold > 0 { // not while others wait for the arrival
		time.Sleep(h.server.Delay)
		h.server.Delay, h.server.Hold = 0, 0
		again = again.WithContext(context.WithValue(ctx, faultKey{}, h.server))
	}
	w.arrival.Lock()
	w.writing = record
	resp, err := w.inner.RoundTrip(again)
	w.writing = nil
	w.arrival.Unlock()
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	w.judge.answered(record, resp.StatusCode, text)
	time.Sleep(hold)
	resp.Body = io.NopCloser(bytes.NewReader(text))
	return resp, err
}

func (w *way) read(r *http.Request, c call, kind string, h harm, d draw) (*http.Response, error) {
	if !w.pause(r.Context(), d.also(1).between(leastLatency, mostLatency)) {
		return nil, cmp.Or(context.Cause(r.Context()), errKilled)
	}
	ctx, cancel := context.WithCancelCause(context.WithValue(r.Context(), faultKey{}, h.server))
	again := r.Clone(ctx)
	if c.verb == "watch" { // client-go draws the length of a watch from a generator that cannot be seeded
		query := again.URL.Query()
		query.Set("timeoutSeconds", strconv.Itoa(300+60*d.also(4).upTo(5)+1+d.also(5).upTo(59))) // never at the instant of a bookmark
		again.URL.RawQuery = query.Encode()
	}
	resp, err := w.inner.RoundTrip(again)
	if !w.pause(r.Context(), d.also(2).between(leastLatency, mostLatency)) && err == nil {
		_ = resp.Body.Close()
		err = cmp.Or(r.Context().Err(), errKilled)
	}
	if err == nil && !w.life.awake(d.also(3)) {
		_ = resp.Body.Close()
		err = errKilled
	}
	if err != nil {
		cancel(err)
		return nil, err
	}
	if resp.StatusCode == http.StatusOK && c.verb == "watch" {
		w.trace.note("%s: open", kind)
		resp.Body = w.follow(ctx, cancel, resp.Body, c, kind, d)
		return resp, nil
	}
	text, failed := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	cancel(nil)
	w.trace.note("%s: %d", kind, resp.StatusCode)
	if failed == nil && r.Context().Err() == nil && resp.StatusCode == http.StatusOK {
		w.observed.document(c, text)
	}
	resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(text), broken{failed}))
	return resp, nil
}

// pause is on the way; false if the caller gave up or is no more.
func (w *way) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-w.life.dead:
	}
	return false
}

// broken ends a body as it ended; nil: in good order.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) {
	if b.err == nil {
		return 0, io.EOF
	}
	return 0, b.err
}
