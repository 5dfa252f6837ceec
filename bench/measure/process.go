// Package measure reads the CPU time and memory of processes, and sums up measurements. It is for Linux.
package measure

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage is the CPU time of a process so far, and its present memory.
type Usage struct {
	CPU     time.Duration
	RSS     int64 // bytes
	PeakRSS int64
}

// ticks a second, in which Linux tells CPU time.
const ticks = 100

// Process reads the usage of a process.
func Process(pid int) (Usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	_, rest, ok := strings.Cut(string(stat), ") ") // behind the name, which may hold anything
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return Usage{}, fmt.Errorf("/proc/%d/stat: %q", pid, stat)
	}
	var u Usage
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return Usage{}, err
		}
		u.CPU += time.Duration(n) * time.Second / ticks
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, err
	}
	for line := range strings.Lines(string(status)) {
		switch name, value, _ := strings.Cut(line, ":"); name {
		case "VmRSS":
			u.RSS = kilobytes(value)
		case "VmHWM":
			u.PeakRSS = kilobytes(value)
		}
	}
	return u, nil
}

func kilobytes(s string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(s), " kB"), 10, 64) // the kernel's own form
	return n << 10
}

// Self is the usage of this process; its CPU time is exact.
func Self() Usage {
	u, err := Process(os.Getpid())
	if err != nil {
		return Usage{}
	}
	u.CPU = used(syscall.RUSAGE_SELF)
	return u
}

// Thread is the CPU time of this thread. The caller has locked it.
func Thread() time.Duration { return used(1) } // RUSAGE_THREAD

func used(of int) time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(of, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// LiveHeap is the size of live heap objects, in bytes, after two collections (for finalizers), and of stacks.
func LiveHeap() int64 {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse) //nolint:gosec // bytes of this process
}
