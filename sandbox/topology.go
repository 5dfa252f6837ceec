package sandbox

import "github.com/upstreamd/upstreamd/sandbox/topology"

// Topology describes the workspace for copier, simulator and oracle. Their calls bypass the front and are not counted.
func (w *Workspace) Topology() topology.Workspace {
	return topology.Workspace{Name: w.Name, Config: w.APIServer.Config()}
}

// Topology describes the SyncTarget for copier, simulator and oracle.
func (t *SyncTarget) Topology() topology.SyncTarget {
	return topology.SyncTarget{Name: t.Name, Cluster: t.Cluster, UID: t.UID, Config: t.Config()}
}

// Topology describes all workspaces and SyncTargets, sorted by name.
func (s *Sandbox) Topology() (workspaces []topology.Workspace, syncTargets []topology.SyncTarget) {
	for _, w := range s.Workspaces() {
		workspaces = append(workspaces, w.Topology())
	}
	for _, t := range s.SyncTargets() {
		syncTargets = append(syncTargets, t.Topology())
	}
	return workspaces, syncTargets
}
