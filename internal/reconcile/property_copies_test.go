package reconcile

import (
	"maps"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/ref"
)

func (m *machine) addTarget(n ref.SyncTarget, workspaces []ref.Workspace, s Scheduling) {
	m.epoch++
	m.targets[n] = &syncTarget{
		added: SyncTargetAdded{
			Target: locator.Target{Name: n, Cluster: "root", Workspaces: workspaces}, Scheduling: s, FromEpoch: m.epoch,
		},
		listed: m.epoch, copies: map[ref.Downstream]*downstreamCopy{},
	}
	m.step(m.targets[n].added)
}

func (m *machine) position(t *syncTarget, c *downstreamCopy) ref.Position {
	return ref.Position{Epoch: t.listed, UID: types.UID(strconv.Itoa(c.uid)), ResourceVersion: c.version}
}

func (m *machine) report(n ref.SyncTarget, d ref.Downstream) {
	t := m.targets[n]
	c := t.copies[d]
	m.reports = append(m.reports, Reported{Target: n, Source: d, Upstream: c.upstream, At: m.position(t, c), Contribution: c.value, Evidence: c.evidence, Received: m.now})
}

// relist lists a SyncTarget's copies in two parts; each of them reports at the new epoch, some time.
func (m *machine) relist(n ref.SyncTarget, confirm bool) {
	t := m.targets[n]
	m.epoch++
	t.listed = m.epoch
	var all []Copy
	for _, d := range slices.SortedFunc(maps.Keys(t.copies), bySource) {
		all = append(all, Copy{d, t.copies[d].upstream})
	}
	half := len(all) / 2
	m.step(CopiesListed{Target: n, Epoch: t.listed, Copies: all[:half]})
	for _, c := range all {
		m.report(n, c.Source)
	}
	m.step(CopiesListed{Target: n, Epoch: t.listed, Copies: all[half:], Last: true})
	if confirm {
		t.confirmed = true
		m.step(ListConfirmed{Target: n, Epoch: t.listed})
	}
}
