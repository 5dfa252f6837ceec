package reconcile

import (
	"errors"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/upstreamd/upstreamd/internal/ref"
)

func (m *machine) send() {
	all := slices.SortedFunc(maps.Keys(m.queue), byName)
	u := all[m.some("write", len(all))]
	if _, busy := m.flight[u]; busy {
		m.t.Skip("one at a time")
	}
	m.flight[u] = m.queue[u]
	delete(m.queue, u)
	m.writes++
}

func (m *machine) serverAnswers() {
	all := slices.SortedFunc(maps.Keys(m.flight), byName)
	u := all[m.some("write", len(all))]
	class := Refusal("")
	if m.chance("refused") {
		class = pick(m, "class", []Refusal{OutcomeUnknown, NotServed, Forbidden, TooLarge, Invalid, OutcomeUnknown})
		if class == OutcomeUnknown && m.chance("took place") {
			_, _ = m.patch(m.flight[u])
		}
	}
	m.answer(u, class)
}

func (m *machine) read() {
	i := m.some("read", len(m.fetches))
	if m.chance("failed") {
		m.fetched(i, errors.New("connection refused"))
		return
	}
	m.fetched(i, nil)
}

func (m *machine) timePasses() {
	d := pick(m, "time", []time.Duration{10 * time.Millisecond, 200 * time.Millisecond, time.Second, 10 * time.Second, 3 * time.Minute, 2 * time.Hour})
	m.passTo(m.now.Add(d))
}

func (m *machine) passTo(until time.Time) {
	for !m.wake.IsZero() && !m.wake.After(until) {
		if m.wake.After(m.now) {
			m.now = m.wake
		}
		m.wake = time.Time{}
		m.step(TimePassed{})
	}
	m.now = until
}

func (m *machine) policyChanges() {
	before := Want(m.policies[m.policy])
	m.policy = rapid.IntRange(0, len(m.policies)-1).Draw(m.t, "policy")
	p := m.policies[m.policy]
	reread := len(Want(p).Labels) != len(before.Labels) || Want(p).Labels[0] != before.Labels[0]
	m.step(PolicyChanged{Policy: p, Reread: reread})
	if !reread {
		return
	}
	for scope := range m.known { // the watch is opened anew: events of the old one do not come
		m.streams[scope] = nil
	}
	m.known = map[ref.Workspace]bool{}
}

func (m *machine) writerRestarts() {
	m.queue, m.flight = map[ref.Upstream]Write{}, map[ref.Upstream]Write{}
	m.answers = slices.DeleteFunc(m.answers, func(e Event) bool {
		_, acknowledged := e.(Acknowledged)
		_, refused := e.(Refused)
		return acknowledged || refused
	})
	m.step(WriterRestarted{})
}
