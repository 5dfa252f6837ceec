package actors

import (
	"context"
	"time"

	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
)

// The shared vocabulary, by names that programs can use that embed upstreamd and implement the ports.
type (
	// Object is what is kept of a Kubernetes object.
	Object = ref.Object
	// Want says what is to be kept of the objects of a list or watch.
	Want = ref.Want
	// Event is what a list or watch says.
	Event = ref.Event
	// Emit takes events. It does not block.
	Emit = ref.Emit
	// Patch is one merge patch on the status subresource.
	Patch = ref.Patch
	// SyncTarget names a physical cluster.
	SyncTarget = ref.SyncTarget
	// Workspace is the name of a logical cluster.
	Workspace = ref.Workspace
	// Resource is a group, version and plural resource name.
	Resource = ref.Resource
	// UpstreamRef names an object of one resource within all workspaces.
	UpstreamRef = ref.Upstream
	// Extractor takes the status out of an object.
	Extractor = status.Extractor
	// ExtractorFunc is a function that is an Extractor.
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
	// Probe asks whether the cluster answers at all.
	Probe(ctx context.Context) error
	// LastHeard is when the server last said anything over the connection but that it does not know us, or cannot answer; zero: never.
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
	// Host names the server behind which u lives; it is paused as a whole when it asks for it.
	Host(u ref.Upstream) string
	// Typed tells whether the server normalises r by its own Go types in a scope, so that zero and absent are the same.
	Typed(ctx context.Context, r ref.Resource, scope ref.Workspace) (bool, error)
	// HasStatus tells whether r is served with a status subresource in a scope. Where that may differ from workspace to workspace, the
	// answer is yes, and writes find out.
	HasStatus(ctx context.Context, r ref.Resource, scope ref.Workspace) (bool, error)
}
