package wire

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// answer is the response to one request: a whole body, or a watch.
type answer struct {
	code  int
	body  []byte
	watch *feed
}

func ok(body []byte) answer { return answer{code: http.StatusOK, body: body} }

func status(code int, reason, message string) answer {
	return answer{code: code, body: fmt.Appendf(nil,
		`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":%q,"message":%q,"code":%d}`, reason, message, code)}
}

func notFound() answer { return status(http.StatusNotFound, "NotFound", "not found") }

// server is one API server.
type server interface {
	serve(r *http.Request, body []byte) answer
}

// transport carries requests to servers by the host in their URLs, through memory.
type transport struct {
	servers map[string]server
	meter   *meter
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	s := t.servers[r.URL.Host]
	if s == nil {
		return nil, fmt.Errorf("no server %q", r.URL.Host)
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(r.Context())
	from := t.meter.begin()
	a := s.serve(r.WithContext(ctx), body)
	t.meter.end(from)
	if err := ctx.Err(); err != nil {
		cancel()
		return nil, err
	}
	response := &http.Response{
		Status: strconv.Itoa(a.code) + " " + http.StatusText(a.code), StatusCode: a.code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(a.body)), Request: r,
	}
	if a.watch != nil {
		response.ContentLength = -1
		response.Body = watchBody{a.watch, cancel}
		return response, nil
	}
	response.Body = &wholeBody{body: a.body}
	cancel()
	return response, nil
}

// wholeBody gives its memory back when it is closed.
type wholeBody struct {
	body []byte
	read int
}

func (b *wholeBody) Read(p []byte) (int, error) {
	if b.read == len(b.body) {
		return 0, io.EOF
	}
	n := copy(p, b.body[b.read:])
	b.read += n
	return n, nil
}

func (b *wholeBody) Close() error {
	recycle(b.body)
	b.body, b.read = nil, 0
	return nil
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// buffer is empty memory for an answer.
func buffer() []byte { return (*buffers.Get().(*[]byte))[:0] }

func recycle(b []byte) {
	if cap(b) > 0 && cap(b) <= 64<<10 {
		buffers.Put(&b)
	}
}

type watchBody struct {
	io.Reader
	end func()
}

func (b watchBody) Close() error {
	b.end()
	return nil
}

func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	defer r.Body.Close()
	if r.ContentLength <= 0 {
		return io.ReadAll(r.Body)
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	return body, err
}

// handler carries requests to one server over HTTP.
type handler struct{ server }

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil {
		return
	}
	a := h.serve(r, body)
	if a.code == 0 { // the client went while it waited
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	if a.watch == nil {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		w.WriteHeader(a.code)
		_, _ = w.Write(a.body) // the client may be gone
		recycle(a.body)
		return
	}
	w.WriteHeader(a.code)
	out := http.NewResponseController(w)
	if out.Flush() != nil {
		return
	}
	for {
		b, err := a.watch.next()
		if err != nil {
			return
		}
		if _, err := w.Write(b); err != nil || out.Flush() != nil {
			return
		}
	}
}

// listen serves on a free port of loopback.
func listen(s server) (address string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("listening: %w", err)
	}
	hs := &http.Server{Handler: handler{s}, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = hs.Serve(l) }() // ends with Close
	return "http://" + l.Addr().String(), func() { _ = hs.Close() }, nil
}
