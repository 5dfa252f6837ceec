package actors

import (
	"context"
	"time"

	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
)

// The shared vocabulary, for programs that embed upstreamd and implement the ports.
type (
	// Object holds the parts of a Kubernetes object that upstreamd keeps.
	Object = ref.Object
	// Want selects the parts of objects that a list or watch keeps.
	Want = ref.Want
	// Event is an event of a list or watch.
	Event = ref.Event
	// Emit takes events. It does not block.
	Emit = ref.Emit
	// Patch is one merge patch on the status subresource.
	Patch = ref.Patch
	// SyncTarget names a physical cluster.
	SyncTarget = ref.SyncTarget
	// Description is how an API server serves a resource.
	Description = ref.Description
	// Workspace is the name of a logical cluster.
	Workspace = ref.Workspace
	// Resource is a group, version and plural resource name.
	Resource = ref.Resource
	// UpstreamRef names an object of one resource within all workspaces.
	UpstreamRef = ref.Upstream
	// Extractor extracts the status of an object.
	Extractor = status.Extractor
	// ExtractorFunc is an Extractor that is a function.
	ExtractorFunc = status.ExtractorFunc
)

// Kinds of Event.
const (
	EventListed  = ref.Listed
	EventChanged = ref.Changed
	EventDeleted = ref.Deleted
	EventFailed  = ref.Failed
	EventLeft    = ref.Left
	EventScopes  = ref.Scopes
	EventResumed = ref.Resumed
)

// Downstream is the connection to one SyncTarget.
type Downstream interface {
	// Watch lists and watches r until ctx ends. It calls emit from one goroutine at a time and retries by itself. After EventFailed the
	// watch counts as broken until any other event: EventResumed where it is open again and nothing happened meanwhile.
	Watch(ctx context.Context, r ref.Resource, want ref.Want, emit ref.Emit)
	// List reads r in one namespace ("": all) with a consistent read.
	List(ctx context.Context, r ref.Resource, namespace string, want ref.Want) ([]*ref.Object, error)
	// Probe checks that the cluster answers.
	Probe(ctx context.Context) error
	// LastHeard is when the server last answered over the connection. Refused credentials and failures of the server do not count. Zero: never.
	LastHeard() time.Time
	// Close ends the connection. No other method is called afterwards.
	Close()
}

// Upstream is the connection to the workspaces.
type Upstream interface {
	// Watch lists and watches r in all workspaces until ctx ends, as Downstream.Watch does. Every event carries its scope.
	Watch(ctx context.Context, r ref.Resource, want ref.Want, emit ref.Emit)
	// Get reads one object.
	Get(ctx context.Context, r ref.Resource, u ref.Upstream, want ref.Want) (*ref.Object, error)
	// Patch sends one status patch and returns the object as the server then holds it. Refusals are *apierrors.StatusError;
	// after any other error the outcome is unknown.
	Patch(ctx context.Context, p ref.Patch, want ref.Want) (*ref.Object, error)
	// Host names the API server that serves u. Writes back off per Host.
	Host(u ref.Upstream) string
	// Describe tells how the API server serves r in a scope. The workspace is one of the scope's, or empty: schemas are served in workspaces.
	Describe(ctx context.Context, r ref.Resource, scope, workspace ref.Workspace) (ref.Description, error)
}
