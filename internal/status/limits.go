package status

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Limits bound what is taken. A zero field means its default.
type Limits struct {
	Bytes      int // of JSON; default 256 KiB
	Depth      int // of objects and lists in each other, status itself is one; default 64
	Conditions int // entries of a list named conditions; default 100
}

// DefaultLimits are the limits without any configuration.
func DefaultLimits() Limits { return Limits{Bytes: 256 << 10, Depth: 64, Conditions: 100} }

func (l Limits) orDefaults() Limits {
	or := func(n *int, d int) {
		if *n <= 0 {
			*n = d
		}
	}
	d := DefaultLimits()
	or(&l.Bytes, d.Bytes)
	or(&l.Depth, d.Depth)
	or(&l.Conditions, d.Conditions)
	return l
}

// Reason names why a status was refused, in logs, metrics and explain.
type Reason string

// The reasons of a refusal.
const (
	NotAnObject       Reason = "NotAnObject"
	TooLarge          Reason = "TooLarge"
	TooDeep           Reason = "TooDeep"
	TooManyConditions Reason = "TooManyConditions"
	Malformed         Reason = "Malformed"   // not JSON, or values that JSON does not have
	Undecodable       Reason = "Undecodable" // the object around it could not be decoded
)

// Refused is the error of a status that is not taken. The message is short, whatever the status holds.
type Refused struct {
	Reason  Reason
	Message string
}

func (r *Refused) Error() string { return fmt.Sprintf("status refused: %s: %s", r.Reason, r.Message) }

func (l Limits) tooLarge() error {
	return &Refused{TooLarge, fmt.Sprintf("more than %d bytes", l.Bytes)}
}

func (l Limits) tooDeep() error {
	return &Refused{TooDeep, fmt.Sprintf("deeper than %d", l.Depth)}
}

func (l Limits) tooMany() error {
	return &Refused{TooManyConditions, fmt.Sprintf("more than %d conditions", l.Conditions)}
}

func malformed(err error) error { return &Refused{Malformed, short(err.Error())} }

// Validate says whether a status is within the limits and made of JSON types only: map[string]any, []any, string, int64, float64, bool and
// nil. The error is a *Refused. It ends for values that contain themselves, too.
func Validate(status map[string]any, l Limits) error {
	v := validation{limits: l.orDefaults()}
	return v.value(status, 1)
}

type validation struct {
	limits Limits
	bytes  int // at least what the values so far take as JSON, but for escapes
}

func (v *validation) value(value any, depth int) error {
	switch value := value.(type) {
	case nil, bool, int64:
		return v.add(1)
	case float64:
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return malformed(errors.New("a number that JSON does not have"))
		}
		return v.add(1)
	case string:
		return v.text(value)
	case []any:
		return v.list(value, depth)
	case map[string]any:
		return v.object(value, depth)
	}
	return malformed(fmt.Errorf("a value of type %T", value))
}

func (v *validation) list(list []any, depth int) error {
	if depth > v.limits.Depth {
		return v.limits.tooDeep()
	}
	for _, item := range list {
		if err := v.value(item, depth+1); err != nil {
			return err
		}
	}
	return v.add(2)
}

func (v *validation) object(object map[string]any, depth int) error {
	if depth > v.limits.Depth {
		return v.limits.tooDeep()
	}
	for name, member := range object {
		if list, ok := member.([]any); ok && name == "conditions" && len(list) > v.limits.Conditions {
			return v.limits.tooMany()
		}
		if err := v.text(name); err != nil {
			return err
		}
		if err := v.value(member, depth+1); err != nil {
			return err
		}
	}
	return v.add(2)
}

func (v *validation) text(s string) error {
	if err := v.add(len(s) + 2); err != nil {
		return err
	}
	if !utf8.ValidString(s) {
		return malformed(errors.New("a string that is not UTF-8"))
	}
	return nil
}

func (v *validation) add(n int) error {
	if v.bytes += n; v.bytes > v.limits.Bytes {
		return v.limits.tooLarge()
	}
	return nil
}

// short bounds a message that may repeat a part of a hostile status.
func short(message string) string {
	const limit = 200
	message = strings.ToValidUTF8(message, "\uFFFD")
	if len(message) <= limit {
		return message
	}
	cut := limit
	for !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut] + "…"
}
