package wire

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"time"

	"github.com/upstreamd/upstreamd/bench/fleet"
	"github.com/upstreamd/upstreamd/bench/measure"
)

// Cost is the CPU time that the servers themselves take, to be taken off where they share a process with who is measured.
type Cost struct {
	Event         time.Duration // of a SyncTarget, drawn and copied
	UpstreamEvent time.Duration
	Patch         time.Duration
}

// Drawn is how many events the servers have drawn.
type Drawn struct{ Events, UpstreamEvents, Patches int }

// Drawn counts what the servers have done so far.
func (w *World) Drawn() Drawn {
	var d Drawn
	for _, t := range w.targets {
		d.Events += int(t.drawn.Load())
	}
	d.UpstreamEvents = int(w.upstream.drawn.Load())
	c := w.Calls()
	d.Patches = c.Patches + c.Conflicts
	return d
}

// Of is the CPU time that the servers took for what was done between two counts.
func (c Cost) Of(from, to Drawn) time.Duration {
	return c.Event*time.Duration(to.Events-from.Events) + c.UpstreamEvent*time.Duration(to.UpstreamEvents-from.UpstreamEvents) +
		c.Patch*time.Duration(to.Patches-from.Patches)
}

// Calibrate measures what the servers cost on this machine, on a small world of the same kind of objects.
func Calibrate(shape fleet.Shape) (Cost, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	shape.Objects, shape.Copies, shape.SyncTargets, shape.Workspaces = 500, 1, 1, 0
	w := New(shape)
	const rounds = 10
	cost := Cost{}
	var err error
	cost.Patch, err = each(rounds*shape.Objects, func(n int) error {
		body := fmt.Appendf(nil, `{"metadata":{"resourceVersion":""},"status":%s}`, shape.AppendStatus(nil, n))
		return w.do(http.MethodPatch, "http://upstream/apis/apps/v1/namespaces/"+shape.Upstream(n%shape.Objects).Namespace+"/deployments/"+
			shape.Upstream(n%shape.Objects).Name+"/status?fieldManager=upstreamd", body)
	})
	if err != nil {
		return cost, err
	}
	// A list draws each object as an event does.
	whole, err := each(rounds, func(int) error { return w.do(http.MethodGet, "http://cluster000"+deploymentsPath, nil) })
	if err != nil {
		return cost, err
	}
	cost.Event = whole / time.Duration(shape.Objects)
	whole, err = each(rounds, func(int) error { return w.do(http.MethodGet, "http://upstream"+deploymentsPath, nil) })
	cost.UpstreamEvent = whole / time.Duration(shape.Objects)
	return cost, err
}

func (w *World) do(method, url string, body []byte) error {
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := w.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, url, resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// each is the CPU time that do takes, on this thread.
func each(times int, do func(n int) error) (time.Duration, error) {
	runtime.GC()
	begin := measure.Thread()
	for n := range times {
		if err := do(n); err != nil {
			return 0, err
		}
	}
	return (measure.Thread() - begin) / time.Duration(times), nil
}
