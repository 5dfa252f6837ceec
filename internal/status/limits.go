package status

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// Limits bound a status. A zero field means its default.
type Limits struct {
	Bytes      int // of JSON; default 256 KiB
	Depth      int // of objects and lists in each other, status itself is one; default 64
	Conditions int // entries of a list named conditions; default 100
	MaxNodes   int // JSON values, each object, list and scalar is one: they are the heap that a status takes; default 20,000
}

// DefaultLimits are the limits without any configuration.
func DefaultLimits() Limits {
	return Limits{Bytes: 256 << 10, Depth: 64, Conditions: 100, MaxNodes: 20_000}
}

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
	or(&l.MaxNodes, d.MaxNodes)
	return l
}

// Reason names why a status was refused, in logs, metrics and explain.
type Reason string

// The reasons of a refusal.
const (
	NotAnObject       Reason = "NotAnObject"
	TooLarge          Reason = "TooLarge"
	TooDeep           Reason = "TooDeep"
	TooManyNodes      Reason = "TooManyNodes"
	TooManyConditions Reason = "TooManyConditions"
	Malformed         Reason = "Malformed"   // not JSON, or values that JSON does not have
	Undecodable       Reason = "Undecodable" // the object around it could not be decoded
)

// Refused is the error of a status that is not accepted. The message is short even if the status is hostile.
type Refused struct {
	Reason  Reason
	Message string
}

func (r *Refused) Error() string { return fmt.Sprintf("status refused: %s: %s", r.Reason, r.Message) }

func malformed(err error) error { return &Refused{Malformed, short(err.Error())} }

// check refuses a JSON text that exceeds the limits, before anything is built from it.
func (l Limits) check(raw []byte) error {
	if len(raw) > l.Bytes {
		return &Refused{TooLarge, fmt.Sprintf("more than %d bytes", l.Bytes)}
	}
	switch e := measure(raw); {
	case e.depth > l.Depth:
		return &Refused{TooDeep, fmt.Sprintf("deeper than %d", l.Depth)}
	case e.nodes > l.MaxNodes:
		return &Refused{TooManyNodes, fmt.Sprintf("more than %d JSON values", l.MaxNodes)}
	}
	return nil
}

// normalise encodes Go values as JSON and parses them within the limits. The error is a *Refused.
func normalise(status map[string]any, l Limits) (map[string]any, error) {
	b := bounded{left: l.Bytes}
	err := json.MarshalWrite(&b, status)
	switch {
	case b.left < 0:
		return nil, &Refused{TooLarge, fmt.Sprintf("more than %d bytes", l.Bytes)}
	case err != nil:
		return nil, malformed(err)
	}
	return parseObject(b.Bytes(), l)
}

// bounded is a buffer that fails a write beyond its bound, so that values that expand without end stop.
type bounded struct {
	bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errors.New("too large")
	}
	return b.Buffer.Write(p)
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
