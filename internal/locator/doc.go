// Package locator finds the upstream object of a downstream object, and the other way round, by the conventions of the programs that sync
// specs down: kcp's namespace locator, namespaces with a prefix, and api-syncagent's labels.
//
// The marks on a downstream object are a hint, not a proof (the proof is the connection that it came through, and the placement or
// binding that the aggregator checks). The package promises that a hint is taken only if nothing about it is wrong: the Namespace's name
// is the one that follows from it, it names this SyncTarget, it is written the one way it is written, and its parts are names that
// are safe in a URL. So for one upstream namespace there is one downstream name, and the owner of another Namespace cannot claim it.
// Forward and reverse are inverse; names that would not lead back on the way up are refused on the way down.
//
// # Pass-through
//
// The prefix style also takes Namespaces without the prefix, and cluster-scoped objects, as they are; they carry no mark of where they
// belong, so this rests on the binding alone and is narrow on purpose:
//   - the SyncTarget is bound to exactly one workspace;
//   - Prefix is the only style (or the upstream is a plain Kubernetes hub): where a way down marks its Namespaces, one without a mark is not its;
//   - never a Namespace named kcp-… (some other workspace's, or kcp's own) or kube-… (reserved by Kubernetes), and no cluster-scoped object
//     named kube-… or system:…;
//   - never the objects that each cluster makes for itself: kubernetes in the Namespace default, kube-root-ca.crt anywhere.
//
// It is pure: no I/O, no clock, no goroutine.
package locator
