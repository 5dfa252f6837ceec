package policy

import (
	"embed"
	"errors"
	"fmt"
	"path"
)

// The sources of embedded policies. A policy from elsewhere has none.
const (
	SourceBuiltin = "builtin" // kinds of Kubernetes, and the one for all others
	SourceLibrary = "library" // custom resources of common projects
)

//go:embed builtin/*.yaml library/*.yaml
var embedded embed.FS

// Builtin returns the embedded policies: those of the built-in kinds, those of the library, and the one for all others.
func Builtin() (*Set, error) {
	var docs []*Document
	var errs []error
	for _, source := range []string{SourceBuiltin, SourceLibrary} {
		entries, err := embedded.ReadDir(source)
		errs = append(errs, err)
		for _, entry := range entries {
			data, readErr := embedded.ReadFile(path.Join(source, entry.Name()))
			parsed, parseErr := Parse(entry.Name(), data)
			errs = append(errs, readErr, parseErr)
			for _, doc := range parsed {
				doc.Source = source
				docs = append(docs, doc)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("built-in policies: %w", err)
	}
	return Compile(docs...)
}
