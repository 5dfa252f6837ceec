// Package copier is a small spec syncer: it watches objects in workspaces and keeps copies of them in the SyncTargets that their
// placement labels name (state.workload.kcp.io/<key>: Sync), as kcp's own syncer did, or with prefixed namespaces. It copies the
// user's fields, never status, and deletes copies when their objects or placements are deleted.
//
// It does not watch the SyncTargets: if another client changes or deletes a copy, the copy stays so until its object changes, or
// until Resync. Copies of objects that were deleted while no copier ran stay, too.
package copier
