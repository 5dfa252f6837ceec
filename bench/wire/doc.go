// Package wire serves the API servers of a bench at next to no cost, so that the client dominates the measurements: one upstream with
// logical clusters as kcp serves them (or a plain hub), and SyncTargets. Objects are rendered from a template on each read; only counters
// and patched statuses are kept. It serves the calls of a status syncer: lists, streaming lists, watches, GET, and merge patches that check
// resourceVersions and answer with the whole object. It has no validation, selectors or old versions; package memapi has.
package wire
