package wire

import (
	"fmt"
	"time"

	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/bench/fleet"
)

// World is an upstream and its SyncTargets.
type World struct {
	shape     fleet.Shape
	upstream  *upstream
	targets   []*target
	slots     []int32 // place of each copy on its SyncTarget
	transport transport
	meter     *meter
	stops     []func()
	urls      []string // of upstream, then the SyncTargets, when they listen
}

// New makes a world in which nothing was published yet.
func New(shape fleet.Shape) *World {
	m := &meter{}
	w := &World{shape: shape, upstream: newUpstream(shape, m), slots: make([]int32, shape.Total()), meter: m}
	w.transport = transport{map[string]server{"upstream": w.upstream}, m}
	for n, name := range shape.TargetNames() {
		t := newTarget(shape, n, m)
		for slot, number := range t.copies {
			w.slots[number] = int32(slot)
		}
		w.targets = append(w.targets, t)
		w.transport.servers[name] = t
	}
	return w
}

// Listen serves on loopback besides.
func (w *World) Listen() error {
	servers := []server{w.upstream}
	for _, t := range w.targets {
		servers = append(servers, t)
	}
	for _, s := range servers {
		address, stop, err := listen(s)
		if err != nil {
			w.Close()
			return err
		}
		w.urls, w.stops = append(w.urls, address), append(w.stops, stop)
	}
	return nil
}

// Close ends the listeners.
func (w *World) Close() {
	for _, stop := range w.stops {
		stop()
	}
	w.stops = nil
}

// URLs are where upstream and the SyncTargets listen; nothing without Listen.
func (w *World) URLs() (upstream string, targets []string) {
	if len(w.urls) == 0 {
		return "", nil
	}
	return w.urls[0], w.urls[1:]
}

// Upstream is a client's configuration for upstream, through memory.
func (w *World) Upstream() *rest.Config {
	return &rest.Config{Host: "http://upstream", Transport: w.transport, QPS: -1}
}

// SyncTarget is a client's configuration for a SyncTarget, through memory.
func (w *World) SyncTarget(number int) *rest.Config {
	return &rest.Config{Host: "http://" + w.shape.TargetNames()[number], Transport: w.transport, QPS: -1}
}

// OnPatch has every status patch reported, from many goroutines at once. It is set before anybody patches.
func (w *World) OnPatch(report func(Patch)) { w.upstream.onPatch = report }

// Delay makes status patches in workspaces slow, from now on.
func (w *World) Delay(by func(workspace int) time.Duration) { w.upstream.delay.Store(&by) }

// Change counts one more change of a copy, which its watchers hear of. It returns how many it has had.
func (w *World) Change(number int) int {
	return w.targets[w.shape.SyncTarget(number)].change(int(w.slots[number]))
}

// Changes is how often a copy has changed.
func (w *World) Changes(number int) int {
	t := w.targets[w.shape.SyncTarget(number)]
	t.mu.Lock()
	defer t.mu.Unlock()
	return int(t.changes[w.slots[number]])
}

// Silence makes a SyncTarget leave all requests unanswered, open watches included, until it is lifted.
func (w *World) Silence(target int, silent bool) {
	if silent {
		w.targets[target].gate.hold()
	} else {
		w.targets[target].gate.open()
	}
}

// Waiting is the number of unread events of SyncTargets.
func (w *World) Waiting() (events int) {
	for _, t := range w.targets {
		events += t.feeds.waiting()
	}
	return events
}

// Calls are the requests to upstream so far.
func (w *World) Calls() Calls {
	w.upstream.mu.Lock()
	defer w.upstream.mu.Unlock()
	return w.upstream.calls
}

// Published is the status of an upstream object; nil: none.
func (w *World) Published(object int) []byte {
	lock := &w.upstream.locks[object%len(w.upstream.locks)]
	lock.Lock()
	defer lock.Unlock()
	return w.upstream.objects[object].status
}

// Check compares the published statuses with those of the copies, by the world's own counters alone. It returns how many objects are wrong,
// and the error of the first.
func (w *World) Check() (wrong int, first error) {
	changes := make([]int, w.shape.Copies)
	for object := range w.shape.Objects {
		for c := range changes {
			changes[c] = w.Changes(object*w.shape.Copies + c)
		}
		if err := fleet.Verify(w.Published(object), changes); err != nil {
			if wrong++; first == nil {
				first = fmt.Errorf("%s: %w", w.shape.Upstream(object).Name, err)
			}
		}
	}
	return wrong, first
}
