package reconcile

// set is an index that can be gone through from its end while members leave it: the last member takes the place of one that leaves, so
// that none is passed over. Members that join meanwhile are not visited; their own events decide on them.
type set interface {
	size() int
	at(i int) *object
}

// work is long work that goes on in slices: a visit to each member of a set.
type work struct {
	members set
	next    int              // members below it are to be visited
	wanted  func(i int) bool // nil: all
	visit   func(*object)
	since   uint64 // decisions at its begin: visits that only decide pass over later ones
}

// each visits the members of a set, those that are wanted by index, in slices.
func (s *State) each(members set, visit func(*object), wanted ...func(i int) bool) {
	w := work{members: members, next: members.size(), visit: visit}
	if len(wanted) > 0 {
		w.wanted = wanted[0]
	}
	s.enqueue(w)
}

// reconsider decides on the members of a set, but for those that are decided for another reason before their turn.
func (s *State) reconsider(members set) {
	s.enqueue(work{members: members, next: members.size(), since: s.decided})
}

func (s *State) enqueue(w work) {
	if w.next > 0 {
		s.work = append(s.work, w)
	}
}

// skip is the cost of passing over a member, as a part of a visit.
const skip = 64

// proceed works off one slice.
func (s *State) proceed() {
	for left := slice * skip; left > 0 && len(s.work) > 0; {
		w := &s.work[0]
		w.next = min(w.next, w.members.size()) - 1
		switch {
		case w.next < 0:
			s.work[0] = work{}
			s.work = s.work[1:]
		case w.wanted != nil && !w.wanted(w.next), w.visit == nil && w.members.at(w.next).decided > w.since:
			left--
		case w.visit != nil:
			left -= skip
			w.visit(w.members.at(w.next))
		default:
			left -= skip
			s.consider(w.members.at(w.next))
		}
	}
	if len(s.work) == 0 {
		s.work = nil
	}
}
