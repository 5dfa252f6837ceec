package policy

import (
	"embed"
	"errors"
	"fmt"
)

//go:embed builtin/*.yaml
var builtin embed.FS

// Builtin returns the embedded policies: those of the built-in kinds, and the one for all others.
func Builtin() (*Set, error) {
	entries, err := builtin.ReadDir("builtin")
	var docs []*Document
	for _, entry := range entries {
		data, readErr := builtin.ReadFile("builtin/" + entry.Name())
		parsed, parseErr := Parse(entry.Name(), data)
		docs, err = append(docs, parsed...), errors.Join(err, readErr, parseErr)
	}
	if err != nil {
		return nil, fmt.Errorf("built-in policies: %w", err)
	}
	return Compile(docs...)
}
