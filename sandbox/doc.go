// Package sandbox starts what upstreamd works between, for its demo, tests and benches: real kube-apiservers as SyncTargets, and
// an upstream that looks like kcp, with a real kube-apiserver behind each workspace. All of it is on loopback, and all of it is
// gone when the process is, however that ends.
package sandbox
