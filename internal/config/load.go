package config

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// maxBytes bounds a configuration file: far above any real one, and cheap to parse.
const maxBytes = 1 << 20

// example is a complete file whose optional fields all stand at their defaults; a test holds it to that.
//
//go:embed example.yaml
var example string

// Example is a complete configuration file with comments, to start from. Its optional fields stand at their defaults.
func Example() string { return example }

// InvalidError holds everything that is wrong with a configuration.
type InvalidError struct {
	Name   string // of the file
	Errors field.ErrorList
}

// Error lists all errors, one a line.
func (e *InvalidError) Error() string {
	var b strings.Builder
	plural := "s"
	if len(e.Errors) == 1 {
		plural = ""
	}
	fmt.Fprintf(&b, "%s: %d error%s in the configuration:", e.Name, len(e.Errors), plural)
	for _, err := range e.Errors {
		b.WriteString("\n  " + err.Error())
	}
	return b.String()
}

// Load reads, completes and validates a file, and checks that the files it names are there. An error about its content is an
// *InvalidError.
func Load(name string) (*Configuration, error) {
	data, err := read(name)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, fmt.Errorf("finding the folder of the configuration: %w", err)
	}
	c, errs := parse(data, dir)
	if c != nil {
		errs = append(errs, missing(c, errs)...)
	}
	if len(errs) > 0 {
		return nil, &InvalidError{Name: name, Errors: errs}
	}
	return c, nil
}

// Parse is Load for a file's content, without reading any other file. dir is what relative paths are relative to; name
// stands in errors.
func Parse(name string, data []byte, dir string) (*Configuration, error) {
	c, errs := parse(data, dir)
	if len(errs) > 0 {
		return nil, &InvalidError{Name: name, Errors: errs}
	}
	return c, nil
}

// Print gives the file that loads as c.
func Print(c *Configuration) ([]byte, error) {
	out, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("printing the configuration: %w", err)
	}
	return out, nil
}

// parse gives the configuration as far as it could be understood (nil: not at all) and all that is wrong with it.
func parse(data []byte, dir string) (*Configuration, field.ErrorList) {
	c, errs := decode(data)
	if c == nil {
		return nil, errs
	}
	c.resolve(dir)
	return c, append(errs, withoutConsequences(errs, c.Validate())...)
}

// resolve makes paths absolute.
func (c *Configuration) resolve(dir string) {
	paths := []*string{&c.Upstream.Kubeconfig, &c.Policies.Directory, &c.LeaderElection.Kubeconfig}
	if t := c.Serving.TLS; t != nil {
		paths = append(paths, &t.CertFile, &t.KeyFile)
	}
	if r := c.Serving.Reviews; r != nil {
		paths = append(paths, &r.Kubeconfig)
	}
	for i := range c.SyncTargets {
		paths = append(paths, &c.SyncTargets[i].Kubeconfig)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// withoutConsequences drops errors that follow from another one at the same field or above it.
func withoutConsequences(found, errs field.ErrorList) field.ErrorList {
	var kept field.ErrorList
	for _, err := range errs {
		consequence := false
		for _, t := range found {
			rest, below := strings.CutPrefix(err.Field, t.Field)
			consequence = consequence || below && (rest == "" || rest[0] == '.' || rest[0] == '[')
		}
		if !consequence {
			kept = append(kept, err)
		}
	}
	return kept
}

// missing finds the files that are named and cannot be read.
func missing(c *Configuration, found field.ErrorList) field.ErrorList {
	var errs field.ErrorList
	check := func(path *field.Path, name string, wantDir bool) {
		if name == "" {
			return
		}
		info, err := os.Stat(name)
		switch {
		case errors.Is(err, os.ErrNotExist):
			errs = append(errs, field.NotFound(path, name))
		case err != nil:
			errs = append(errs, field.Invalid(path, name, err.Error()))
		case wantDir && !info.IsDir():
			errs = append(errs, field.Invalid(path, name, "is a file: name the folder that holds the policies"))
		case !wantDir && !info.Mode().IsRegular():
			errs = append(errs, field.Invalid(path, name, "is not a file: name the file itself"))
		}
	}
	check(field.NewPath("upstream", "kubeconfig"), c.Upstream.Kubeconfig, false)
	for i, t := range c.SyncTargets {
		check(field.NewPath("syncTargets").Index(i).Child("kubeconfig"), t.Kubeconfig, false)
	}
	if c.LeaderElection.Enabled {
		check(field.NewPath("leaderElection", "kubeconfig"), c.LeaderElection.Kubeconfig, false)
	}
	check(field.NewPath("policies", "directory"), c.Policies.Directory, true)
	if t := c.Serving.TLS; t != nil {
		check(field.NewPath("serving", "tls", "certFile"), t.CertFile, false)
		check(field.NewPath("serving", "tls", "keyFile"), t.KeyFile, false)
	}
	if r := c.Serving.Reviews; r != nil {
		check(field.NewPath("serving", "reviews", "kubeconfig"), r.Kubeconfig, false)
	}
	return withoutConsequences(found, errs)
}

func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxBytes)
	}
	return data, nil
}
