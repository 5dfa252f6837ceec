// Package controlplane starts real etcd and kube-apiserver processes on loopback, and can kill, freeze, resume and restart
// them. None of them outlives the process that started it, however that ends (on Linux).
//
// One etcd carries any number of API servers. An API server is ready in 2 to 4 s and takes about 280 MB.
package controlplane
