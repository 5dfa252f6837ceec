package sim

import "time"

// denial refuses all status patches of one object with 403, as an admission webhook or a policy for single fields does.
type denial struct {
	from  time.Duration
	lasts bool // it is not lifted when everything else is healed
}

const denied = "forbidden for one object (403)"

// drawDenials has writes to one or two objects of one workspace denied from a time on.
func (w *world) drawDenials(chaos time.Duration) {
	r := w.seed.generator(12)
	w.denials = map[*object]denial{}
	if r.IntN(4) > 0 {
		return
	}
	workspace := w.workspaces[r.IntN(len(w.workspaces))]
	var of []*object
	for _, o := range w.objects {
		if o.workspace == workspace {
			of = append(of, o)
		}
	}
	for range 1 + r.IntN(2) {
		w.denials[of[r.IntN(len(of))]] = denial{from: time.Duration(r.Int64N(int64(chaos))), lasts: r.IntN(3) > 0}
	}
}

// denies reports whether the writes to an object are denied now.
func (w *world) denies(o *object) bool {
	d, there := w.denials[o]
	return there && time.Since(w.trace.begin) >= d.from && (d.lasts || !w.healed.Load())
}

// deniesCall is denies for a call.
func (w *world) deniesCall(c call) bool {
	k := kindOf(c.resource)
	return k != nil && w.denies(w.find(k, c))
}
