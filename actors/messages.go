package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// ---- target → watch

// Namespaces carries the locations of all of a SyncTarget's Namespaces: the workspace and namespace of their objects. A watch starts with it.
type Namespaces struct {
	Locations map[string]*locator.Location
}

// NamespaceChanged replaces the location of one Namespace; nil: it is gone.
type NamespaceChanged struct {
	Name     string
	Location *locator.Location
}

// ResolverChanged replaces the resolver of locations; all objects are listed again.
type ResolverChanged struct{ Resolver *locator.Resolver }

// SendNamespaces asks a watch's parent for Namespaces.
type SendNamespaces struct{}

// ---- edge → watch, aggregator

// poked reports that an inbox is not empty.
type poked struct{ inbox *inbox }

// crashed reports that the goroutine of a watch panicked, or ended without being stopped.
type crashed struct {
	inbox  *inbox // of the watch
	reason any
}

// ---- watch → object

// Observed is the latest state of a downstream object.
type Observed struct {
	Object   *ref.Object
	Upstream ref.Upstream
	Epoch    uint64
	Received time.Time // when the event came in
	Answer   bool      // answer at once, even if nothing changed: the object was listed
}

// Deleted ends an object actor. Withdraw is false if a Listed without the object withdraws the copy.
type Deleted struct {
	Source   ref.Downstream
	Upstream ref.Upstream
	At       ref.Position
	Withdraw bool
}

// resend asks an object actor for its contribution as of an epoch.
type resend struct{ epoch uint64 }

// flush is the object actor's debounce timer; a flush of an older arming, or of an instance before a restart, is ignored.
type flush struct {
	of     *objectActor
	arming uint32
}

// Unspent answers the report of an isolated change that led to no write.
type Unspent struct{}

// ---- object → watch

// objectRestarted asks for a read of the object: its actor lost its state.
type objectRestarted struct{ source ref.Downstream }

// ---- object → bucket

// Reports go to the bucket of their upstream object as reconcile.Reported and reconcile.Withdrew.

// ---- watch → aggregator

// Listed carries a part of a SyncTarget's complete list.
type Listed struct {
	reconcile.CopiesListed
	From   *actor.PID // the watch, for a Relist
	Resent bool       // the answer to a Resend: the watch's inventory, not a list
}

// Relist asks a watch to list again: so many copies vanished that a second list has to confirm it.
type Relist struct{}

// ---- watch, namespaces → target

// WatchBroke reports that a list and watch of a SyncTarget is not live: it is being opened, or failed. It repeats with each new cause. Without
// a Resource it is the watch of the Namespaces, which all resources depend on.
type WatchBroke struct {
	Resource ref.Resource
	Watch    *actor.PID
	Since    time.Time
	Over     ref.Limit // the limit that was exceeded: a quarantine, until a complete list keeps to it; empty: none
	Err      error     // the cause; nil: it is being opened
}

// WatchLive reports that the list is complete and the watch is open.
type WatchLive struct {
	Resource ref.Resource
	Watch    *actor.PID
}

// ---- target, root → aggregator → buckets

// Facts about SyncTargets are reconcile.SyncTargetAdded, SyncTargetChanged, SyncTargetRemoved and FreshnessChanged. The loss of the
// writer's queue is reconcile.WriterRestarted.

// PolicyChanged replaces the policies; all objects are decided again.
type PolicyChanged struct{ Policies *policy.Set }

// Flush asks for decisions at once where a quiet window is open, and for Flushed: the process is stopping.
type Flush struct{}

// Flushed answers Flush.
type Flushed struct{ Resource ref.Resource }

// ---- aggregator → parent

// AggregatorStarted reports to the parent that an aggregator, or one of its buckets, is new and knows nothing.
type AggregatorStarted struct{ Resource ref.Resource }

// UpstreamReady reports to the parent that all scopes of the resource were listed upstream.
type UpstreamReady struct{ Resource ref.Resource }

// ---- aggregator ↔ buckets

// The aggregator routes upstream facts to its buckets as reconcile events.

// bucketReport carries a report of a bucket: bucketStarted, reconcile.ScopeReady, reconcile.Tallied or Flushed.
type bucketReport struct {
	bucket      int // its index
	incarnation uint64
	fact        any
}

// bucketStarted reports that a bucket is new and knows nothing.
type bucketStarted struct{}

// ---- root → target → watch

// Resend asks for all reports again: the aggregator of Resource is new.
type Resend struct{ Resource ref.Resource }

// ---- bucket → writer

// Write asks for the latest decision on an object to be written. It replaces a queued one.
type Write struct {
	reconcile.Write
	Resource ref.Resource
	From     *actor.PID
}

// Cancel drops a queued Write.
type Cancel struct {
	reconcile.Cancel
	Resource ref.Resource
}

// Incarnation reports to the writer that a bucket is new, or (number 0) gone: queued writes of its predecessors are no longer due.
type Incarnation struct {
	From   *actor.PID
	Number uint64
}

// ---- writer's workers → writer

// patched is how a call ended.
type patched struct {
	call
	of     *writer // an instance before a restart has other slots and tokens
	fenced bool    // not sent: there is no right to write
	object *ref.Object
	err    error
}

// call is a write under way.
type call struct {
	write Write
	host  string
	began time.Time
}

// ---- writer → bucket

// Answers are reconcile.Acknowledged and reconcile.Refused. They overtake the other messages in a bucket's mailbox.

// ---- root → writer

// MayWrite reports to the writer that the right to write has begun: writes that wait for it are sent at once.
type MayWrite struct{}

// Drain asks the writer to send its queue, and to answer with Drained when nothing is left.
type Drain struct{}

// Drained answers Drain.
type Drained struct{}

// ---- any → aggregator → bucket

// Explain asks for the facts about an object and its last decision; the answer is a reconcile.Explanation.
type Explain struct{ Upstream ref.Upstream }

// ---- events for subscribers, on the actor system's event stream

// Published reports that a status was written and acknowledged.
type Published struct {
	Resource ref.Resource
	Upstream ref.Upstream
	Status   []byte // as the API server holds it now, JSON
	Reason   aggregate.Reason
	Latency  time.Duration // from the oldest event in it to the acknowledgement; 0: not caused by an event
}
