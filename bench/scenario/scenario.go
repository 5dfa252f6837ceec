// Package scenario reads the scenarios of a bench from files: the world, the load, the subjects, and the aims.
package scenario

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/upstreamd/upstreamd/bench/fleet"
)

// Where the servers are.
const (
	Memory   = "memory"   // in the process of the subject, so that only the engine remains
	Loopback = "loopback" // in a process of their own, plain HTTP
	Memapi   = "memapi"   // the product's API server in memory, in the same process
	MemapiUp = "memapi-process"
	Sandbox  = "sandbox"    // upstream is a real kube-apiserver; SyncTargets are in a process of their own
	Existing = "kubeconfig" // upstream is any API server or kcp, given on the command line; SyncTargets as above
)

// How load comes.
const (
	Flood   = "flood"   // as fast as it is read: for throughput alone
	Steady  = "steady"  // so many changes a second, of objects in turn
	Burst   = "burst"   // all copies of one object within a moment
	Hammer  = "hammer"  // one copy, many times within a second
	RollOut = "rollout" // every copy of an object goes through many states, one object after the other
	Noisy   = "noisy"   // Steady; in the second half a workspace floods besides
	Faulty  = "faulty"  // Steady; in the second half something is slow or silent
	Start   = "start"   // none: a second start over published statuses
)

// Scenario is one file.
type Scenario struct {
	Name        string          `json:"name"`
	Title       string          `json:"title"`
	Servers     string          `json:"servers"`
	Shape       fleet.Shape     `json:"shape"`
	Concurrency int             `json:"concurrency"` // of calls to upstream; default 16
	Quiet       metav1.Duration `json:"quiet"`       // upstreamd's quiet window; default its own
	Apart       bool            `json:"apart"`       // Sandbox: the API server and etcd have the first core, everybody else the others
	Load        Load            `json:"load"`
	Subjects    []string        `json:"subjects"`
	Short       []string        `json:"short"` // subjects in the short set; none: not part of it
	Aims        []Aim           `json:"aims"`
	File        string          `json:"-"`
}

// Load is the kind and rate of changes.
type Load struct {
	Pattern string          `json:"pattern"`
	For     metav1.Duration `json:"for"`    // default 15 s
	Rate    float64         `json:"rate"`   // changes a second
	Once    bool            `json:"once"`   // Flood: every copy changes once, and that is it
	Unseen  int             `json:"unseen"` // Flood: so many changes may wait to be seen upstream; 0: as long as they are read
	Within  metav1.Duration `json:"within"` // Burst: the moment; Hammer: the second; RollOut: how long one takes
	Every   metav1.Duration `json:"every"`  // Burst, Hammer, RollOut: the next object's turn
	Changes int             `json:"changes"`
	Noise   float64         `json:"noise"`  // Noisy: changes a second in the noisy workspace, which is the first
	Noisy   int             `json:"noisy"`  // Noisy: so many SyncTargets make the noise, in any workspace
	Silent  int             `json:"silent"` // Faulty: so many SyncTargets answer nothing
	Delay   metav1.Duration `json:"delay"`  // Faulty: added to every status patch in the first workspace
}

// Aim is the bound of a figure of upstreamd, absolute or relative to a baseline. Without a bound the figure is only shown.
type Aim struct {
	Figure  string   `json:"figure"`
	Over    string   `json:"over"` // a baseline; empty: the figure itself
	AtLeast *float64 `json:"atLeast"`
	AtMost  *float64 `json:"atMost"`
	Says    string   `json:"says"` // the aim in words
}

// Read reads scenarios from files, or from the folders among the names. The error tells all that is wrong.
func Read(names ...string) ([]Scenario, error) {
	var files []string
	for _, name := range names {
		inside, err := filepath.Glob(filepath.Join(name, "*.yaml"))
		if err != nil {
			return nil, err
		}
		if len(inside) == 0 {
			inside = []string{name}
		}
		files = append(files, inside...)
	}
	var all []Scenario
	var errs []error
	for _, file := range files {
		s, err := read(file)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
		}
		all = append(all, s)
	}
	return all, errors.Join(errs...)
}

func read(file string) (Scenario, error) {
	var s Scenario
	data, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	if err := yaml.UnmarshalStrict(data, &s); err != nil {
		return s, err
	}
	if base := strings.TrimSuffix(filepath.Base(file), ".yaml"); s.Name == "" {
		s.Name = trimOrder(base)
	}
	s.File = file
	s.complete()
	return s, s.validate()
}

// trimOrder drops the digits that put files in an order.
func trimOrder(name string) string {
	return strings.TrimLeft(name, "0123456789-")
}

func (s *Scenario) complete() {
	orDefault(&s.Concurrency, 16)
	orDefault(&s.Shape.Copies, 1)
	orDefault(&s.Shape.Namespaces, 1)
	if s.Load.For.Duration == 0 {
		s.Load.For.Duration = 15e9
	}
}

func orDefault(n *int, value int) {
	if *n == 0 {
		*n = value
	}
}

func (s *Scenario) validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !slices.Contains([]string{Memory, Loopback, Memapi, MemapiUp, Sandbox, Existing}, s.Servers) {
		wrong("servers: %q is none of memory, loopback, memapi, memapi-process, sandbox, kubeconfig", s.Servers)
	}
	if s.Apart && s.Servers != Sandbox {
		wrong("apart: only the servers of %s can have a core of their own", Sandbox)
	}
	if s.Shape.Objects <= 0 || s.Shape.SyncTargets <= 0 {
		wrong("shape: objects and syncTargets must be above 0")
	}
	if s.Shape.Copies > s.Shape.SyncTargets {
		wrong("shape.copies: %d copies do not fit on %d SyncTargets", s.Shape.Copies, s.Shape.SyncTargets)
	}
	if len(s.Subjects) == 0 {
		wrong("subjects: none is named")
	}
	for _, name := range s.Short {
		if !slices.Contains(s.Subjects, name) {
			wrong("short: %q is not among the subjects", name)
		}
	}
	l := s.Load
	switch l.Pattern {
	case Flood, Start:
	case Steady, Noisy, Faulty:
		if l.Rate <= 0 {
			wrong("load.rate: must be above 0")
		}
	case Burst, Hammer, RollOut:
		if l.Every.Duration <= 0 || l.Within.Duration <= 0 {
			wrong("load.every, load.within: must be above 0")
		}
	default:
		wrong("load.pattern: %q is none of flood, steady, burst, hammer, rollout, noisy, faulty, start", l.Pattern)
	}
	for i, a := range s.Aims {
		if a.Figure == "" || a.AtLeast != nil && a.AtMost != nil {
			wrong("aims[%d]: needs a figure, and atLeast or atMost, if it is more than shown", i)
		}
		if a.Over != "" && !slices.Contains(s.Subjects, a.Over) {
			wrong("aims[%d].over: %q is not among the subjects", i, a.Over)
		}
	}
	return errors.Join(errs...)
}
