// Package simulator simulates the controllers and kubelets of SyncTargets: it moves the status of Deployments, Pods and
// Services through roll-outs, scaling, failures and recoveries, as the real ones would write it, at a given rate.
//
// The next step of an object is a pure function of the object, the clock and random numbers (deployment.go, pod.go, service.go);
// the rest of the package watches, chooses and writes.
package simulator
