package app

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/upstreamd/upstreamd/internal/policy"
)

// policyFiles are the names that are read in a folder of policies.
var policyFiles = []string{".yaml", ".yml", ".json"}

// Policies are the built-in ones with those of a folder added; its own folders are not looked into. An empty name means the
// built-in ones alone. The error lists all mistakes in all files.
func Policies(directory string) (*policy.Set, error) {
	files, err := readPolicyFolder(directory)
	if err != nil {
		return nil, err
	}
	return compilePolicies(files)
}

// readPolicyFolder gives the contents of a folder's files by their names; none for a folder without a name.
func readPolicyFolder(directory string) (map[string]string, error) {
	files := map[string]string{}
	if directory == "" {
		return files, nil
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, fmt.Errorf("policies.directory: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() || !slices.Contains(policyFiles, filepath.Ext(e.Name())) {
			continue
		}
		name := filepath.Join(directory, e.Name())
		data, err := os.ReadFile(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("policies.directory: %w", err))
		}
		files[name] = string(data)
	}
	return files, errors.Join(errs...)
}

// compilePolicies adds the policies in files to the built-in ones.
func compilePolicies(files map[string]string) (*policy.Set, error) {
	set, err := policy.Builtin()
	if err != nil {
		return nil, err
	}
	var docs []*policy.Document
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(files)) {
		parsed, err := policy.Parse(name, []byte(files[name]))
		docs = append(docs, parsed...)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("policies.directory: %w", err)
	}
	if set, err = set.With(docs...); err != nil {
		return nil, fmt.Errorf("policies.directory: %w", err)
	}
	return set, nil
}

// ParsePolicies reads files. The error lists all errors of syntax; Compile finds the rest.
func ParsePolicies(files []string) ([]*policy.Document, error) {
	var docs []*policy.Document
	var errs []error
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		parsed, err := policy.Parse(name, data)
		docs = append(docs, parsed...)
		errs = append(errs, err)
	}
	return docs, errors.Join(errs...)
}
