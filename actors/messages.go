package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Position is a fact's place in time. Epochs grow with every list, over all sources of a process.
type Position struct {
	Epoch           uint64
	UID             types.UID
	ResourceVersion string
}

// Before reports whether p is certainly older than q. Versions that cannot be compared are not.
func (p Position) Before(q Position) bool {
	if p.Epoch != q.Epoch {
		return p.Epoch < q.Epoch
	}
	return newer(q.ResourceVersion, p.ResourceVersion)
}

// newer reports whether resourceVersion a is certainly newer than b.
func newer(a, b string) bool {
	if a == b {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order > 0
}

// ---- target → watch

// Namespaces is what a SyncTarget's Namespaces say of where their objects belong, whole. A watch starts when it has it.
type Namespaces struct {
	Locations map[string]*locator.Location
}

// NamespaceChanged replaces what was known of one Namespace; Location nil: it is gone.
type NamespaceChanged struct {
	Name     string
	Location *locator.Location
}

// ResolverChanged replaces how objects are located; all are looked at again.
type ResolverChanged struct{ Resolver *locator.Resolver }

// SendNamespaces asks a watch's parent for Namespaces.
type SendNamespaces struct{}

// ---- edge → watch, aggregator

// poked says that an inbox has something to drain.
type poked struct{ inbox *inbox }

// crashed says that a goroutine of the actor panicked or ended though nobody asked it to.
type crashed struct{ reason any }

// ---- watch → object

// Observed is the latest state of a downstream object.
type Observed struct {
	Object   *ref.Object
	Upstream ref.Upstream
	Epoch    uint64
	Received time.Time // when the event came in
	Answer   bool      // answer at once, even if nothing changed: the object was listed
}

// Deleted ends an object actor. Withdraw is false when a Listed without the object says the same.
type Deleted struct {
	Source   ref.Downstream
	Upstream ref.Upstream
	At       Position
	Withdraw bool
}

// resend asks an object actor for its contribution as of an epoch.
type resend struct{ epoch uint64 }

// flush is the object actor's debounce timer; a flush of an older arming is ignored.
type flush struct{ arming uint32 }

// ---- object → watch

// objectRestarted asks for the object to be read again: its actor lost its state.
type objectRestarted struct{ source ref.Downstream }

// ---- object → aggregator

// Contributed is the status that one SyncTarget's object adds to an upstream object.
type Contributed struct {
	Target       ref.SyncTarget
	Source       ref.Downstream
	Upstream     ref.Upstream
	At           Position
	Contribution *aggregate.Contribution // nil: the object has no status, or one that was refused (Refused says why)
	Refused      string
	Received     time.Time // of the oldest event that is in it and was not sent before
}

// Withdrawn says that a downstream object is gone, or no longer belongs to the upstream object.
type Withdrawn struct {
	Target   ref.SyncTarget
	Source   ref.Downstream
	Upstream ref.Upstream
	At       Position
}

// ---- watch → aggregator

// Listed says what a SyncTarget's completed list holds of ours. Each of these objects answers with Contributed at this epoch; what is
// not among them is gone.
type Listed struct {
	Target ref.SyncTarget
	Epoch  uint64
	Held   []Held
	From   *actor.PID // the watch, to be asked for a Relist
}

// Held is a downstream object, and the upstream object that it stands for.
type Held struct {
	Source   ref.Downstream
	Upstream ref.Upstream
}

// Relist asks a watch to list again, because so much vanished that it needs a second look.
type Relist struct{}

// ---- watch, namespaces → target

// Quarantined says that the SyncTarget went over a limit with one kind, and is not asked for it for a while; or, without Over, that a
// complete list of it is here. Without a Resource it is about the Namespaces, and so about all kinds.
type Quarantined struct {
	Resource ref.Resource
	Over     *ref.OverLimit
}

// ---- target, root → aggregator

// TargetAdded says that a SyncTarget may contribute, from an epoch on.
type TargetAdded struct {
	Target     locator.Target
	Scheduling Scheduling
	FromEpoch  uint64
}

// TargetChanged says that something else is known of a SyncTarget that is there, such as the workspaces that it is bound to.
type TargetChanged struct {
	Target     locator.Target
	Scheduling Scheduling
}

// Scheduling is what the SyncTarget object says of new and present workloads.
type Scheduling struct {
	Unschedulable bool // it takes no new ones: it is chosen as a primary only where no other can be
	Evicted       bool // it is to hold none any more: it counts as one on which nothing is placed
}

// TargetHealth says whether what is known of a SyncTarget is up to date: it was heard of within the grace period, and keeps to its limits.
type TargetHealth struct {
	Target ref.SyncTarget
	Stale  bool
	Since  time.Time // when it was heard of last, if it is stale
	Over   ref.Limit // the limit that it went over, if it is stale for that; else empty
}

// TargetRemoved withdraws all that a SyncTarget contributed.
type TargetRemoved struct{ Target ref.SyncTarget }

// PolicyChanged replaces the policies; every object is decided again.
type PolicyChanged struct{ Policies *policy.Set }

// WriterRestarted says that what waited in the writer is lost.
type WriterRestarted struct{}

// Flush asks an aggregator to decide at once what waits for its quiet window, and to answer with Flushed: the daemon is stopping.
type Flush struct{}

// Flushed answers Flush.
type Flushed struct{}

// ---- root → target → watch

// Resend asks for everything to be sent again: the aggregator of Resource is new.
type Resend struct{ Resource ref.Resource }

// ---- aggregator → writer

// Write asks for the latest decision on an object to be written. It replaces one that waits. A nil Body takes back what waits.
type Write struct {
	Patch    ref.Patch
	Seq      uint64
	Version  string // the resourceVersion it was decided on
	Lane     patch.Lane
	Cause    ref.SyncTarget // whose news it is; empty: no single one's
	Received time.Time      // of the oldest event in it; zero: no event caused it
	From     *actor.PID

	// For the aggregator, when the answer comes.
	status  map[string]any // the patch's status, as a map
	desired map[string]any // the whole decision
	want    ref.Want       // what is needed of the answer
	looks   int            // of the aggregator when it was asked for
	reason  aggregate.Reason
	answers *answers // where it is looked for
}

// ---- writer's workers → writer

// patched is how a call ended.
type patched struct {
	call
	fenced bool // not sent: there is no right to write
	object *ref.Object
	err    error
}

// call is a write under way.
type call struct {
	write Write
	host  string
	began time.Time
}

// ---- writer → aggregator

// Acknowledged says that a write took place, and how the server then holds the object.
type Acknowledged struct {
	Write  Write
	Object *ref.Object
}

// Refused says that a write did not take place, or that nobody knows.
type Refused struct {
	Write Write
	Class Refusal
	Err   error
}

// ---- root → writer

// MayWrite tells the writer that the right to write has begun: what waits for it goes on at once.
type MayWrite struct{}

// Drain asks the writer to send what waits and to answer with Drained when nothing is left.
type Drain struct{}

// Drained answers Drain.
type Drained struct{}

// ---- aggregator and its goroutines → itself

// due says that an object's quiet window, park or grace has ended.
type due struct {
	upstream ref.Upstream
	at       time.Time
}

// unlearn says that a field which the server did not keep may be tried again: its schema may have changed.
type unlearn struct {
	workspace ref.Workspace
	path      string
}

// parkEnded says that a resource's pause in a workspace is over.
type parkEnded struct{ workspace ref.Workspace }

// fetched answers a GET.
type fetched struct {
	upstream ref.Upstream
	object   *ref.Object
	err      error
	known    string // resourceVersion that was known when it was asked for
	looks    int    // of the aggregator then
}

// described answers what the API server says of the resource in a scope.
type described struct {
	scope     ref.Workspace
	typed     bool
	hasStatus bool
	err       error
}

// backlog goes on with objects that have to be decided again in bulk.
type backlog struct{}

// overdue says that a SyncTarget's deadline for its first list has passed.
type overdue struct {
	target ref.SyncTarget
	epoch  uint64
}

// ---- anybody → aggregator

// Explain asks for what is known of an object and its last decision; the answer is an Explanation.
type Explain struct{ Upstream ref.Upstream }

// Explanation answers Explain.
type Explanation struct {
	Known      bool
	Reason     aggregate.Reason
	Message    string
	Input      aggregate.Input
	Status     map[string]any
	Suppressed string // why a due patch is not sent now: "", "Parked: …", "Contested: …"
}

// ---- events for subscribers, on the actor system's event stream

// Published says that a status was written and acknowledged.
type Published struct {
	Resource ref.Resource
	Upstream ref.Upstream
	Status   []byte // as the API server holds it now, JSON
	Reason   aggregate.Reason
	Latency  time.Duration // from the oldest event in it to the acknowledgement; 0: not caused by an event
}
