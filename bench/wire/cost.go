package wire

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/upstreamd/upstreamd/bench/measure"
)

// meter adds up the CPU time that servers take in this process, to be taken off where they share it with who is measured. It is taken
// where and when they take it: what a call costs beforehand, on a quiet machine, says little of what it costs under load.
type meter struct{ taken atomic.Int64 }

// begin starts a piece of work, which is to end on the same goroutine.
func (m *meter) begin() (from time.Duration) {
	runtime.LockOSThread()
	return measure.Thread()
}

func (m *meter) end(from time.Duration) {
	m.taken.Add(int64(measure.Thread() - from))
	runtime.UnlockOSThread()
}

// CPU is the CPU time that the servers have taken so far.
func (w *World) CPU() time.Duration { return time.Duration(w.meter.taken.Load()) }
