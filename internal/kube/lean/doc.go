// Package lean lists and watches Kubernetes objects and keeps of each only what was asked for: identity, some labels and
// annotations, and the status as it was received. The rest of an object is skipped while it is read and never allocated.
//
// A client-go informer decodes each object whole and keeps it. Here one [Decoder] runs straight over the body of the answer, and
// client-go's reflector (which knows when to list, when to watch and from which resourceVersion) hands every object on at once to
// an [ref.Emit]; there is no cache.
//
//	HTTP body ──► Decoder ──► Source (reflector, pacing, watchdog) ──► ref.Emit
package lean
