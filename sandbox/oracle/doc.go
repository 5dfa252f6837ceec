// Package oracle says what upstreamd ought to have published, from nothing but the objects in the SyncTargets. It shares no code
// with the product, so that a mistake in the product is not repeated here; a test holds that.
//
// It is made for a quiet world: every SyncTarget answers, nothing has changed for a while, no policy but the built-in ones. It
// knows Deployments (merged), Pods (the status of one SyncTarget) and Services (union of load balancer ingress).
package oracle
