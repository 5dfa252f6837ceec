// Package controlplane starts real etcd and kube-apiserver processes on loopback, and kills, freezes, resumes and restarts
// them. On Linux they never outlive the process that started them.
//
// One etcd serves any number of API servers. An API server is ready in 2 to 4 s and takes about 280 MB.
package controlplane
