package reconcile

import (
	"time"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Event is a fact that a State learns in one Step. Events are immutable, and so is everything that they point to.
type Event interface{ event() }

// ---- SyncTargets and copies

// Reported carries the latest status of one copy, whole.
type Reported struct {
	Target       ref.SyncTarget
	Source       ref.Downstream // the copy
	Upstream     ref.Upstream   // the object that it is a copy of
	At           ref.Position
	Contribution *aggregate.Contribution // nil: the copy has no status, or one that was refused (Refused says why)
	Evidence     *evidence.Object        // on the state of the upstream object that the copy was made of; nil: none
	Refused      string
	Received     time.Time // of the oldest event in it that was not reported before; zero: none
}

// Withdrew says that a copy is gone, or belongs to another upstream object now.
type Withdrew struct {
	Target   ref.SyncTarget
	Source   ref.Downstream
	Upstream ref.Upstream
	At       ref.Position
}

// Copy is a copy, and the upstream object that it stands for.
type Copy struct {
	Source   ref.Downstream
	Upstream ref.Upstream
}

// CopiesListed carries a part of a SyncTarget's complete list. Each copy in it also reports at this epoch. After the last part a Tallied
// effect tells how many copies the list lacks; they stay until ListConfirmed.
type CopiesListed struct {
	Target ref.SyncTarget
	Epoch  uint64
	Copies []Copy
	Last   bool
}

// ListConfirmed withdraws the copies that the list of this epoch lacks. From the first one on the SyncTarget counts as listed.
type ListConfirmed struct {
	Target ref.SyncTarget
	Epoch  uint64
}

// SyncTargetAdded says that a SyncTarget may report, from an epoch on. An earlier SyncTarget of that name is superseded: its copies are
// withdrawn, and the published statuses stay until the new one has listed.
type SyncTargetAdded struct {
	Target     locator.Target
	Scheduling Scheduling
	FromEpoch  uint64
}

// SyncTargetChanged replaces the facts about a SyncTarget, such as the workspaces that it is bound to.
type SyncTargetChanged struct {
	Target     locator.Target
	Scheduling Scheduling
}

// Scheduling holds the fields of a SyncTarget object that decide about new and present workloads.
type Scheduling struct {
	Unschedulable bool // takes no new workloads: chosen as a primary only where no other can be
	Evicted       bool // is to hold no workloads any more: nothing counts as placed on it
}

// SyncTargetRemoved withdraws all copies of a SyncTarget.
type SyncTargetRemoved struct{ Target ref.SyncTarget }

// FreshnessChanged says whether the reports of a SyncTarget are up to date.
type FreshnessChanged struct {
	Target ref.SyncTarget
	Stale  bool
	Since  time.Time // the last contact, if stale
	Over   ref.Limit // the limit that was exceeded, if stale for that reason
}

// ---- upstream objects

// UpstreamListed carries a part of a complete list of a scope. With the last part, objects that the list lacks are gone.
type UpstreamListed struct {
	Scope       ref.Workspace
	Version     string // resourceVersion of the list
	Objects     []*ref.Object
	First, Last bool
}

// UpstreamObserved carries an upstream object as a watch shows it.
type UpstreamObserved struct {
	Scope  ref.Workspace
	Object *ref.Object
}

// UpstreamGone says that an upstream object was deleted; Object is its last state.
type UpstreamGone struct {
	Scope  ref.Workspace
	Object *ref.Object
}

// WorkspaceLeft says that a workspace no longer belongs to a scope. Objects newer than Version stay: the workspace came back.
type WorkspaceLeft struct {
	Scope     ref.Workspace
	Workspace ref.Workspace
	Version   string
}

// ScopeLeft says that a scope, with all its workspaces, is no longer served.
type ScopeLeft struct{ Scope ref.Workspace }

// ScopeDescribed answers a Describe effect.
type ScopeDescribed struct {
	Scope ref.Workspace
	ref.Description
	Err error
}

// ---- outcomes of effects

// Acknowledged says that a write took place, and carries the object as the API server holds it now.
type Acknowledged struct {
	Upstream ref.Upstream
	Token    Token
	Object   *ref.Object
}

// Refused says that a write did not take place, or that its outcome is unknown.
type Refused struct {
	Upstream ref.Upstream
	Token    Token
	Class    Refusal
	Err      error
}

// Fetched answers a Fetch effect.
type Fetched struct {
	Upstream ref.Upstream
	Token    FetchToken
	Object   *ref.Object
	Gone     bool // the API server has no such object
	Err      error
}

// WriterRestarted says that the queued writes are lost.
type WriterRestarted struct{}

// ---- control

// PolicyChanged replaces the policy. Every object is decided again; with Reread, once a list that begins afterwards has shown it, since
// the new policy needs metadata that was not kept.
type PolicyChanged struct {
	Policy *policy.Policy
	Reread bool
}

// Flush ends all quiet windows: the process is stopping.
type Flush struct{}

// TimePassed says that the time of the last Wake effect has come.
type TimePassed struct{}

// Continue goes on with long work.
type Continue struct{}

func (Reported) event()          {}
func (Withdrew) event()          {}
func (CopiesListed) event()      {}
func (ListConfirmed) event()     {}
func (SyncTargetAdded) event()   {}
func (SyncTargetChanged) event() {}
func (SyncTargetRemoved) event() {}
func (FreshnessChanged) event()  {}
func (UpstreamListed) event()    {}
func (UpstreamObserved) event()  {}
func (UpstreamGone) event()      {}
func (WorkspaceLeft) event()     {}
func (ScopeLeft) event()         {}
func (ScopeDescribed) event()    {}
func (Acknowledged) event()      {}
func (Refused) event()           {}
func (Fetched) event()           {}
func (WriterRestarted) event()   {}
func (PolicyChanged) event()     {}
func (Flush) event()             {}
func (TimePassed) event()        {}
func (Continue) event()          {}
