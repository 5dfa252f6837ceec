// Package oracle calculates the statuses that upstreamd should have published, from the objects in the SyncTargets alone. It shares
// no code with the product, so that it does not repeat the product's bugs; a test checks its imports.
//
// It requires a world at rest: every SyncTarget answers, no recent changes, only built-in policies. It supports Deployments
// (merged), Pods (the status of one SyncTarget) and Services (union of load balancer ingress).
package oracle
