package sim

import (
	"net/http"
	"time"
)

// denial refuses all status patches of one object with 403 or 422, as an admission webhook, a policy for single fields or a schema does.
type denial struct {
	from  time.Duration
	lasts bool // it is not lifted when everything else is healed
	code  int
}

const denied = "forbidden or invalid for one object (403, 422)"

// drawDenials has writes to one or two objects of one workspace denied from a time on.
func (w *world) drawDenials(chaos time.Duration) {
	r := w.seed.generator(12)
	w.denials = map[*object]denial{}
	if r.IntN(4) > 0 {
		return
	}
	code := http.StatusForbidden
	if w.seed.draw("denial", 0).below(0.4) {
		code = http.StatusUnprocessableEntity
	}
	workspace := w.workspaces[r.IntN(len(w.workspaces))]
	var of []*object
	for _, o := range w.objects {
		if o.workspace == workspace {
			of = append(of, o)
		}
	}
	for range 1 + r.IntN(2) {
		w.denials[of[r.IntN(len(of))]] = denial{from: time.Duration(r.Int64N(int64(chaos))), lasts: r.IntN(3) > 0, code: code}
	}
}

// denies is the code that writes to an object are refused with now; 0: they are not.
func (w *world) denies(o *object) int {
	d, there := w.denials[o]
	if there && time.Since(w.trace.begin) >= d.from && (d.lasts || !w.healed.Load()) {
		return d.code
	}
	return 0
}

// deniesCall is denies for a call.
func (w *world) deniesCall(c call) int {
	if k := kindOf(c.resource); k != nil {
		return w.denies(w.find(k, c))
	}
	return 0
}
