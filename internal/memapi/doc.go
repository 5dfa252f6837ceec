// Package memapi is a Kubernetes API server in memory, plain or as kcp serves logical clusters: one http.Handler over a store, with
// lists, watches, merge patches, status subresources and managedFields that answer as the real ones do, fast enough to drive a bench
// and without a socket of its own, so that it runs inside testing/synctest. Faults are decided per request.
//
//	server := memapi.New(memapi.Options{Resources: memapi.KCP()})
//	defer server.Close()
//	server.AddWorkspace("1abc", "root:team-a")
//	config := server.Config() // for clients; over a socket: http.Serve(listener, server)
//	config.Host += "/clusters/1abc"
//	object, err := server.Cluster("1abc").Create(deployments, body) // around HTTP, for load generators
//
// It stands in for API servers in tests, simulations and benches; the product never imports it. The cases of package contract compare its
// answers with those of real servers; deliberate differences are listed beside the tests that run them.
package memapi
