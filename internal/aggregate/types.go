package aggregate

import (
	"time"

	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Contribution is the transformed status of one SyncTarget's copy of an object. It is immutable: the object actor that made it
// and the aggregator that merges it share it.
type Contribution struct {
	Status             map[string]any // parsed JSON (int64, float64, string, bool, []any, map[string]any); never nil
	Generation         int64          // metadata.generation of the downstream copy
	UpstreamGeneration int64          // the upstream generation that the copy says it stems from; 0: it does not say
	Time               time.Time      // when the status changed last: its managedFields entry, else newest condition transition, else first seen
}

// State says what is known of one SyncTarget's copy of one upstream object.
type State int

const (
	// Reporting: the SyncTarget has listed, and its copy has a status.
	Reporting State = iota
	// NoStatus: the SyncTarget has listed, and its copy has no status, or one that was refused and no good one before.
	NoStatus
	// Absent: the SyncTarget has listed, and has no copy.
	Absent
	// Unknown: the SyncTarget has not listed in this process.
	Unknown
)

// Source is one placed SyncTarget's part in a decision.
type Source struct {
	Target        ref.SyncTarget
	State         State
	Stale         bool          // not heard of for the grace period
	Unschedulable bool          // takes no new workloads: chosen as a primary only where no other fresh one can be
	Since         time.Time     // when it was heard of last, if it is stale
	Over          ref.Limit     // the limit that it went over, if it is stale for that; else empty
	Contribution  *Contribution // set if and only if State is Reporting
	CaughtUp      bool          // the copy stems from the upstream object's current generation
}

// Input is everything a decision may depend on. There is no clock in it.
type Input struct {
	Generation  int64             // of the upstream object
	Annotations map[string]string // of the upstream object: the primary's name
	Labels      map[string]string // of the upstream object, for CEL
	Workspace   ref.Workspace
	Namespace   string
	Name        string
	Published   map[string]any   // the upstream object's status as it is now; nil: none. Never modified.
	Owned       *patch.Owned     // what of Published is ours; nil: nothing
	Sources     []Source         // the placed SyncTargets in the order of their names
	Ambiguous   []ref.SyncTarget // SyncTargets on which two objects claim this upstream object
	Overdue     bool             // the deadline for unknown SyncTargets has passed: Exclude and Zero go on without them
	Withdrawn   bool             // no SyncTarget holds a copy any more, though one did: onEmpty applies
}

// Decision is what is to be published, and why.
type Decision struct {
	Reason  Reason
	Message string         // for people: which SyncTargets, which field; no clock value
	Publish bool           // false: whatever is published stays untouched
	Status  map[string]any // what the policy decides, whole; never shares memory that anybody modifies
	Whole   bool           // the policy owns the whole status, not only the fields in Status
	Errors  []error        // field rules that failed (CEL); their published values were kept
}

// Reason names a decision in logs, metrics, explain and console.
type Reason string

// The reasons of Decide. Those with "published" leave what is published untouched, or a part of it.
const (
	ReasonMerged    Reason = "Merged"    // by the rules of the policy
	ReasonCopied    Reason = "Copied"    // there is only one SyncTarget
	ReasonLatest    Reason = "Latest"    // the status that changed last
	ReasonPrimary   Reason = "Primary"   // the status of the primary
	ReasonAgreed    Reason = "Agreed"    // Quorum or All, on every field
	ReasonNoQuorum  Reason = "NoQuorum"  // no majority on some field: its published value stays
	ReasonDisagreed Reason = "Disagreed" // All do not agree on some field: its published value stays
	ReasonHeld      Reason = "Held"      // a SyncTarget is stale: what it said last counts, or what is published stays
	ReasonWaiting   Reason = "Waiting"   // a placed SyncTarget has not listed yet: what is published stays
	ReasonNoStatus  Reason = "NoStatus"  // no placed SyncTarget has a status: what is published stays
	ReasonNotPlaced Reason = "NotPlaced" // no SyncTarget is placed: what is published stays
	ReasonAmbiguous Reason = "Ambiguous" // two objects of one SyncTarget claim to be the copy: what is published stays
	ReasonFinished  Reason = "Finished"  // it has ended: what is published stays for ever
	ReasonCleared   Reason = "Cleared"   // no SyncTarget has a copy any more: what is ours goes
	ReasonKept      Reason = "Kept"      // no SyncTarget has a copy any more: what is published stays
	ReasonUnchanged Reason = "Unchanged" // said by callers: the decision is what is published already
)
