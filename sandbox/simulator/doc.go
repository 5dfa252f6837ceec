// Package simulator plays the controllers and kubelets of SyncTargets that have none: it moves the status of Deployments, Pods and
// Services through roll-outs, scaling, failures and recoveries, as the real ones would write it, at a given rate.
//
// What an object does next is a pure function of the object, the clock and dice (deployment.go, pod.go, service.go); the rest of
// the package watches, chooses and writes.
package simulator
