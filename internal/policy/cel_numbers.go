package policy

import (
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	celref "github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// JSON has one kind of number, CEL has two that do not mix: a cluster that reports 250 and one that reports 250.5 must both work.

var arithmetic = map[string]func(a, b celref.Val) celref.Val{
	operators.Add:      func(a, b celref.Val) celref.Val { return a.(traits.Adder).Add(b) },
	operators.Subtract: func(a, b celref.Val) celref.Val { return a.(traits.Subtractor).Subtract(b) },
	operators.Multiply: func(a, b celref.Val) celref.Val { return a.(traits.Multiplier).Multiply(b) },
	operators.Divide:   func(a, b celref.Val) celref.Val { return a.(traits.Divider).Divide(b) },
}

// mixedOverloads declare arithmetic with an integer and a double, for the type checker.
func mixedOverloads() (options []cel.EnvOption) {
	for operator := range arithmetic {
		options = append(options, cel.Function(operator,
			cel.Overload(operator+"int_double", []*cel.Type{cel.IntType, cel.DoubleType}, cel.DoubleType),
			cel.Overload(operator+"double_int", []*cel.Type{cel.DoubleType, cel.IntType}, cel.DoubleType)))
	}
	return options
}

// mixNumbers makes an operator convert the integer if the other operand is a double.
func mixNumbers(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok || arithmetic[call.Function()] == nil {
		return i, nil
	}
	mixed := func(args ...celref.Val) celref.Val {
		a, b := args[0], args[1]
		switch {
		case a.Type() == types.IntType && b.Type() == types.DoubleType:
			a = a.ConvertToType(types.DoubleType)
		case a.Type() == types.DoubleType && b.Type() == types.IntType:
			b = b.ConvertToType(types.DoubleType)
		}
		if !a.Type().HasTrait(traitOf[call.Function()]) {
			return types.MaybeNoSuchOverloadErr(a)
		}
		return arithmetic[call.Function()](a, b)
	}
	return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), mixed), nil
}

var traitOf = map[string]int{
	operators.Add: traits.AdderType, operators.Subtract: traits.SubtractorType, operators.Multiply: traits.MultiplierType, operators.Divide: traits.DividerType,
}

// quantityFunction declares quantity(text): the number that a quantity such as "1.5Gi" stands for.
func quantityFunction() cel.EnvOption {
	return cel.Function("quantity", cel.Overload("quantity_to_double", []*cel.Type{cel.DynType}, cel.DoubleType, cel.UnaryBinding(func(v celref.Val) celref.Val {
		q, ok := parseQuantity(v.Value())
		if !ok {
			return types.NewErr("quantity(): %v is no quantity", v.Value())
		}
		return types.Double(q.AsApproximateFloat64())
	})))
}
