// Package discovery reads which kinds an API server serves, and which SyncTargets a workspace holds.
package discovery
