// Package wire plays the API servers of a bench at next to no cost of its own, so that what is measured is who talks to them: one
// upstream with logical clusters as kcp serves them (or a plain hub), and SyncTargets. Objects are drawn from a template as they are
// asked for; only counters, and what was patched, is kept. It speaks what a status syncer needs: lists, streaming lists, watches,
// GET, and merge patches that check resourceVersions and answer with the whole object. What it leaves out (validation, selectors,
// old versions) package memapi of the product has.
package wire
