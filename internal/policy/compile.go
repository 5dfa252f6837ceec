package policy

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Policy is a document in the form that a decision uses. It is immutable, and may be used by many goroutines.
type Policy struct {
	Name     string
	Document *Document // its source

	Strategy   Strategy
	Default    Rule    // of fields without a rule of their own, under Merge
	Fields     []Field // sorted by path
	Conditions ConditionsSpec
	Lists      []List   // keyed lists
	Primary    []string // SyncTargets in the order in which they are preferred
	Finished   *Finished

	Summary       bool          // publish the summary condition
	SummaryAuto   bool          // publish it where a status has conditions
	Stale         StaleMode     // the part of a stale SyncTarget
	OnEmpty       EmptyMode     // the fate of the published status when no SyncTarget has a copy any more
	Evidence      [][]string    // paths below spec that prove nothing about a copy, as the way down changes them
	SpecSyncGrace time.Duration // after that a copy is taken for current without proof; negative: never
	StatusTimes   bool          // a rule asks for the times of statuses

	Extract  Extraction // the parts of the object that are extracted
	Whole    bool       // Extract needs the whole object
	Withhold [][]string // paths below status that tenants do not see; "*" is every item of a list
	Ignore   [][]string // paths below status whose change alone causes no write; "*" is every item of a list
}

// Field is the rule of one field.
type Field struct {
	Path Path
	FieldRule
	Implied bool     // not in the document: it applies wherever the field would be published otherwise
	Program *Program // of CEL
}

// List is a list whose entries are identified by key fields.
type List struct {
	Path Path
	Keys []string
}

// Finished is FinishedSpec in compiled form.
type Finished struct {
	Success, Failure             []End
	Phase                        Path // of the phase that tells of an end; nil: none does
	SuccessPhases, FailurePhases []string
	OnSuccess, Needs, Idle       []Path
}

// End is a condition that tells of an end.
type End struct{ Type, Status string }

// String is the form in documents: the type, with "=False" for a condition that ends by that.
func (e End) String() string {
	if e.Status == "True" {
		return e.Type
	}
	return e.Type + "=" + e.Status
}

func parseEnds(texts []string) (ends []End) {
	for _, text := range texts {
		kind, status, _ := strings.Cut(text, "=")
		ends = append(ends, End{kind, cmp.Or(status, "True")})
	}
	return ends
}

// Extraction selects the parts of an object that are extracted, as status.Options has it.
type Extraction struct {
	Fields [][]string          // paths below status that are kept; none: all
	Paths  map[string][]string // name of a field of status → path from the object's root
}

// Keys returns the key fields of the list at a path below status ("*" stands for a list item), or none if its order counts.
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
		Strategy:      cmp.Or(s.Strategy, Merge),
		Default:       cmp.Or(s.Default, RuleDrop),
		Primary:       s.Primary,
		Summary:       s.Summary == SummaryAlways,
		SummaryAuto:   cmp.Or(s.Summary, SummaryAuto) == SummaryAuto,
		Stale:         cmp.Or(s.Stale, Hold),
		OnEmpty:       cmp.Or(s.OnEmpty, Clear),
		SpecSyncGrace: -1,
		Evidence:      parsePaths[[]string](s.Evidence.Ignore),
		Withhold:      parsePaths[[]string](s.Withhold),
		Ignore:        parsePaths[[]string](s.Ignore),
	}
	if s.SpecSyncGrace != "" {
		p.SpecSyncGrace, _ = time.ParseDuration(s.SpecSyncGrace) // Validate has parsed it
	}
	if f := s.Finished; f != nil {
		p.Finished = &Finished{
			Success: parseEnds(f.Success), Failure: parseEnds(f.Failure),
			OnSuccess: parsePaths[Path](f.OnSuccess), Needs: parsePaths[Path](f.Needs), Idle: parsePaths[Path](f.Idle),
		}
	}
	if f := s.Finished; f != nil && f.Phase != nil {
		p.Finished.Phase = ParsePath(cmp.Or(f.Phase.Path, "phase"))
		p.Finished.SuccessPhases, p.Finished.FailurePhases = f.Phase.Success, f.Phase.Failure
	}
	if e := s.Extract; e != nil {
		p.Extract.Fields, p.Extract.Paths = parsePaths[[]string](e.Fields), map[string][]string{}
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
	p.StatusTimes = p.Strategy == Latest
	return p, nil
}

func compileConditions(given *ConditionsSpec, strategy Strategy) (s ConditionsSpec) {
	if given != nil {
		s = *given
	}
	switch {
	case s.Mode != "":
	case strategy == Quorum:
		s.Mode = QuorumWins
	case strategy == All:
		s.Mode = AllAgree
	default:
		s.Mode = WorstWins
	}
	return s
}

func (p *Policy) compileFields(fields map[string]FieldRule, env *Environment) error {
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(fields)) {
		f := fields[path]
		compiled := Field{Path: ParsePath(path), FieldRule: f}
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
	return errors.Join(errs...)
}

// imply adds a rule that applies to every copy: generations of different clusters are never mixed, conditions are merged by type.
func (p *Policy) imply(name string, rule Rule, given map[string]FieldRule) {
	if _, ok := given[name]; !ok {
		p.Fields = append(p.Fields, Field{Path: Path{name}, FieldRule: FieldRule{Rule: rule}, Implied: true})
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
