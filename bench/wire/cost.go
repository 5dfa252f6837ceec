package wire

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/upstreamd/upstreamd/bench/measure"
)

// meter adds up the CPU time of servers in this process, which is subtracted where they share the process with the subject. It is measured
// during the load: the cost of a call on a quiet machine predicts little of its cost under load.
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
