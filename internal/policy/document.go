package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	kjson "sigs.k8s.io/json"
)

// APIVersion and Kind of every document.
const (
	APIVersion = "upstreamd.dev/v1alpha1"
	Kind       = "StatusPolicy"
)

// Document is a StatusPolicy as its author wrote it. It is not modified after Parse.
type Document struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`

	Source string `json:"-"` // SourceBuiltin, SourceLibrary or empty

	location string // file and place in it, for errors
}

// Metadata names a document. Labels and annotations are the author's own.
type Metadata struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Spec is a policy. Paths are field names joined by dots, below status ("loadBalancer.ingress"); a dot within a name is written "\.".
type Spec struct {
	Resources     []Resource           `json:"resources"`
	Strategy      Strategy             `json:"strategy,omitempty"`
	Default       Rule                 `json:"default,omitempty"`
	Fields        map[string]FieldRule `json:"fields,omitempty"`
	Conditions    *ConditionsSpec      `json:"conditions,omitempty"`
	Keys          map[string][]string  `json:"keys,omitempty"`
	Primary       []string             `json:"primary,omitempty"`
	Finished      *FinishedSpec        `json:"finished,omitempty"`
	Summary       SummaryMode          `json:"summary,omitempty"`
	Stale         StaleMode            `json:"stale,omitempty"`
	OnEmpty       EmptyMode            `json:"onEmpty,omitempty"`
	Evidence      EvidenceSpec         `json:"evidence,omitzero"`
	SpecSyncGrace string               `json:"specSyncGrace,omitempty"`
	Extract       *ExtractSpec         `json:"extract,omitempty"`
	Withhold      []string             `json:"withhold,omitempty"`
	Ignore        []string             `json:"ignore,omitempty"`
}

// Resource names a kind that a policy applies to, in every version if it names none. Group and resource "*" stand for all kinds without a
// policy of their own.
type Resource struct {
	Group    string `json:"group"`
	Version  string `json:"version,omitempty"`
	Resource string `json:"resource"`
}

// Strategy is the way in which one status is made of many.
type Strategy string

// The strategies.
const (
	Merge   Strategy = "Merge"   // by the rules of the fields
	Union   Strategy = "Union"   // deep merge, conflicts to the latest
	Latest  Strategy = "Latest"  // the status that changed last
	Quorum  Strategy = "Quorum"  // per field, the value of more than half of the placed SyncTargets
	All     Strategy = "All"     // per field, the value of all placed SyncTargets
	Primary Strategy = "Primary" // the status of one SyncTarget, as long as it is fresh

	Representative Strategy = "Representative" // the status of the worst SyncTarget, conditions of all
)

// Rule is the way in which one field is made of many.
type Rule string

// The rules of fields. RuleDrop leaves a field out; the others are explained in docs/policies.md.
const (
	RuleSum        Rule = "Sum"
	RuleMin        Rule = "Min"
	RuleMax        Rule = "Max"
	RuleUnion      Rule = "Union"
	RuleUnanimous  Rule = "Unanimous"
	RuleQuorum     Rule = "Quorum"
	RulePrimary    Rule = "Primary"
	RuleRank       Rule = "Rank"
	RuleConditions Rule = "Conditions"
	RuleGeneration Rule = "Generation"
	RuleCEL        Rule = "CEL"
	RuleDrop       Rule = "Drop"
)

// FieldRule is a rule with its arguments. It is written as the name of the rule alone where it has none.
type FieldRule struct {
	Rule       Rule     `json:"rule"`
	Keys       []string `json:"keys,omitempty"`       // Union: the fields that identify the entries of a list
	Order      []string `json:"order,omitempty"`      // Rank: the value that comes first wins
	Absent     string   `json:"absent,omitempty"`     // Rank: the value of a placed SyncTarget without one
	Expr       string   `json:"expr,omitempty"`       // CEL
	Default    *int64   `json:"default,omitempty"`    // Sum: the value if no SyncTarget has one
	RequireAll bool     `json:"requireAll,omitempty"` // as published until every placed SyncTarget has a value
	Immutable  bool     `json:"immutable,omitempty"`  // as published once it is
	Monotonic  bool     `json:"monotonic,omitempty"`  // Sum, Max: never less than published

	problem error // why it could not be read
}

// UnmarshalJSON accepts the short and the long form. A mistake is kept for Validate, which knows the path.
func (f *FieldRule) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`"`)) {
		return json.Unmarshal(data, &f.Rule)
	}
	f.problem = strict(data, (*fieldRule)(f))
	return nil
}

// MarshalJSON writes the short form if the rule has no arguments.
func (f FieldRule) MarshalJSON() ([]byte, error) {
	long, err := json.Marshal(fieldRule(f))
	if err != nil {
		return nil, fmt.Errorf("encode rule: %w", err)
	}
	short, err := json.Marshal(map[string]Rule{"rule": f.Rule})
	if err == nil && bytes.Equal(long, short) {
		return json.Marshal(f.Rule)
	}
	return long, err
}

type fieldRule FieldRule

// ExtractSpec selects the parts of an object that are extracted.
type ExtractSpec struct {
	Fields []string          `json:"fields,omitempty"` // paths below status that are kept; none: all
	Add    map[string]string `json:"add,omitempty"`    // name of a field of status → path from the object's root
}

// EvidenceSpec is for the proof that a copy has its upstream object's present spec.
type EvidenceSpec struct {
	Ignore []string `json:"ignore,omitempty"` // paths below spec that the way down changes, such as replicas that it divides
}

// ConditionsSpec is the way in which the conditions of one type become one.
type ConditionsSpec struct {
	Mode       ConditionMode         `json:"mode,omitempty"`
	Positive   []string              `json:"positive,omitempty"`   // types whose True is good
	Negative   []string              `json:"negative,omitempty"`   // types whose True is bad
	InProgress []string              `json:"inProgress,omitempty"` // types whose True means that work is under way
	Terminal   []string              `json:"terminal,omitempty"`   // types whose True ends the object
	WhenAbsent map[string]AbsentMode `json:"whenAbsent,omitempty"` // by type, of a SyncTarget that reports but lacks a positive one
}

// ConditionMode decides which status value wins.
type ConditionMode string

// The condition modes. QuorumWins and AllAgree come with the strategies Quorum and All, unless the policy says otherwise.
const (
	WorstWins  ConditionMode = "WorstWins"
	BestWins   ConditionMode = "BestWins"
	AllTrue    ConditionMode = "AllTrue"
	QuorumWins ConditionMode = "Quorum"
	AllAgree   ConditionMode = "All"
)

// FinishedSpec is for kinds that end, such as Job. A SyncTarget is done when it has the last condition of Success or Failure, or one of the
// phases. Once all placed ones are done, either all conditions of Success are published, or all of Failure if one failed, with the phase of
// such a SyncTarget; before, none of them.
type FinishedSpec struct {
	Success   []string   `json:"success,omitempty"` // condition types, or Type=False where False is an end
	Failure   []string   `json:"failure,omitempty"`
	Phase     *PhaseSpec `json:"phase,omitempty"`
	OnSuccess []string   `json:"onSuccess,omitempty"` // fields that are published with Success only
	Needs     []string   `json:"needs,omitempty"`     // fields without which nothing is finished
	Idle      []string   `json:"idle,omitempty"`      // counters that must have come to zero first
}

// PhaseSpec names the phases that tell of an end.
type PhaseSpec struct {
	Path    string   `json:"path,omitempty"` // below status; default: phase
	Success []string `json:"success,omitempty"`
	Failure []string `json:"failure,omitempty"`
}

// AbsentMode is the meaning of an absent positive condition.
type AbsentMode string

// The absent modes.
const (
	AbsentUnknown AbsentMode = "Unknown"
	AbsentIgnore  AbsentMode = "Ignore"
)

// SummaryMode decides whether the summary condition is published.
type SummaryMode string

// The summary modes. SummaryAuto publishes it where a status has conditions.
const (
	SummaryAlways SummaryMode = "Always"
	SummaryNever  SummaryMode = "Never"
	SummaryAuto   SummaryMode = "Auto"
)

// StaleMode is the part of a stale SyncTarget in a decision.
type StaleMode string

// The stale modes.
const (
	Hold    StaleMode = "Hold"    // its last contribution counts, its conditions are Unknown
	Exclude StaleMode = "Exclude" // as if it were not placed
)

// EmptyMode is the fate of a published status when no SyncTarget has a copy any more.
type EmptyMode string

// The empty modes.
const (
	Clear EmptyMode = "Clear" // our fields go
	Keep  EmptyMode = "Keep"  // it stays
)

// strict decodes JSON. The error names every field that v does not have.
func strict(data []byte, v any) error {
	unknown, err := kjson.UnmarshalStrict(data, v)
	return errors.Join(append(unknown, err)...)
}
