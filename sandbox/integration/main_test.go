// Package integration tests the daemon as a process between real API servers.
package integration

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/upstreamd/upstreamd/sandbox/daemon"
)

// binary is the daemon of this checkout.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "upstreamd-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if binary, err = daemon.Build(ctx, folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
