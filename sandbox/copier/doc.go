// Package copier is a small spec syncer: it watches objects in workspaces and keeps copies of them in the SyncTargets that their
// placement labels name (state.workload.kcp.io/<key>: Sync), as kcp's own syncer did, or with prefixed namespaces. It copies what
// the user wrote, never status, and takes copies away when their objects or placements go.
//
// It does not watch the SyncTargets: a copy that somebody else changes or deletes stays so until its object changes, or Resync.
// Copies whose objects went while no copier ran stay, too.
package copier
