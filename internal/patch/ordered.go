package patch

// position is a place in an ordered heap.
type position struct {
	seq   uint64
	index int
}

func (p *position) pos() *position { return p }

// ordered is a heap, the lowest seq first.
type ordered[T interface{ pos() *position }] []T

// first is the zero value if the heap is empty.
func (h ordered[T]) first() (first T) {
	if len(h) > 0 {
		first = h[0]
	}
	return first
}

func (h ordered[T]) Len() int           { return len(h) }
func (h ordered[T]) Less(i, j int) bool { return h[i].pos().seq < h[j].pos().seq }
func (h ordered[T]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos().index, h[j].pos().index = i, j
}

func (h *ordered[T]) Push(x any) {
	x.(T).pos().index = len(*h)
	*h = append(*h, x.(T))
}

func (h *ordered[T]) Pop() any {
	last := len(*h) - 1
	popped := (*h)[last]
	clear((*h)[last:])
	*h = (*h)[:last]
	return popped
}
