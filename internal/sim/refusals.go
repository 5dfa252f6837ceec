package sim

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

const (
	restarted   = "API server restarted, then refuses watches"
	tooMuch     = "status refused (too large, too many conditions)"
	mostStatus  = 256 << 10 // bytes of a status that is accepted
	mostEntries = 100       // conditions of one
)

// drawRefusals adds restarts of an API server that answers probes and lists afterwards, and refuses watches, of one kind or of all; and
// times in which discovery hangs.
func (p *plan) drawRefusals(targets []string) {
	r := p.seed.generator(17)
	servers := append([]string{"upstream"}, targets...)
	begins := func() time.Duration { return time.Duration(r.Int64N(int64(p.chaos))) }
	if r.IntN(3) == 0 {
		server, from := servers[r.IntN(len(servers))], begins()
		back := from + time.Second + time.Duration(r.Int64N(int64(3*time.Second)))
		until := back + 20*time.Second + time.Duration(r.Int64N(int64(130*time.Second)))
		p.outages = append(p.outages, outage{window: window{from, back}, name: restarted, server: server})
		code := []int{http.StatusForbidden, http.StatusForbidden, http.StatusServiceUnavailable, http.StatusTooManyRequests}[r.IntN(4)]
		f := &fault{name: "watch refused (" + http.StatusText(code) + ") while probes succeed", share: 1, hits: watches, harm: status(code, 0)}
		if r.IntN(2) == 0 {
			k := kinds[r.IntN(len(kinds))]
			f.hits = func(c call) bool { return watches(c) && c.resource == k.resource.Resource }
		}
		p.episodes = append(p.episodes, episode{window: window{from, min(until, p.chaos)}, name: f.name + "/" + server, fault: f, server: server})
	}
	if r.IntN(4) == 0 {
		server, from := servers[r.IntN(len(servers))], begins()
		w := window{from, min(from+20*time.Second+time.Duration(r.Int64N(int64(100*time.Second))), p.chaos)}
		p.episodes = append(p.episodes, episode{window: w, name: hanging.name + "/alone/" + server, fault: &hanging, server: server})
	}
}

// overdo has controllers report statuses that are refused, for a while.
func (w *world) overdo(p *plan) {
	r := w.seed.generator(18)
	if r.IntN(3) > 0 {
		return
	}
	for range 1 + r.IntN(3) {
		o, from, lasts := w.objects[r.IntN(len(w.objects))], time.Duration(r.Int64N(int64(p.chaos))), time.Duration(r.Int64N(int64(90*time.Second)))
		w.after(from, func() {
			for _, i := range o.assigned {
				p.count(tooMuch)
				w.reportTooMuch(o, i, r)
			}
			w.after(lasts, func() {
				for _, i := range o.assigned {
					w.report(o, i, 1+r.IntN(9))
				}
			})
		})
	}
}

func (w *world) reportTooMuch(o *object, i int, r *rand.Rand) {
	at := w.targets[i].server.Cluster("").As("controller")
	down, err := at.Get(o.kind.resource, w.downNamespace(o, i), o.name)
	if err != nil {
		return
	}
	status := o.kind.report(i, 1+r.IntN(9), down.Meta.Generation, true)
	large := condition("Large", true, 1)
	large["message"] = strings.Repeat("x", mostStatus)
	many := []any{large}
	if r.IntN(2) == 0 {
		many = nil
		for n := range mostEntries + 1 {
			many = append(many, condition("C"+string(rune('a'+n/26))+string(rune('a'+n%26)), true, n))
		}
	}
	status["conditions"] = many
	_, err = at.UpdateStatus(o.kind.resource, down.Meta.Namespace, o.name, status)
	w.trace.note("target %d: %s reports too much: %v", i, o, err)
}

// isTooMuch reports whether a status is refused.
func isTooMuch(status []byte) bool {
	return len(status) > mostStatus || len(parse(status).Conditions) > mostEntries
}
