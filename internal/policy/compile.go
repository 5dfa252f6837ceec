package policy

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Policy is a document in the form that a decision uses. It is immutable, and may be used by many goroutines.
type Policy struct {
	Name     string
	Document *Document // what it was compiled from

	Strategy   Strategy
	Default    Rule    // of fields without a rule of their own, under Merge
	Fields     []Field // sorted by path
	Conditions Conditions
	Groups     [][]Path // fields that are decided together, under Quorum and All
	Lists      []List   // keyed lists
	Primary    []string // SyncTargets in the order in which they are preferred
	Finished   *Finished

	Summary       bool          // publish the summary condition
	SummaryAuto   bool          // publish it where a status has conditions
	Stale         StaleMode     // how a stale SyncTarget counts
	OnEmpty       EmptyMode     // what becomes of what is published when no SyncTarget has a copy any more
	SpecSyncGrace time.Duration // how long the way down may take, where it does not say which generation it took
	StatusTimes   bool          // a rule asks for the times of statuses

	Extract  Extraction // what is taken of the object
	Whole    bool       // Extract needs the whole object
	Withhold [][]string // paths below status that tenants do not see; "*" is every item of a list
	Ignore   [][]string // paths below status whose change alone is no reason to write; "*" is every item of a list
}

// Field is the rule of one field.
type Field struct {
	Path       Path
	Rule       Rule
	Implied    bool // not written in the policy: it holds wherever the field would be taken over otherwise
	Keys       []string
	Prefixed   bool
	Order      []string
	Absent     string
	RequireAll bool
	Immutable  bool
	Monotonic  bool
	Program    *Program // of CEL
}

// List is a list whose entries are told apart by key fields.
type List struct {
	Path Path
	Keys []string
}

// Conditions says how conditions of one type become one.
type Conditions struct {
	Mode              ConditionMode
	Negative          []string // sorted
	UnknownWhenAbsent []string // sorted
}

// Finished is FinishedSpec in compiled form.
type Finished struct {
	Success, Failure       []string
	OnSuccess, Needs, Idle []Path
}

// Extraction says what is taken of an object, as status.Options has it.
type Extraction struct {
	Fields [][]string          // paths below status that are kept; none: all
	Paths  map[string][]string // fields that are put into status, each with its path from the object's root
}

// Keys gives the key fields of the list at a path below status ("*" stands for a list item), or none if its order is what counts.
// It is made for patch.Options.
func (p *Policy) Keys(path []string) []string {
	for i := range p.Lists {
		if slices.Equal([]string(p.Lists[i].Path), path) {
			return p.Lists[i].Keys
		}
	}
	return nil
}

// compile checks a document and compiles it.
func compile(doc *Document, env *Environment) (*Policy, error) {
	if err := doc.Validate(); err != nil {
		return nil, err
	}
	s := &doc.Spec
	p := &Policy{
		Name:          doc.Metadata.Name,
		Document:      doc,
		Strategy:      or(s.Strategy, Merge),
		Default:       or(s.Default, RuleDrop),
		Primary:       s.Primary,
		Summary:       s.Summary == SummaryAlways,
		SummaryAuto:   or(s.Summary, SummaryAuto) == SummaryAuto,
		Stale:         or(s.Stale, Hold),
		OnEmpty:       or(s.OnEmpty, Clear),
		SpecSyncGrace: 10 * time.Second,
		Withhold:      parseRaw(s.Withhold),
		Ignore:        parseRaw(s.Ignore),
	}
	if s.SpecSyncGrace != "" {
		p.SpecSyncGrace, _ = time.ParseDuration(s.SpecSyncGrace) // Validate has read it
	}
	for _, group := range s.Groups {
		p.Groups = append(p.Groups, parsePaths(group))
	}
	if f := s.Finished; f != nil {
		p.Finished = &Finished{Success: f.Success, Failure: f.Failure, OnSuccess: parsePaths(f.OnSuccess), Needs: parsePaths(f.Needs), Idle: parsePaths(f.Idle)}
	}
	if e := s.Extract; e != nil {
		p.Extract.Fields, p.Extract.Paths = parseRaw(e.Fields), map[string][]string{}
		for name, path := range e.Add {
			p.Extract.Paths[ParsePath(name)[0]] = ParsePath(path)
		}
		p.Whole = len(e.Add) > 0
	}
	p.Conditions = compileConditions(s.Conditions, p.Strategy)
	if err := p.compileFields(s.Fields, env); err != nil {
		return nil, err
	}
	p.compileLists(s.Keys)
	p.StatusTimes = p.Strategy == Latest || p.Strategy == Union || usesTimes(p.Default)
	for _, f := range p.Fields {
		p.StatusTimes = p.StatusTimes || usesTimes(f.Rule)
	}
	return p, nil
}

func compileConditions(s *ConditionsSpec, strategy Strategy) Conditions {
	if s == nil {
		s = &ConditionsSpec{}
	}
	mode := s.Mode
	switch {
	case mode != "":
	case strategy == Quorum:
		mode = QuorumWins
	case strategy == All:
		mode = AllAgree
	default:
		mode = WorstWins
	}
	return Conditions{Mode: mode, Negative: slices.Sorted(slices.Values(s.Negative)), UnknownWhenAbsent: slices.Sorted(slices.Values(s.UnknownWhenAbsent))}
}

func (p *Policy) compileFields(fields map[string]FieldRule, env *Environment) error {
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(fields)) {
		f := fields[path]
		compiled := Field{Path: ParsePath(path), Rule: f.Rule, Keys: f.Keys, Prefixed: f.Prefixed, Order: f.Order, Absent: f.Absent,
			RequireAll: f.RequireAll, Immutable: f.Immutable, Monotonic: f.Monotonic}
		if f.Rule == RuleCEL {
			program, err := env.Compile(f.Expr)
			if err != nil {
				errs = append(errs, field.Invalid(field.NewPath("spec", "fields").Key(path).Child("expr"), f.Expr, err.Error()))
			}
			compiled.Program = program
		}
		p.Fields = append(p.Fields, compiled)
	}
	p.imply("conditions", RuleConditions, fields)
	p.imply("observedGeneration", RuleGeneration, fields)
	slices.SortFunc(p.Fields, func(a, b Field) int { return slices.Compare(a.Path, b.Path) })
	return listOf(errs)
}

// imply adds the rules that no copy goes without: generations of different clusters are never mixed, conditions are merged by type.
func (p *Policy) imply(name string, rule Rule, given map[string]FieldRule) {
	if _, ok := given[name]; !ok {
		p.Fields = append(p.Fields, Field{Path: Path{name}, Rule: rule, Implied: true})
	}
}

func (p *Policy) compileLists(given map[string][]string) {
	for _, path := range slices.Sorted(maps.Keys(given)) {
		p.Lists = append(p.Lists, List{Path: ParsePath(path), Keys: given[path]})
	}
	for _, f := range p.Fields {
		keys := f.Keys
		if f.Rule == RuleConditions {
			keys = []string{"type"}
		}
		if len(keys) > 0 && p.Keys(f.Path) == nil {
			p.Lists = append(p.Lists, List{Path: f.Path, Keys: keys})
		}
	}
}

func usesTimes(r Rule) bool { return r == RuleLatest || r == RuleUnion }

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
