package memapi

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/upstreamd/upstreamd/internal/patch"
)

// JSON values are, as apimachinery has them: nil, bool, int64, float64, string, []any, map[string]any. They are read and written on every
// patch; the standard decoder takes two to three times as long.

// unmarshal decodes one JSON value.
func unmarshal(b []byte) (any, error) {
	d := jsontext.NewDecoder(bytes.NewReader(b), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	v, err := readValue(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.ReadToken(); err != io.EOF { //nolint:errorlint // the decoder returns it as it is
		return nil, fmt.Errorf("more than one JSON value: %w", err)
	}
	return v, nil
}

func readValue(d *jsontext.Decoder) (any, error) {
	token, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case 't', 'f':
		return token.Bool(), nil
	case '"':
		return token.String(), nil
	case '0':
		return number(token.String())
	case '[':
		list := []any{}
		for d.PeekKind() != ']' {
			v, err := readValue(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.ReadToken()
		return list, err
	case '{':
		members := map[string]any{}
		for d.PeekKind() != '}' {
			name, err := d.ReadToken()
			if err != nil {
				return nil, err
			}
			key := name.String()
			if members[key], err = readValue(d); err != nil {
				return nil, err
			}
		}
		_, err = d.ReadToken()
		return members, err
	default: // null
		return nil, nil
	}
}

func number(text string) (any, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	return strconv.ParseFloat(text, 64)
}

// appendValue writes a value with members in the order of their names, so that equal values have equal bytes.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return appendFloat(b, v)
	case string:
		return appendString(b, v)
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, item)
		}
		return append(b, ']')
	case map[string]any:
		b = append(b, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, name), ':')
			b = appendValue(b, v[name])
		}
		return append(b, '}')
	}
	panic(fmt.Sprintf("memapi: %T is no JSON value", v))
}

func appendString(b []byte, s string) []byte {
	quoted, _ := jsontext.AppendQuote(b, s) // fails only for invalid UTF-8, which it replaces
	return quoted
}

func appendFloat(b []byte, f float64) []byte {
	return append(b, jsontext.Float(f).String()...)
}

// decode reads JSON that the server itself has encoded; empty input is nil.
func decode(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	v, err := unmarshal(b)
	if err != nil {
		panic("memapi: decoding its own JSON: " + err.Error())
	}
	return v
}

// mergePatch applies a JSON merge patch (RFC 7386) to values of any type. It modifies neither.
func mergePatch(target, change any) any {
	changes, ok := change.(map[string]any)
	if !ok {
		return change
	}
	fields, _ := target.(map[string]any)
	return patch.Apply(fields, changes)
}
