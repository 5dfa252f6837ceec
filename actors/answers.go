package actors

import (
	"slices"
	"sync"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// answers are the writes that took place and that an aggregator has not heard of yet. Its mailbox may be long; a decision that did not know
// the last answer would be made on an outdated version, and be refused. So each decision looks here first.
type answers struct {
	mu    sync.Mutex
	by    map[ref.Upstream]*Acknowledged // the last on each object
	order []*Acknowledged                // in which they came; what was taken or replaced is passed over
}

// answered tells an aggregator that there are answers.
type answered struct{}

// put adds an answer. It reports whether the aggregator has to be told: it has not been since it took all.
func (a *answers) put(m *Acknowledged) (tell bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.by == nil {
		a.by = map[ref.Upstream]*Acknowledged{}
	}
	a.by[m.Write.Patch.Upstream] = m
	a.order = append(a.order, m)
	return len(a.order) == 1
}

// of takes the answer on one object; nil if there is none.
func (a *answers) of(u ref.Upstream) *Acknowledged {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.by[u]
	delete(a.by, u)
	return m
}

// all takes all answers, in the order in which they came.
func (a *answers) all() []*Acknowledged {
	a.mu.Lock()
	defer a.mu.Unlock()
	got := slices.DeleteFunc(a.order, func(m *Acknowledged) bool { return a.by[m.Write.Patch.Upstream] != m })
	if len(a.order) > 1000 {
		a.by = nil // maps never shrink by themselves
	}
	clear(a.by)
	a.order = nil
	return got
}
