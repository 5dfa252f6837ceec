package lean

import (
	"sync"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Budget bounds the heap of everything that is kept for the watches of all servers. While it is exceeded, a watch that keeps more than
// an equal part of it is refused more; smaller ones go on. So together they keep at most twice the budget: one part for those that were
// there before, and an equal part for each of the others. nil bounds nothing.
type Budget struct {
	most int64

	mu     sync.Mutex
	used   int64
	shares int64
}

// NewBudget makes a Budget of so many bytes; nil for none.
func NewBudget(bytes int64) *Budget {
	if bytes <= 0 {
		return nil
	}
	return &Budget{most: bytes}
}

// share is the part of a Budget that one watch takes. nil is one of no Budget.
type share struct {
	budget *Budget
	held   int64
	closed bool
}

func (b *Budget) open() *share {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shares++
	return &share{budget: b}
}

// hold sets how many bytes are kept. The error is a limit that they exceed; then as many count as before.
func (s *share) hold(bytes int64) error {
	if s == nil {
		return nil
	}
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.closed { // a list was under way
		return nil
	}
	used := b.used + bytes - s.held
	if equal := b.most / b.shares; bytes > s.held && used > b.most && bytes > equal {
		return tooLarge(ref.LimitMemory, equal)
	}
	b.used, s.held = used, bytes
	return nil
}

func (s *share) close() {
	if s == nil {
		return
	}
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shares--
	b.used -= s.held
	s.closed = true
}
