// Package sandboxtest provides TestMain and polling helpers for tests on a sandbox.
package sandboxtest

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/upstreamd/upstreamd/sandbox"
)

// Main implements TestMain for tests that share one sandbox: it starts the sandbox, passes it to use, runs the tests, stops the
// sandbox, and exits.
func Main(m *testing.M, o sandbox.Options, use func(*sandbox.Sandbox)) {
	os.Exit(run(m, o, use))
}

func run(m *testing.M, o sandbox.Options, use func(*sandbox.Sandbox)) int {
	shared, err := sandbox.Start(context.Background(), o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting the sandbox:", err)
		return 1
	}
	defer func() {
		if err := shared.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the sandbox:", err)
		}
	}()
	use(shared)
	return m.Run()
}

// Start starts a sandbox and stops it when the test ends.
func Start(t testing.TB, o sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Eventually polls check until it returns nil, and fails the test with its last error if that takes longer than within.
func Eventually(t testing.TB, within time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	pause := 5 * time.Millisecond
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still after %v: %v", within, err)
		}
		time.Sleep(pause)
		pause = min(2*pause, 200*time.Millisecond)
	}
}

// Always polls check for the whole duration and fails the test with the first error.
func Always(t testing.TB, throughout time.Duration, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(throughout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err := check(); err != nil {
			t.Fatalf("after %v: %v", throughout-time.Until(deadline), err)
		}
	}
}
