package policy

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	celref "github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/ext"
)

// celCostLimit bounds one evaluation. A step over one list item costs about 1 to 10; a million of them take some tens of milliseconds.
const celCostLimit = 1_000_000

var errEmpty = types.NewErr("min() or max() of an empty list: test its size first")

// Environment compiles CEL rules. Expressions see
//
//	targets   list of {name, status, generation, fresh, current}, in the order of the names
//	upstream  {metadata: {workspace, namespace, name, generation, labels, annotations}, status, placed}; placed is the number of SyncTargets
//
// and CEL's standard library, optional values (status.?field.orValue(0)), lists (distinct, sort, flatten, …), strings, sets, math,
// durations and timestamps, quantity("1Gi"), cel.bind, comprehensions with two variables (transformMap, transformMapEntry, …), and sum(), min() and max() of lists.
type Environment struct{ env *cel.Env }

// NewEnvironment makes the environment of all CEL rules.
func NewEnvironment() (*Environment, error) {
	env, err := cel.NewEnv(append(mixedOverloads(),
		cel.Variable("targets", cel.ListType(cel.MapType(cel.StringType, cel.DynType))),
		cel.Variable("upstream", cel.MapType(cel.StringType, cel.DynType)),
		cel.CustomTypeAdapter(sorted{types.DefaultTypeAdapter}),
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), ext.Lists(), ext.Strings(), ext.Sets(), ext.Math(), ext.Bindings(), ext.TwoVarComprehensions(),
		listFunction("sum", Sum, types.IntZero), listFunction("min", Smallest, errEmpty), listFunction("max", Largest, errEmpty),
		quantityFunction(),
	)...)
	if err != nil {
		return nil, fmt.Errorf("prepare CEL: %w", err)
	}
	return &Environment{env: env}, nil
}

// Program is a compiled CEL rule. It may be used by many goroutines.
type Program struct{ program cel.Program }

// Compile parses, type-checks and compiles an expression. JSON must have a form for its result.
func (e *Environment) Compile(expr string) (*Program, error) {
	ast, issues := e.env.Compile(expr)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	switch kind := ast.OutputType().Kind(); kind {
	case types.TypeKind, types.BytesKind, types.ErrorKind, types.UnknownKind:
		return nil, fmt.Errorf("gives a %s, which is no JSON: give a number, a string, a bool, a list, a map or a timestamp", ast.OutputType())
	default:
	}
	program, err := e.env.Program(ast, cel.CostLimit(celCostLimit), cel.EvalOptions(cel.OptOptimize), cel.CustomDecoratorV2(mixNumbers))
	if err != nil {
		return nil, err
	}
	return &Program{program: program}, nil
}

// Eval returns the value of the rule as JSON (nil: none). It fails if the expression does, or if it costs too much.
func (p *Program) Eval(targets []any, upstream map[string]any) (any, error) {
	out, _, err := p.program.Eval(map[string]any{"targets": fromJSON(targets), "upstream": fromJSON(upstream)})
	if err != nil {
		return nil, err
	}
	return fromCEL(out)
}

func fromJSON(v any) celref.Val { return sorted{types.DefaultTypeAdapter}.NativeToValue(v) }

// fromCEL converts a CEL value to parsed JSON.
func fromCEL(v celref.Val) (any, error) {
	switch v := v.(type) {
	case types.Null:
		return nil, nil
	case types.Bool:
		return bool(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		return fromCEL(v.ConvertToType(types.IntType))
	case types.Double:
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("gives %v, which is no JSON", f)
		}
		return float64(v), nil
	case types.String:
		return string(v), nil
	case types.Timestamp, types.Duration:
		return fromCEL(v.ConvertToType(types.StringType))
	case *types.Optional:
		if !v.HasValue() {
			return nil, nil
		}
		return fromCEL(v.GetValue())
	case traits.Lister:
		return listFromCEL(v)
	case traits.Mapper:
		return mapFromCEL(v)
	case *types.Err:
		return nil, v
	}
	return nil, fmt.Errorf("gives a %s, which is no JSON", v.Type().TypeName())
}

func listFromCEL(list traits.Lister) (any, error) {
	out := []any{}
	for it := list.Iterator(); it.HasNext() == types.True; {
		item, err := fromCEL(it.Next())
		if err != nil {
			return nil, err
		}
		out = append(out, item)
	}
	return out, nil
}

func mapFromCEL(m traits.Mapper) (any, error) {
	out := map[string]any{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, ok := key.(types.String)
		if !ok {
			return nil, fmt.Errorf("gives a map with the key %v: JSON has only strings as keys", key.Value())
		}
		value, err := fromCEL(m.Get(key))
		if err != nil {
			return nil, err
		}
		if value != nil {
			out[string(name)] = value
		}
	}
	return out, nil
}

// listFunction declares list.name(), which folds the items as the rule of a field does; of an empty list it is empty.
func listFunction(name string, op Fold, empty celref.Val) cel.EnvOption {
	return cel.Function(name, cel.MemberOverload("list_"+name, []*cel.Type{cel.ListType(cel.DynType)}, cel.DynType, cel.UnaryBinding(func(v celref.Val) celref.Val {
		list, err := fromCEL(v)
		if err != nil {
			return types.WrapErr(err)
		}
		value, err := op.Of(list.([]any))
		switch {
		case err != nil:
			return types.WrapErr(err)
		case value == nil:
			return empty
		}
		return fromJSON(value)
	})))
}

// sorted adapts parsed JSON: maps iterate in the order of their keys, so that equal inputs give equal outputs, and have no nulls.
type sorted struct{ types.Adapter }

func (s sorted) NativeToValue(v any) celref.Val {
	switch v := v.(type) {
	case map[string]any:
		null := func(_ string, value any) bool { return value == nil }
		for name, value := range v {
			if null(name, value) {
				v = maps.Clone(v)
				maps.DeleteFunc(v, null)
				break
			}
		}
		return sortedMap{Mapper: types.NewStringInterfaceMap(s, v), keys: v}
	case []any:
		return types.NewDynamicList(s, v)
	}
	return s.Adapter.NativeToValue(v)
}

type sortedMap struct {
	traits.Mapper
	keys map[string]any
}

func (m sortedMap) Iterator() traits.Iterator {
	return types.NewStringList(types.DefaultTypeAdapter, slices.Sorted(maps.Keys(m.keys))).Iterator()
}
