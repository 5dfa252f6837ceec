package policy

import (
	"embed"
	"fmt"
)

//go:embed builtin/*.yaml
var builtin embed.FS

// Builtin returns the embedded policies: those of the built-in kinds, and the one for all others.
func Builtin() (*Set, error) {
	entries, err := builtin.ReadDir("builtin")
	if err != nil {
		return nil, fmt.Errorf("read built-in policies: %w", err)
	}
	var docs []*Document
	for _, entry := range entries {
		data, err := builtin.ReadFile("builtin/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read built-in policies: %w", err)
		}
		parsed, err := Parse(entry.Name(), data)
		if err != nil {
			return nil, fmt.Errorf("built-in policy: %w", err)
		}
		docs = append(docs, parsed...)
	}
	return Compile(docs...)
}
