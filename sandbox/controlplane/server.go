package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ReadyTimeout is the time limit for a server to become ready. On an idle machine it takes 1 to 4 s.
const ReadyTimeout = 2 * time.Minute

// ErrRunning is returned by Start for a running server.
var ErrRunning = errors.New("the server is already running")

// server is a program with a fixed port and fixed data that can be stopped and restarted. Its methods are safe for concurrent
// use and run one at a time.
type server struct {
	program string
	args    []string
	log     string
	port    *port
	ready   func(context.Context) error

	mu      sync.Mutex
	process *Process // nil before the first Start
}

// Start starts the server, on the same port and data as before, and returns when it is ready.
func (s *server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil && !s.process.ended() {
		return ErrRunning
	}
	process, err := StartProcess(s.log, s.program, s.args...)
	if err != nil {
		return err
	}
	s.process = process
	if err := s.awaitReady(ctx); err != nil {
		process.Kill()
		return err
	}
	return nil
}

func (s *server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ReadyTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	name := filepath.Base(s.program)
	for {
		err := s.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.process.Done():
			return fmt.Errorf("%s exited before it was ready: %w; its log %s ends with:\n%s", name, s.process.Err(), s.log, s.process.Tail(2000))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w (%w); its log %s ends with:\n%s", name, ctx.Err(), err, s.log, s.process.Tail(2000))
		}
	}
}

// setFlags changes the values of flags, named without dashes, from the next start on.
func (s *server) setFlags(values map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	args := slices.Clone(s.args)
	for name, value := range values {
		flag := "--" + name + "="
		args = append(slices.DeleteFunc(args, func(arg string) bool { return strings.HasPrefix(arg, flag) }), flag+value)
	}
	s.args = args
}

// Kill sends SIGKILL to the server. Its data stay; Start restarts it.
func (s *server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.Kill()
	}
}

// Stop sends SIGTERM to the server, and SIGKILL after StopGrace. Its data stay; Start restarts it.
func (s *server) Stop(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.Stop(ctx)
	}
}

// Restart kills the server and starts it on the same port and data.
func (s *server) Restart(ctx context.Context) error {
	s.Kill()
	return s.Start(ctx)
}

// Pause freezes the server (SIGSTOP): connections stay open without answers.
func (s *server) Pause() error { return s.signal(syscall.SIGSTOP) }

// Resume continues a paused server (SIGCONT).
func (s *server) Resume() error { return s.signal(syscall.SIGCONT) }

func (s *server) signal(signal syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil || s.process.ended() {
		return fmt.Errorf("sending %v: %s is not running", signal, filepath.Base(s.program))
	}
	return s.process.Signal(signal)
}

// PID is the server's process id, 0 before it was started.
func (s *server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.PID()
}

// Running reports whether the server's process exists, paused or not.
func (s *server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process != nil && !s.process.ended()
}

// Log is the path of the server's output, over all its starts.
func (s *server) Log() string { return s.log }

// Close stops the server permanently and releases its port.
func (s *server) Close(ctx context.Context) {
	s.Stop(ctx)
	s.port.release()
}

// get returns nil if url answers 200 within a second.
func get(ctx context.Context, client *http.Client, url, token string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(answer.Body, 2000)) // for the error text only
		return fmt.Errorf("%s answers %s: %s", url, answer.Status, body)
	}
	return nil
}
