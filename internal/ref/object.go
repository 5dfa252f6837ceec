package ref

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Object holds the kept parts of a Kubernetes object: identity, the metadata selected by Want, and the status as received. It is
// immutable once it is passed on.
type Object struct {
	Workspace       Workspace // upstream objects only
	Namespace, Name string
	UID             types.UID
	ResourceVersion string
	Generation      int64
	Deleting        bool              // has a deletionTimestamp
	Created         time.Time         // by the server's clock; zero: not known
	Clock           Clock             // of the server
	Labels          map[string]string // only the keys that Want selects
	Annotations     map[string]string // only the keys that Want selects
	StatusTime      time.Time         // newest time among the status entries of managedFields, if Want asked for it; else zero
	Managers        []Manager         // writers of the status subresource, if Want asked for them
	Status          []byte            // the JSON value of .status; nil: there is none
	Spec            []byte            // the JSON value of .spec, if Want asked for it; nil: there is none, or it is as in an earlier event (SpecHash)
	SpecHash        uint64            // of the JSON value of .spec; 0: there is none
	Raw             []byte            // the whole object's JSON, only if Want asked for it
	Err             error             // why the object could not be decoded beyond its identity; then Status is nil
}

// Clock is a server's clock in terms of this process's.
type Clock struct {
	Offset time.Duration // by how much it is ahead
	Doubt  time.Duration // by how much Offset may be wrong, either way
}

// Manager is a managedFields entry for the subresource "status".
type Manager struct {
	Name   string
	Time   time.Time
	Fields []byte // the raw fieldsV1 of our own manager (FieldManager); nil for others
}

// FieldManager is the name under which upstreamd writes.
const FieldManager = "upstreamd"

// All keeps every key, in Want's Labels or Annotations.
const All = "*"

// Want selects the parts of objects that a list or watch keeps. A key in Labels and Annotations that ends in "/" or "-" or "."
// keeps every key with that prefix, All keeps every key, any other keeps the key itself. Identity, generation and status are
// always kept.
type Want struct {
	Labels, Annotations []string
	Selector            string // server-side label selector; empty: all objects
	StatusTimes         bool   // fill Object.StatusTime
	Managers            bool   // fill Object.Managers
	Spec                bool   // fill Object.Spec and SpecHash
	SpecOnce            bool   // in a watch, leave Object.Spec out of events in which it is as it was in some before
	Whole               bool   // fill Object.Raw
}

// EventType is the kind of an Event.
type EventType int

const (
	// Listed carries all objects of a scope; objects that it lacks are gone.
	Listed EventType = iota
	// Changed carries one object that was added or modified.
	Changed
	// Deleted carries the last known state of one object that was deleted by an event.
	Deleted
	// Failed carries the error of a list or watch that will be tried again.
	Failed
	// Left reports that a workspace no longer belongs to a scope, or that the whole scope is gone, and its objects with it. If it names a
	// workspace, objects newer than Version stay: the workspace came back.
	Left
	// Scopes carries the whole set of scopes that an upstream watch covers from now on. It comes before the first Listed and again
	// whenever the set changes: before the first event of a new scope, after the Left of a scope that is gone. For an APIExport, none is
	// reported until its endpoints are known.
	Scopes
	// Resumed reports that a failed watch is open again at the resourceVersion that it had reached: no event is lost.
	Resumed
)

// Event is one report of a list or watch. Events of one watch come from one goroutine at a time, in order.
type Event struct {
	Type EventType
	// Scope is the range of one list: a workspace, "*" for all, or all workspaces of one shard, under a name that no workspace has. An object
	// belongs to one scope, and resourceVersions are comparable within one only. Downstream there is one scope, which is empty.
	Scope     Workspace
	Workspace Workspace   // of Left: which one; empty: all of the scope
	Scopes    []Workspace // of Scopes: all of them, sorted
	Objects   []*Object
	Version   string // of Listed: the list's resourceVersion, where there is one; of Left: that at which a workspace left
	Err       error
}

// Emit takes events. It does not block.
type Emit func(Event)

// Patch is one merge patch on the status subresource.
type Patch struct {
	Resource Resource
	Upstream Upstream
	Body     []byte // a JSON merge patch that holds metadata.resourceVersion and status, nothing else
}

// Fence bounds a write by the right to write: ok is false when the right has run out; else ctx ends when it does.
type Fence func(ctx context.Context) (bounded context.Context, cancel context.CancelFunc, ok bool)
