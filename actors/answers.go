package actors

import (
	"sync"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// answers are the writes that took place and that an aggregator has not heard of yet. Its mailbox may be long; a decision that did not know
// the last answer would be made on an outdated version, and be refused. So each decision looks here first.
type answers struct {
	mu    sync.Mutex
	by    map[ref.Upstream][]Acknowledged
	order []ref.Upstream // in which they came; what was taken is passed over
}

// answered tells an aggregator that there are answers.
type answered struct{}

// put adds an answer. It reports whether the aggregator has to be told: it has not been since it took all.
func (a *answers) put(m Acknowledged) (tell bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := m.Write.Patch.Upstream
	if a.by == nil {
		a.by = map[ref.Upstream][]Acknowledged{}
	}
	a.by[u] = append(a.by[u], m)
	a.order = append(a.order, u)
	return len(a.order) == 1
}

// of takes the answers on one object.
func (a *answers) of(u ref.Upstream) []Acknowledged {
	a.mu.Lock()
	defer a.mu.Unlock()
	got := a.by[u]
	delete(a.by, u)
	return got
}

// all takes all answers, in the order of the objects' first ones.
func (a *answers) all() (got []Acknowledged) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, u := range a.order {
		got = append(got, a.by[u]...)
		delete(a.by, u)
	}
	a.by, a.order = nil, nil
	return got
}
