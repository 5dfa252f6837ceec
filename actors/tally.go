package actors

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// tallies sum up over all buckets how many copies the lists of SyncTargets lack.
type tallies map[ref.SyncTarget]*tally

// tally is that of the newest list of one SyncTarget.
type tally struct {
	epoch           uint64
	resent          bool // not a list, but the watch's inventory
	buckets         int  // that have counted
	vanished, known int
	doubted         bool // an earlier list lacked so much that this one has to confirm it
	watch           *actor.PID
}

// verdict is what follows from a complete tally.
type verdict int

const (
	undecided verdict = iota // buckets are missing, or a list is due
	confirmed
	doubtful // a second list has to confirm it
)

// massive reports whether so much vanished in one list that a second list has to confirm it.
func massive(vanished, known int) bool { return vanished > 20 && vanished*2 > known }

// listed begins the tally of a newer list.
func (ts tallies) listed(m Listed) {
	before := ts[m.Target]
	if before != nil && before.epoch >= m.Epoch {
		return
	}
	ts[m.Target] = &tally{epoch: m.Epoch, resent: m.Resent, doubted: before != nil && before.doubted, watch: m.From}
}

// counted adds the count of one of n buckets.
func (ts tallies) counted(m reconcile.Tallied, n int) (*tally, verdict) {
	t := ts[m.Target]
	if t == nil || t.epoch != m.Epoch {
		return nil, undecided
	}
	t.buckets++
	t.vanished += m.Vanished
	t.known += m.Known
	switch {
	case t.buckets < n:
		return t, undecided
	case !massive(t.vanished, t.known) || t.doubted && !t.resent:
		delete(ts, m.Target)
		return t, confirmed
	case t.doubted: // an inventory is no second list: that is on its way
		return t, undecided
	}
	t.doubted = true
	return t, doubtful
}
