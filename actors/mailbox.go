package actors

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/internal/reconcile"
)

// mailbox is an unbounded mailbox that is small when idle, gives its memory back when drained, and yields its worker after a turn, so
// that a busy actor cannot starve the others.
type mailbox struct {
	invoker    actor.MessageInvoker
	dispatcher actor.Dispatcher
	process    func() // bound once; a method value per wake-up would allocate

	mu        sync.Mutex
	system    []any
	prompt    []any // user messages that overtake the others
	user      []any // from head on
	head      int
	scheduled bool
	suspended bool

	ending bool // a Stop was received; only the actor's turn uses this
}

// Mailbox is the mailbox producer for actor.WithMailbox.
func Mailbox() actor.Mailbox {
	m := &mailbox{}
	m.process = m.run
	return m
}

func (m *mailbox) RegisterHandlers(invoker actor.MessageInvoker, dispatcher actor.Dispatcher) {
	m.invoker, m.dispatcher = invoker, dispatcher
}

func (m *mailbox) Start() {}

func (m *mailbox) UserMessageCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.prompt) + len(m.user) - m.head
}

func (m *mailbox) PostUserMessage(message any) {
	m.mu.Lock()
	if isPrompt(message) {
		m.prompt = append(m.prompt, message)
	} else {
		m.user = append(m.user, message)
	}
	m.wake(!m.suspended)
}

// isPrompt reports whether a message overtakes the queued ones: the answers to writes. A decision that is made while the answer to the last
// write of its object is queued in a long mailbox would be based on an outdated version, and be refused.
func isPrompt(message any) bool {
	switch message.(type) {
	case reconcile.Acknowledged, reconcile.Refused:
		return true
	}
	return false
}

func (m *mailbox) PostSystemMessage(message any) {
	m.mu.Lock()
	m.system = append(m.system, message)
	m.wake(true)
}

// wake releases the lock, and schedules a turn if the mailbox is runnable and none is scheduled.
func (m *mailbox) wake(runnable bool) {
	schedule := runnable && !m.scheduled
	if schedule {
		m.scheduled = true
	}
	m.mu.Unlock()
	if schedule {
		m.dispatcher.Schedule(m.process)
	}
}

// run is one turn.
func (m *mailbox) run() {
	for range m.dispatcher.Throughput() {
		if !m.step() {
			return
		}
	}
	m.dispatcher.Schedule(m.process)
}

// step handles one message, system messages first. It reports false when there is none left, and then the turn is over.
func (m *mailbox) step() (more bool) {
	message, system, ok := m.next()
	if !ok {
		return false
	}
	defer func() {
		if reason := recover(); reason != nil {
			m.invoker.EscalateFailure(reason, message)
			more = true
		}
	}()
	if !system {
		m.invoker.InvokeUserMessage(message)
		return true
	}
	switch message.(type) {
	case *actor.Stop:
		m.ending = true
		m.invoker.InvokeSystemMessage(message)
	case *actor.Restart:
		if !m.ending { // else the parent would wait for the end of an actor that runs again, for ever
			m.invoker.InvokeSystemMessage(message)
		}
	case *actor.SuspendMailbox:
		m.suspend(true)
	case *actor.ResumeMailbox:
		m.suspend(false)
	default:
		m.invoker.InvokeSystemMessage(message)
	}
	return true
}

func (m *mailbox) suspend(suspended bool) {
	m.mu.Lock()
	m.suspended = suspended
	m.mu.Unlock()
}

func (m *mailbox) next() (message any, system, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.system) > 0 {
		message = m.system[0]
		m.system[0] = nil
		m.system = m.system[1:]
		if len(m.system) == 0 {
			m.system = nil
		}
		return message, true, true
	}
	if m.suspended || len(m.prompt) == 0 && m.head == len(m.user) {
		m.scheduled = false
		return nil, false, false
	}
	if len(m.prompt) > 0 {
		message = m.prompt[0]
		m.prompt[0] = nil
		if m.prompt = m.prompt[1:]; len(m.prompt) == 0 {
			m.prompt = nil
		}
		return message, false, true
	}
	message = m.user[m.head]
	m.user[m.head] = nil
	m.head++
	switch {
	case m.head == len(m.user):
		m.head = 0
		if cap(m.user) > 4 {
			m.user = nil
		} else {
			m.user = m.user[:0]
		}
	case m.head >= 1024 && m.head*2 >= len(m.user):
		m.user = append([]any(nil), m.user[m.head:]...)
		m.head = 0
	}
	return message, false, true
}
