package wire

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// field is a member of a JSON object.
type field struct {
	name  string
	value []byte
}

// fieldsOf parts an object. Anything else has no fields, which is what a merge patch takes it for.
func fieldsOf(object []byte) ([]field, error) {
	if len(object) == 0 || object[0] != '{' {
		return nil, nil
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(object)) // of a Buffer, values are parts of object, which nobody changes
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	fields := make([]field, 0, 12)
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		value, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		fields = append(fields, field{key, value})
	}
	_, err := d.ReadToken()
	return fields, err
}

// member is a field's value; nil if there is none.
func member(fields []field, name string) []byte {
	for _, f := range fields {
		if f.name == name {
			return f.value
		}
	}
	return nil
}

// merge applies a merge patch (RFC 7396).
func merge(target, patch []byte) ([]byte, error) {
	if len(patch) == 0 || patch[0] != '{' {
		return patch, nil
	}
	fields, err := fieldsOf(target)
	if err != nil {
		return nil, err
	}
	changes, err := fieldsOf(patch)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		at := -1
		for i := range fields {
			if fields[i].name == c.name {
				at = i
			}
		}
		switch {
		case string(c.value) == "null":
			if at >= 0 {
				fields = append(fields[:at], fields[at+1:]...)
			}
			continue
		case at < 0:
			fields, at = append(fields, field{name: c.name}), len(fields)
		}
		if fields[at].value, err = merge(fields[at].value, c.value); err != nil {
			return nil, err
		}
	}
	return join(fields), nil
}

func join(fields []field) []byte {
	b := []byte{'{'}
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendQuote(b, f.name)
		b = append(b, ':')
		b = append(b, f.value...)
	}
	return append(b, '}')
}

// patchBody is what a status patch says.
type patchBody struct {
	version string // empty: any
	status  []byte
}

func readPatch(body []byte) (patchBody, error) {
	var p patchBody
	fields, err := fieldsOf(body)
	if err != nil {
		return p, fmt.Errorf("decoding the patch: %w", err)
	}
	if p.status = member(fields, "status"); p.status == nil {
		return p, fmt.Errorf("the patch has no status: %.100s", body)
	}
	meta, err := fieldsOf(member(fields, "metadata"))
	if err != nil {
		return p, err
	}
	if version := member(meta, "resourceVersion"); version != nil {
		if p.version, err = strconv.Unquote(string(version)); err != nil {
			return p, fmt.Errorf("the patch's resourceVersion: %w", err)
		}
	}
	return p, nil
}
