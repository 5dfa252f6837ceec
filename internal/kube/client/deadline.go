package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// callTimeout is the deadline of a call whose context has none: from its start to the end of the answer's body.
	callTimeout = 30 * time.Second
	// watchHeadTimeout bounds the wait for the head of a watch's answer. Some proxies send it with the first event, which on a quiet
	// resource is a bookmark after a minute.
	watchHeadTimeout = 75 * time.Second
)

// ErrNoAnswer is the error of a call that was given up because the server did not answer in time.
var ErrNoAnswer = errors.New("no answer from the server")

// bounded is a transport that gives every call without a deadline one. The head of a watch's answer always has a deadline of its own; its
// body has none, because it stays open.
type bounded struct {
	next http.RoundTripper
}

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	watch := isWatch(req)
	if _, limited := req.Context().Deadline(); limited && !watch {
		return b.next.RoundTrip(req)
	}
	limit := callTimeout
	if watch {
		limit = watchHeadTimeout
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(limit, func() { cancel(fmt.Errorf("%w within %v", ErrNoAnswer, limit)) })
	end := func() {
		timer.Stop()
		cancel(nil)
	}
	resp, err := b.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		err = Cause(ctx, err)
		end()
		return nil, err
	}
	if watch {
		timer.Stop()
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, ctx: ctx, end: sync.OnceFunc(end)}
	return resp, nil
}

// isWatch reports whether the answer is a stream without an end.
func isWatch(req *http.Request) bool {
	return req.Method == http.MethodGet && req.URL.Query().Get("watch") == "true"
}

// boundedBody ends the deadline of its call when it is closed.
type boundedBody struct {
	io.ReadCloser
	ctx context.Context //nolint:containedctx // it is the body of one call
	end func()
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = Cause(b.ctx, err)
	}
	return n, err
}

func (b *boundedBody) Close() error {
	b.end()
	return b.ReadCloser.Close()
}
