// Package sandbox starts the API servers for upstreamd's demo, tests and benches: real kube-apiservers as SyncTargets, and
// an upstream that looks like kcp, with a real kube-apiserver behind each workspace. All of them run on loopback and never
// outlive the process.
package sandbox
