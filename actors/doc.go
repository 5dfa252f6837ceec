// Package actors holds the stages of the flow, one actor a file, in the order in which a status travels:
//
//	watch ──► object ──► aggregator ──► writer
//
// Messages (messages.go) move to the right. Two things come back: the writer's answer to the aggregator, and requests to send
// again. Every message carries an identity, the latest whole snapshot and its place in time, so a lost, repeated or reordered
// message does no harm. Decisions are made by pure packages; the actors only keep state, order and time. Calls over the network
// run in goroutines of their own, under recover, and report back by message.
package actors
