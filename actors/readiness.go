package actors

import "github.com/upstreamd/upstreamd/internal/ref"

// readiness tells when all scopes of a resource are decided on in all buckets for the first time. A watch that announces no scopes is ready
// with the first one.
type readiness struct {
	buckets   int
	done      bool
	announced bool
	scopes    map[ref.Workspace]map[int]struct{} // buckets that decide on the scope's objects
}

func newReadiness(buckets int) readiness {
	return readiness{buckets: buckets, scopes: map[ref.Workspace]map[int]struct{}{}}
}

// announce takes the scopes that are watched from now on.
func (r *readiness) announce(scopes []ref.Workspace) {
	if r.done {
		return
	}
	watched := make(map[ref.Workspace]map[int]struct{}, len(scopes))
	for _, name := range scopes {
		watched[name] = r.scopes[name]
	}
	r.scopes, r.announced = watched, true
}

// ready takes that a bucket decides on the objects of a scope.
func (r *readiness) ready(scope ref.Workspace, bucket int) {
	in, known := r.scopes[scope]
	if r.done || r.announced && !known {
		return
	}
	if in == nil {
		in = map[int]struct{}{}
		r.scopes[scope] = in
	}
	in[bucket] = struct{}{}
}

func (r *readiness) left(scope ref.Workspace) { delete(r.scopes, scope) }

// restarted takes that a bucket has lost its state.
func (r *readiness) restarted(bucket int) {
	for _, in := range r.scopes {
		delete(in, bucket)
	}
}

// complete reports once that all scopes are ready.
func (r *readiness) complete() bool {
	if r.done || !r.announced && len(r.scopes) == 0 {
		return false
	}
	for _, in := range r.scopes {
		if len(in) < r.buckets {
			return false
		}
	}
	r.done, r.scopes = true, nil
	return true
}
