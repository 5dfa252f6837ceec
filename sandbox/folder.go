package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const temporaryPrefix = "upstreamd-sandbox-"

// folder holds a sandbox's files. A temporary one is removed on stop. The kernel releases its lock when the process dies, so
// later sandboxes recognise a leftover.
type folder struct {
	path string
	lock *os.File // nil for a permanent folder
}

// openFolder creates the folder path, or a temporary one if path is empty; then it also removes the leftovers of killed processes.
func openFolder(path string) (*folder, error) {
	if path != "" {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("the sandbox's folder: %w", err)
		}
		if err := os.MkdirAll(absolute, 0o700); err != nil {
			return nil, fmt.Errorf("the sandbox's folder: %w", err)
		}
		return &folder{path: absolute}, nil
	}
	sweep()
	path, err := os.MkdirTemp("", temporaryPrefix)
	if err != nil {
		return nil, fmt.Errorf("the sandbox's folder: %w", err)
	}
	lock, err := lockFolder(path)
	if err != nil {
		return nil, fmt.Errorf("the sandbox's folder: %w", err)
	}
	return &folder{path: path, lock: lock}, nil
}

func (f *folder) close() {
	if f.lock == nil {
		return
	}
	_ = os.RemoveAll(f.path) // the next sandbox sweeps leftovers
	_ = f.lock.Close()
}

// sweep removes temporary folders of dead processes. It is best effort: folders that cannot be removed stay for the next sweep.
func sweep() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), temporaryPrefix+"*"))
	for _, path := range left {
		if made, err := os.Stat(path); err != nil || time.Since(made.ModTime()) < time.Minute {
			continue // perhaps not locked yet
		}
		lock, err := os.OpenFile(lockFile(path), os.O_RDWR, 0)
		if err != nil {
			continue // still in use
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.RemoveAll(path)
		}
		_ = lock.Close()
	}
}

func lockFolder(path string) (*os.File, error) {
	lock, err := os.OpenFile(lockFile(path), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return lock, nil
}

func lockFile(path string) string { return filepath.Join(path, "lock") }
