package kcp_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upstreamd/upstreamd/sandbox/kcp"
)

func TestStartReportsTheOutputOfKCP(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho unknown flag: $2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := kcp.Start(t.Context(), broken, dir)
	if err == nil || !strings.Contains(err.Error(), "kcp exited: exit status 1") || !strings.Contains(err.Error(), "unknown flag: --root-directory="+dir) {
		t.Errorf("got %v", err)
	}
}
