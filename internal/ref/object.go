package ref

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Object is what is kept of a Kubernetes object: identity, the metadata that was asked for (Want), and the status as it was
// received. It is immutable after it was handed on.
type Object struct {
	Workspace       Workspace // upstream objects only
	Namespace, Name string
	UID             types.UID
	ResourceVersion string
	Generation      int64
	Deleting        bool              // has a deletionTimestamp
	Labels          map[string]string // only what Want asked for
	Annotations     map[string]string // only what Want asked for
	StatusTime      time.Time         // newest time among the status entries of managedFields, if Want asked for it; else zero
	Managers        []Manager         // writers of the status subresource, if Want asked for them
	Status          []byte            // the JSON value of .status; nil: there is none
	Raw             []byte            // the whole object's JSON, only if Want asked for it
	Err             error             // why the object could not be decoded beyond its identity; then Status is nil
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

// Want says what is to be kept of the objects of a list or watch. A key in Labels and Annotations that ends in "/" or "-" or "."
// keeps every key with that prefix, All keeps every key, any other keeps the key itself. Identity, generation and status are
// always kept.
type Want struct {
	Labels, Annotations []string
	Selector            string // server-side label selector; empty: all objects
	StatusTimes         bool   // fill Object.StatusTime
	Managers            bool   // fill Object.Managers
	Whole               bool   // fill Object.Raw
}

// EventType says what happened in a watch.
type EventType int

const (
	// Listed carries the whole content of a scope; what it lacks is gone.
	Listed EventType = iota
	// Changed carries one object that was added or modified.
	Changed
	// Deleted carries the last known state of one object that was deleted by an event.
	Deleted
	// Failed carries the error of a list or watch that will be tried again.
	Failed
	// Left says that a workspace no longer belongs to a scope, or that the whole scope is no more: what it held is gone. Of a workspace,
	// what is newer than Version stays: it came back.
	Left
	// Scopes announces all scopes that the watch covers, before the first Listed and whenever they change.
	Scopes
	// Resumed says that a watch that had failed is open again at the resourceVersion that it had reached: no event is lost.
	Resumed
)

// Event is what a list or watch says. Events of one watch come from one goroutine at a time, in order.
type Event struct {
	Type EventType
	// Scope is what one list covers: a workspace, "*" for all, or all those of one shard, under a name that no workspace has. An object
	// belongs to one scope, and resourceVersions are comparable within one only. Downstream there is one scope, which is empty.
	Scope     Workspace
	Workspace Workspace // of Left: which one; empty: all of the scope
	Objects   []*Object
	Scopes    []Workspace // of Scopes
	Version   string      // of Listed: the list's resourceVersion, where there is one; of Left: that at which a workspace left
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
