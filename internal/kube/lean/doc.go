// Package lean lists and watches Kubernetes objects and keeps of each only the wanted fields: identity, some labels and
// annotations, and the status as it was received. The rest of an object is skipped while it is read and never allocated.
//
// A client-go informer decodes each object whole and keeps it. Here one [Decoder] runs straight over the body of the answer, and
// client-go's reflector (which knows when to list, when to watch and from which resourceVersion) hands every object on at once to
// an [ref.Emit]; there is no cache.
//
//	HTTP body ──► Decoder ──► Source (reflector, pacing, watchdog) ──► ref.Emit
//
// The Decoder's layers, from the bytes up: meter (limits), tokens (grammar; skip and words are its fast way over values that are not
// kept), scanner (which members of an object are kept), Decoder (objects, lists and events, and recovery after a broken one).
package lean
