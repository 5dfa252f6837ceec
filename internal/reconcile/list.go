package reconcile

// chunk is how many members of a list stand in one array: none is copied as a whole when a list of a million grows, which takes longer than
// a Step may.
const chunk = 1 << 12

// list holds members at indexes that they know. All arrays but the last are full.
type list[T any] [][]*T

func (l list[T]) size() int {
	if len(l) == 0 {
		return 0
	}
	return (len(l)-1)*chunk + len(l[len(l)-1])
}

func (l list[T]) at(i int) *T { return l[i/chunk][i%chunk] }

// add appends a member, and returns its index.
func (l *list[T]) add(member *T) int32 {
	i := l.size()
	if i == len(*l)*chunk {
		*l = append(*l, nil)
	}
	last := &(*l)[len(*l)-1]
	*last = append(*last, member)
	return int32(i) //nolint:gosec // some millions at most
}

// remove takes out a member. The last one moves to its place.
func (l *list[T]) remove(i int32, moved func(*T)) {
	end := l.size() - 1
	if last := l.at(end); int(i) != end {
		(*l)[i/chunk][i%chunk] = last
		moved(last)
	}
	(*l)[end/chunk][end%chunk] = nil
	if (*l)[end/chunk] = (*l)[end/chunk][:end%chunk]; end%chunk == 0 {
		*l = (*l)[:end/chunk]
	}
}
