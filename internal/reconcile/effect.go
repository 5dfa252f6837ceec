package reconcile

import (
	"time"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Effect is one thing that is to be done after a Step.
type Effect interface{ effect() }

// Write asks for a merge patch on the status of an upstream object. It replaces an earlier Write of that object that was not sent yet.
// Acknowledged or Refused answers it, with its Token.
type Write struct {
	Upstream ref.Upstream
	Body     []byte // {"metadata":{"resourceVersion":…},"status":…}
	Version  string // the resourceVersion that it was decided on
	Lane     patch.Lane
	Cause    ref.SyncTarget // the SyncTarget that reported the change; empty: several, or none
	Received time.Time      // of the oldest event in it; zero: no event caused it
	Want     *ref.Want      // the parts of the object that the answer must hold
	Token    Token
}

// Cancel takes back a Write that was not sent yet.
type Cancel struct{ Upstream ref.Upstream }

// Token is an opaque value that a Write carries and its answer returns. Its content concerns this package only, but for the incarnation: an answer to
// a State that is gone, or a queued Write of one, must not touch those of its successor.
type Token struct {
	incarnation uint64
	write       *sent
}

// Incarnation is the Config.Incarnation of the State that asked for the write.
func (t Token) Incarnation() uint64 { return t.incarnation }

// Fetch asks for a consistent read of an upstream object; Fetched answers it.
type Fetch struct {
	Upstream ref.Upstream
	Want     *ref.Want
	Token    FetchToken
}

// FetchToken is an opaque value that a Fetch carries and its answer returns.
type FetchToken struct {
	incarnation uint64
	known       string // resourceVersion in the view when the read was asked for
	reread      uint32
}

// Describe asks how the API server serves the resource in a scope; ScopeDescribed answers it.
type Describe struct {
	Scope     ref.Workspace
	Workspace ref.Workspace // one of the scope's; empty: none is known
}

// ScopeReady says that a scope was listed and described: its objects are decided from now on.
type ScopeReady struct{ Scope ref.Workspace }

// Tallied says how many of the copies of a SyncTarget a complete list lacks. ListConfirmed withdraws them.
type Tallied struct {
	Target          ref.SyncTarget
	Epoch           uint64
	Vanished, Known int
}

// Wake moves the timer: a TimePassed event is due at this time. The zero time stops it.
type Wake struct{ At time.Time }

// Log is a log line with its fields in pairs of key and value. A line with a Once key is a warning the first time, and debug output
// afterwards; a new cause has a new key.
type Log struct {
	Info    bool // not a warning
	Once    string
	Message string
	Fields  []any
}

// Count adds to a metric.
type Count struct {
	What  Counter
	Label string // reason, where the metric has one
	Delta int
}

// Counter names a metric.
type Counter int

// The counters. Those with a label say which.
const (
	Contributions   Counter = iota // reports that arrived
	SuppressedEarly                // reports that changed nothing
	Unchanged                      // decisions that are published already
	Coalesced                      // decisions that wait for the quiet window
	Rejected                       // input that was refused; label: reason
	RuleFailures                   // field rules that failed
	Contested                      // owned fields that another manager keeps overwriting
	Conflicts                      // writes that the API server refused as outdated
	Parked                         // gauge: parks; label: reason
)

// Decided records a decision, for metrics and explanations.
type Decided struct {
	Upstream   ref.Upstream
	Reason     aggregate.Reason
	Suppressed string // why a due write is held back; empty: it is not
}

// Published says that a write was acknowledged.
type Published struct {
	Upstream ref.Upstream
	Status   []byte // as the API server holds it, JSON
	Reason   aggregate.Reason
	Latency  time.Duration // from the oldest event in it to now; zero: no event caused it
}

func (Write) effect()      {}
func (Cancel) effect()     {}
func (Fetch) effect()      {}
func (Describe) effect()   {}
func (ScopeReady) effect() {}
func (Tallied) effect()    {}
func (Wake) effect()       {}
func (Log) effect()        {}
func (Count) effect()      {}
func (Decided) effect()    {}
func (Published) effect()  {}

// Continue is an effect too: it asks for a Continue event.
func (Continue) effect() {}
