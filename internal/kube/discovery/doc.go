// Package discovery finds out what there is to watch: which kinds an API server serves, and which SyncTargets a workspace names.
package discovery
