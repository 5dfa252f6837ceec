package sim

import (
	"bufio"
	"context"
	"io"
	"sync/atomic"
	"time"
)

// stream is an open watch on its way to a daemon: its lines arrive one by one, each in an instant of its own.
type stream struct {
	*io.PipeReader
	cancel context.CancelCauseFunc
}

// Close ends the watch.
func (s *stream) Close() error {
	s.cancel(context.Canceled)
	err := s.PipeReader.Close()
	return err
}

// follow hands a watch's lines on.
func (w *way) follow(ctx context.Context, cancel context.CancelCauseFunc, body io.ReadCloser, c call, kind string, d draw) io.ReadCloser {
	out, in := io.Pipe()
	s := &stream{PipeReader: out, cancel: cancel}
	var mute atomic.Bool
	var breaks *time.Timer
	if after, o := w.plan.nextOut(w.life.daemon, w.server); o != nil {
		silent, name := o.silent, o.name
		breaks = time.AfterFunc(after+d.also(5).between(0, 50*time.Millisecond), func() {
			w.plan.count(name)
			w.trace.note("%s: %s", kind, name)
			if mute.Store(silent); !silent {
				_ = in.CloseWithError(errReset)
				cancel(errReset)
			}
		})
	}
	killed := make(chan struct{})
	go func() {
		select {
		case <-w.life.dead:
			_ = in.CloseWithError(errKilled)
			cancel(errKilled)
		case <-killed:
		}
	}()
	go func() {
		defer close(killed)
		defer func() { _ = body.Close() }()
		err := w.pump(ctx, body, in, c, d, &mute)
		if breaks != nil {
			breaks.Stop()
		}
		_ = in.CloseWithError(err)
		cancel(nil)
	}()
	return s
}

func (w *way) pump(ctx context.Context, from io.Reader, to io.Writer, c call, d draw, mute *atomic.Bool) error {
	lines := bufio.NewReaderSize(from, 64<<10)
	observing := w.observed.open(c)
	for n := uint64(10); ; n++ {
		text, err := lines.ReadBytes('\n')
		if len(text) > 0 {
			if !w.pause(ctx, d.also(n).between(leastLatency, mostLatency)) || !w.life.awake(d.also(n)) || ctx.Err() != nil {
				return errKilled // or the daemon hung up meanwhile
			}
			if mute.Load() {
				continue
			}
			if err == nil {
				observing.line(text)
			}
			if _, err := to.Write(text); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}
