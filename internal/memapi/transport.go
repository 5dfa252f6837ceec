package memapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// Transport carries requests to the server through memory: no sockets, no HTTP framing, bodies stream. It works inside
// testing/synctest. After Close, and for refused connections, it returns ECONNREFUSED.
func (s *Server) Transport() http.RoundTripper { return (*transport)(s) }

type transport Server

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	s := (*Server)(t)
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if !s.enter() {
		return nil, refused()
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	served := r.WithContext(ctx)
	if served.Body == nil {
		served.Body = http.NoBody
	}
	if r.Method != http.MethodGet { // short, and not streamed: no goroutine
		defer s.running.Done()
		defer cancel(nil)
		return s.direct(served)
	}
	w := newStream(cancel)
	go func() {
		defer s.running.Done()
		failure := run(s, w, served)
		if failure == nil {
			failure = r.Context().Err() // the handler may have noticed first
		}
		w.finish(failure)
	}()
	select {
	case <-w.headed:
	case <-r.Context().Done():
		w.finish(r.Context().Err())
		return nil, r.Context().Err()
	}
	if w.failure != nil && w.code == 0 {
		return nil, w.failure
	}
	// Like a socket's, the body of a call that is cancelled can't be read to its end.
	stop := context.AfterFunc(r.Context(), func() { _ = w.pipe.CloseWithError(r.Context().Err()) })
	return response(r, w.code, w.sent, &streamBody{PipeReader: w.body, stop: func() { stop(); cancel(nil) }}), nil
}

// enter counts a request in, unless the server is closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closing:
		return false
	default:
		s.running.Add(1)
		return true
	}
}

// errAborted is the error of a connection that was cut for no other reason.
var errAborted = errors.New("connection aborted")

// run serves one request. It returns how the connection fails; nil if it does not.
func run(s *Server, w interface {
	http.ResponseWriter
	failed() error
}, r *http.Request,
) (failure error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			if failure = w.failed(); failure == nil {
				failure = errAborted
			}
		default:
			panic(p)
		}
	}()
	s.ServeHTTP(w, r)
	return nil
}

func response(r *http.Request, code int, header http.Header, body io.ReadCloser) *http.Response {
	return &http.Response{
		Status: fmt.Sprintf("%d %s", code, http.StatusText(code)), StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: body, ContentLength: -1, Request: r,
	}
}

// whole is an answer that is not streamed.
type whole struct {
	header  http.Header
	code    int
	body    bytes.Buffer
	failure error
}

func (w *whole) Header() http.Header { return w.header }
func (w *whole) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
}

func (w *whole) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}
func (w *whole) fail(err error) { w.failure = err }
func (w *whole) failed() error  { return w.failure }
func (w *whole) Flush()         {}

func (s *Server) direct(r *http.Request) (*http.Response, error) {
	w := &whole{header: http.Header{}}
	failure := run(s, w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err // the client is gone, even if the request took effect
	}
	if w.code == 0 {
		if failure == nil {
			failure = refused() // the server was closed meanwhile
		}
		return nil, failure
	}
	var body io.Reader = &w.body
	if failure != nil {
		body = io.MultiReader(body, broken{failure})
	}
	answer := response(r, w.code, w.header, io.NopCloser(body))
	if failure == nil {
		answer.ContentLength = int64(w.body.Len())
	}
	return answer, nil
}

// broken is the end of a body that was cut.
type broken struct{ error }

func (b broken) Read([]byte) (int, error) { return 0, b.error }

// stream is a response with a body that is read while it is written.
type stream struct {
	header  http.Header // the handler's, until the head is sent
	sent    http.Header // the client's, from then on
	code    int
	cut     error // how the handler cut the connection; known to it and to run only
	failure error // of an answer without a head
	headed  chan struct{}
	head    sync.Once
	pipe    *io.PipeWriter
	body    *io.PipeReader
	cancel  context.CancelCauseFunc
}

func newStream(cancel context.CancelCauseFunc) *stream {
	w := &stream{header: http.Header{}, headed: make(chan struct{}), cancel: cancel}
	w.body, w.pipe = io.Pipe()
	return w
}

func (w *stream) Header() http.Header { return w.header }

func (w *stream) WriteHeader(code int) {
	w.head.Do(func() {
		w.code, w.sent = code, w.header.Clone()
		close(w.headed)
	})
}

func (w *stream) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(p)
}
func (w *stream) Flush()         {}
func (w *stream) fail(err error) { w.cut = err }
func (w *stream) failed() error  { return w.cut }

// finish ends the answer, in order if failure is nil. An answer without a head is a connection that was cut.
func (w *stream) finish(failure error) {
	w.head.Do(func() {
		if w.failure = failure; failure == nil {
			w.failure = refused() // the server was closed meanwhile
		}
		close(w.headed)
	})
	_ = w.pipe.CloseWithError(failure)
	w.cancel(nil)
}

type streamBody struct {
	*io.PipeReader
	stop func()
}

// Close ends the request.
func (b *streamBody) Close() error {
	b.stop()
	return b.PipeReader.Close()
}
