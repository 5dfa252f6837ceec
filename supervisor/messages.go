package supervisor

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// The messages within this package, in the order of the flow. Those between the actors of a SyncTarget stand in package actors.

// ---- System → root

// addResource asks for a resource to be aggregated, and watched by every target.
type addResource struct {
	resource ref.Resource
	number   uint64
}

// removeResource ends that.
type removeResource struct {
	resource ref.Resource
	number   uint64
}

// addTarget starts a registered SyncTarget.
type addTarget struct{ registration *registration }

// changeTarget asks for the newest facts about a SyncTarget to be taken.
type changeTarget struct{ registration *registration }

// replaceTarget stops a SyncTarget and starts another in its place.
type replaceTarget struct{ old, next *registration }

// removeTarget stops a SyncTarget and withdraws its contributions. registration.removed is closed afterwards.
type removeTarget struct{ registration *registration }

// stop ends the flow in order. done is closed when nothing is left to be written.
type stop struct{ done chan struct{} }

// ---- target → root

// targetStarted reports to the root that a target's actor is new and watches nothing.
type targetStarted struct{ registration *registration }

// ---- root → target

// watchResource asks a target to watch a resource.
type watchResource struct {
	resource   ref.Resource
	number     uint64
	aggregator *actor.PID
}

// unwatchResource asks a target to stop that.
type unwatchResource struct{ resource ref.Resource }
