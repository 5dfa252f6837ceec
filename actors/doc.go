// Package actors holds the stages of the flow as actors, in the order in which a status travels:
//
//	watch ──► object ──► bucket of an aggregator ──► writer
//
// Messages (messages.go) move to the right. Two kinds come back: the writer's answers to the buckets, and requests to report again. Every
// message carries an identity, the latest whole snapshot and its place in time, so a lost, repeated or reordered message does no harm.
// Pure packages decide; the actors keep state, order and time. Calls over the network run in goroutines of their own, under recover, and
// report back by message. Such a message names the instance that began the call: after a restart the results of the dead instance are
// dropped.
package actors
