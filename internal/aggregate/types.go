package aggregate

import (
	"time"

	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Contribution is the transformed status of one SyncTarget's copy of an object. It is immutable: the object actor that made it
// and the aggregator that merges it share it.
type Contribution struct {
	Status     map[string]any // parsed JSON (int64, float64, string, bool, []any, map[string]any); never nil
	Generation int64          // metadata.generation of the downstream copy
	Time       time.Time      // when the status changed last: its managedFields entry, else newest condition transition, else first seen
}

// State is the state of one SyncTarget's copy of one upstream object.
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
	Stale         bool          // its watch has been broken for the grace period
	Unschedulable bool          // takes no new workloads: chosen as a primary only if no other fresh one can be
	Since         time.Time     // its last contact, if it is stale
	Over          ref.Limit     // the limit that it exceeded, if it is stale for that; else empty
	NotReporting  string        // why its last contribution, if it has one, no longer counts as fresh: "status refused (TooLarge)"; else empty
	Lagging       bool          // its copy has not reached the upstream generation for long enough to be told
	Bound         bool          // placed by its binding to the workspace alone, so only if it holds a copy; false: by a label of the object
	Contribution  *Contribution // set if and only if State is Reporting
	remembered    bool          // Contribution is made of the end that the published condition tells
	end           string        // its end, for that condition
	CaughtUp      bool          // the copy stems from the upstream object's current generation
}

// Input is everything a decision may depend on. There is no clock in it.
type Input struct {
	Generation  int64             // of the upstream object
	Annotations map[string]string // of the upstream object: the primary's name
	Labels      map[string]string // of the upstream object, for CEL
	Schema      *ref.Schema       // of the kind; nil: not known
	Workspace   ref.Workspace
	Namespace   string
	Name        string
	Published   map[string]any   // the upstream object's present status; nil: none. Never modified.
	Owned       *patch.Owned     // the part of Published that is ours; nil: nothing
	Sources     []Source         // the placed SyncTargets in the order of their names
	Ambiguous   []ref.SyncTarget // SyncTargets on which two objects claim this upstream object
	Overdue     bool             // the deadline for unknown SyncTargets has passed: Exclude goes on without them
	Withdrawn   bool             // no SyncTarget holds a copy any more, though one did: onEmpty applies
	Unplaced    bool             // no SyncTarget is placed any more, and all SyncTargets are known: onEmpty applies
}

// Keys returns the key fields of the list at a path below status, by the schema, else by the policy; none: its order counts. It is made for
// patch.Options.
func (in *Input) Keys(p *policy.Policy, path []string) []string {
	if keys := in.Schema.List(path).Keys; len(keys) > 0 {
		return keys
	}
	return p.Keys(path)
}

// Decision is the status to publish, and the reason for it.
type Decision struct {
	Reason  Reason
	Message string         // for people: which SyncTargets, which field; no clock value
	Publish bool           // false: the published status stays untouched
	Status  map[string]any // all that the policy decides; never modified
	Whole   bool           // the policy owns the whole status, not only the fields in Status
	Errors  []error        // field rules that failed (CEL); their published values were kept
}

// Reason names a decision in logs, metrics, explain and console.
type Reason string

// The reasons of Decide.
const (
	ReasonMerged         Reason = "Merged"         // by the rules of the policy
	ReasonCopied         Reason = "Copied"         // there is only one SyncTarget
	ReasonLatest         Reason = "Latest"         // the status that changed last
	ReasonPrimary        Reason = "Primary"        // the status of the primary
	ReasonRepresentative Reason = "Representative" // the status of the worst SyncTarget, with the conditions of all
	ReasonAgreed         Reason = "Agreed"         // Quorum or All, on every field
	ReasonNoQuorum       Reason = "NoQuorum"       // no majority on some field: its published value stays
	ReasonDisagreed      Reason = "Disagreed"      // All do not agree on some field: its published value stays
	ReasonHeld           Reason = "Held"           // a SyncTarget is stale: its last contribution counts, or the published status stays
	ReasonWaiting        Reason = "Waiting"        // a placed SyncTarget has not listed yet: the published status stays
	ReasonNoStatus       Reason = "NoStatus"       // no placed SyncTarget has a status: the published one stays
	ReasonNotPlaced      Reason = "NotPlaced"      // no SyncTarget is placed: the published status stays
	ReasonAmbiguous      Reason = "Ambiguous"      // two objects of one SyncTarget claim to be the copy: the published status stays
	ReasonFinished       Reason = "Finished"       // it has ended: the published status stays for ever
	ReasonCleared        Reason = "Cleared"        // no SyncTarget has a copy any more: our fields go
	ReasonKept           Reason = "Kept"           // no SyncTarget has a copy any more: the published status stays
	ReasonUnchanged      Reason = "Unchanged"      // set by callers: the decision equals the published status
)
