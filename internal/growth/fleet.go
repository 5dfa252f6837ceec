package growth

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// fleet is a world of 200 SyncTargets. Each object has one copy, is placed by a label, and its status is published.
type fleet struct {
	*world
	constant []*share // their number and size do not depend on the size of the fleet
	turn     int
	largest  *share
	objects  int
	object   func(int) *ref.Object
}

const (
	targets    = 200
	ofConstant = 100 // SyncTargets with a constant share
	mostShare  = 500 // copies in it
	perPlace   = 100 // objects in a workspace
)

// newFleet spreads entries over the SyncTargets: the constant shares, and the rest over the others.
func newFleet(entries int) (*fleet, error) {
	w, err := newWorld()
	if err != nil {
		return nil, err
	}
	w.deciding = false
	entries = max(entries, targets)
	inConstant := min(mostShare, entries/targets) * ofConstant
	shares, labels := make([]*share, targets), make([]map[string]string, targets)
	for i := range shares {
		t := w.target(i)
		shares[i], labels[i] = &share{target: t.Name}, map[string]string{locator.PlacementPrefix + t.Key(): "Sync"}
	}
	published, err := publishedStatus()
	if err != nil {
		return nil, err
	}
	of := func(i int) int {
		if i < inConstant {
			return i % ofConstant
		}
		return ofConstant + i%(targets-ofConstant)
	}
	names := make([]ref.Upstream, entries)
	for i := range names {
		names[i] = web(ref.Workspace("ws-"+strconv.Itoa(i/perPlace)), i)
		shares[of(i)].add(names[i], 3)
	}
	for _, s := range shares {
		w.list(s)
	}
	f := &fleet{world: w, constant: shares[:ofConstant], largest: shares[targets-1], objects: entries}
	f.object = func(i int) *ref.Object {
		o := object(names[i])
		o.Labels, o.Status = labels[of(i)], published
		return o
	}
	w.upstream(entries, f.object)
	w.deciding = true
	return f, nil
}

// publishedStatus is the status that is decided on for one object with one copy.
func publishedStatus() ([]byte, error) {
	w, err := newWorld()
	if err != nil {
		return nil, err
	}
	t := w.target(0)
	s := &share{target: t.Name}
	s.add(web(open, 0), 3)
	w.list(s)
	w.upstream(1, func(int) *ref.Object {
		o := object(web(open, 0))
		o.Labels = map[string]string{locator.PlacementPrefix + t.Key(): "Sync"}
		return o
	})
	if len(w.writes) != 1 {
		return nil, fmt.Errorf("%d writes for one object", len(w.writes))
	}
	_, status, _ := bytes.Cut(w.writes[0].Body, []byte(`"status":`))
	return slices.Clone(status[:len(status)-1]), nil
}

// next is the SyncTarget with a constant share whose turn it is: they take turns, so that a step finds its objects no more in the CPU's
// caches than they are in a running daemon.
func (f *fleet) next() *share {
	f.turn++
	return f.constant[f.turn%len(f.constant)]
}

// flap has one SyncTarget become stale, and fresh again before the writes are sent.
func (f *fleet) flap(s *share) {
	f.writes, f.cancels = f.writes[:0], 0
	f.now = f.now.Add(time.Second)
	f.take(reconcile.FreshnessChanged{Target: s.target, Stale: true, Since: f.now})
	f.now = f.now.Add(time.Second)
	f.take(reconcile.FreshnessChanged{Target: s.target})
	if len(f.writes) != len(s.values) || f.cancels != len(s.values) {
		panic(fmt.Sprintf("%d writes and %d cancelled for %d copies", len(f.writes), f.cancels, len(s.values)))
	}
}

// change replaces the policy by an equal one.
func (f *fleet) change() {
	f.writes = f.writes[:0]
	f.take(reconcile.PolicyChanged{Policy: f.policy})
	if len(f.writes) > 0 {
		panic(fmt.Sprintf("%d writes although all is published, such as %s", len(f.writes), f.writes[0].Body))
	}
}

// listed lists all upstream objects again.
func (f *fleet) listed() { f.upstream(f.objects, f.object) }
