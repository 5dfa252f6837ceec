// Package policytest runs case files: the statuses of SyncTargets, the published status, and the status to publish then. The cases of the built-in
// policies and those that users write for their own go through the same code.
package policytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/tools/txtar"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
	"github.com/upstreamd/upstreamd/internal/transform"
)

// builtin compiles the embedded policies once for all cases.
var builtin = sync.OnceValues(policy.Builtin)

// firstSeen is the time of a status that tells none.
var firstSeen = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Case is one case file, read.
type Case struct {
	Name       string // the file
	Comment    string // what it shows
	Policy     *policy.Policy
	Input      aggregate.Input
	Want       map[string]any // the status after the decision was applied; nil: none
	WantReason string         // "Reason", or "Reason: the whole message"
	WantErrors []string       // parts of the errors that are expected, in order
	Typed      bool           // the API server leaves zeros out
	Foreign    []string       // the parts of the published status that are not ours, as in Given

	schema *ref.Schema // nil: not known
}

// Given is the file given.yaml: what is not seen from the objects.
type Given struct {
	Targets   map[string]GivenTarget `json:"targets"`
	Overdue   bool                   `json:"overdue"`   // the deadline for SyncTargets that have not listed is over
	Withdrawn bool                   `json:"withdrawn"` // there were copies, there are none any more
	Unplaced  bool                   `json:"unplaced"`  // no SyncTarget is placed any more
	Ambiguous []ref.SyncTarget       `json:"ambiguous"` // two objects claim to be the copy here
	Foreign   []string               `json:"foreign"`   // what of the published status is not ours: fields, and conditions as "conditions.TYPE"
	Typed     bool                   `json:"typed"`     // the API server's own types hold the object: it leaves zeros out
}

// GivenTarget is what is known of a placed SyncTarget beside its copy. Without a state, it is Absent if the case has no copy of it.
type GivenTarget struct {
	State         string       `json:"state"`
	Stale         bool         `json:"stale"`
	Since         *metav1.Time `json:"since"`
	Unschedulable bool         `json:"unschedulable"` // takes no new workloads
	NotReporting  string       `json:"notReporting"`  // why its contribution counts as stale: a refused status
	Lagging       bool         `json:"lagging"`       // told to be behind the upstream generation
	Bound         bool         `json:"bound"`         // placed by its binding, not by a label
	CaughtUp      *bool        `json:"caughtUp"`      // default: what the copy's annotation says, else true
}

// Load reads a case file. name is its path, for messages.
func Load(name string, data []byte) (*Case, error) {
	archive := txtar.Parse(data)
	c := &Case{Name: name, Comment: strings.TrimSpace(string(archive.Comment))}
	files := map[string][]byte{}
	for _, f := range archive.Files {
		files[f.Name] = f.Data
	}
	given := Given{}
	err := errors.Join(
		yaml.UnmarshalStrict(files["given.yaml"], &given),
		c.loadPolicy(files["policy.yaml"]),
		c.loadUpstream(files["upstream.yaml"]),
		c.loadWant(files),
		c.loadSchema(files["schema.yaml"]),
	)
	for name, data := range files {
		target, isTarget := strings.CutPrefix(name, "target/")
		switch {
		case isTarget && path.Ext(target) == ".yaml":
			err = errors.Join(err, c.loadTarget(strings.TrimSuffix(target, ".yaml"), data))
		case !slices.Contains([]string{"policy.yaml", "schema.yaml", "upstream.yaml", "given.yaml", "want.yaml", "want.reason", "want.errors"}, name):
			err = errors.Join(err, fmt.Errorf("%s: a case has policy.yaml, schema.yaml, upstream.yaml, target/NAME.yaml, given.yaml, want.yaml, "+
				"want.reason, want.errors", name))
		}
	}
	if err == nil {
		err = c.give(given)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// policyFrom is what policy.yaml holds if it holds no StatusPolicy.
type policyFrom struct {
	Builtin string `json:"builtin"` // the name of a built-in policy
	File    string `json:"file"`    // a file of policies, beside the case file
	Name    string `json:"name"`    // which of the file's policies; needed if there are several
}

// loadPolicy takes a whole StatusPolicy, {builtin: NAME}, or {file: FILE}: the policy itself is tested then, not a copy of it.
func (c *Case) loadPolicy(data []byte) error {
	var from policyFrom
	if yaml.UnmarshalStrict(data, &from) != nil {
		return c.choose("policy.yaml", data, "")
	}
	if from.File != "" {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(c.Name), from.File))
		if err != nil {
			return fmt.Errorf("policy.yaml: %w", err)
		}
		return c.choose(from.File, data, from.Name)
	}
	set, err := builtin()
	if err != nil {
		return err
	}
	return c.named(set, "built-in policy", from.Builtin)
}

// choose takes one of the policies in a file.
func (c *Case) choose(name string, data []byte, wanted string) error {
	docs, err := policy.Parse(name, data)
	if err != nil {
		return err
	}
	set, err := policy.Compile(docs...)
	switch {
	case err != nil:
		return err
	case wanted != "":
		return c.named(set, "policy in "+name, wanted)
	case len(docs) != 1:
		return fmt.Errorf("%s holds %d policies: a case is for one", name, len(docs))
	}
	c.Policy = set.All()[0]
	return nil
}

func (c *Case) named(set *policy.Set, what, name string) error {
	for _, p := range set.All() {
		if p.Name == name {
			c.Policy = p
			return nil
		}
	}
	return fmt.Errorf("policy.yaml: there is no %s of the name %q", what, name)
}

// object is as much of an upstream or downstream object as a case needs.
type object struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Status            json.RawMessage `json:"status"`

	raw []byte
}

func decode(data []byte) (*object, error) {
	raw, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, err
	}
	o := &object{raw: raw}
	return o, json.Unmarshal(raw, o)
}

func (o *object) extract(opts status.Options) (map[string]any, error) {
	return status.Extract(&ref.Object{Status: o.Status, Raw: o.raw}, opts)
}

func (c *Case) loadUpstream(data []byte) error {
	o, err := decode(data)
	if err != nil {
		return fmt.Errorf("upstream.yaml: %w", err)
	}
	published, err := o.extract(status.Options{})
	if err != nil {
		return fmt.Errorf("upstream.yaml: %w", err)
	}
	c.Input = aggregate.Input{Generation: o.Generation, Annotations: o.Annotations, Labels: o.Labels, Namespace: o.Namespace, Name: o.Name, Published: published}
	return nil
}

func (c *Case) loadWant(files map[string][]byte) error {
	c.WantReason = strings.TrimSpace(string(files["want.reason"]))
	c.WantErrors = strings.FieldsFunc(string(files["want.errors"]), func(r rune) bool { return r == '\n' })
	data, ok := files["want.yaml"]
	if !ok {
		return errors.New("there is no want.yaml")
	}
	raw, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return fmt.Errorf("want.yaml: %w", err)
	}
	if c.Want, err = status.Extract(&ref.Object{Status: raw}, status.Options{}); err != nil {
		return fmt.Errorf("want.yaml: %w", err)
	}
	return nil
}

func (c *Case) loadTarget(name string, data []byte) error {
	o, err := decode(data)
	if err != nil {
		return fmt.Errorf("target %s: %w", name, err)
	}
	source := aggregate.Source{Target: ref.SyncTarget(name), State: aggregate.NoStatus, CaughtUp: true}
	if c.Policy == nil {
		return nil // said already
	}
	extracted, err := o.extract(status.Options{Fields: c.Policy.Extract.Fields, Paths: c.Policy.Extract.Paths})
	if err != nil {
		return fmt.Errorf("target %s: %w", name, err)
	}
	if extracted != nil {
		extracted = transform.Status(extracted, transform.Context{
			Downstream: ref.Downstream{Namespace: o.Namespace, Name: o.Name},
			Upstream:   ref.Upstream{Workspace: c.Input.Workspace, Namespace: c.Input.Namespace, Name: c.Input.Name},
			UID:        o.UID,
			Withhold:   c.Policy.Withhold,
		})
		source.State = aggregate.Reporting
		source.Contribution = &aggregate.Contribution{Status: extracted, Generation: o.Generation, Time: o.time(extracted)}
	}
	if text, ok := o.Annotations[evidence.GenerationAnnotations[0]]; ok {
		generation, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("target %s: annotation %s: %w", name, evidence.GenerationAnnotations[0], err)
		}
		source.CaughtUp = generation >= c.Input.Generation
	}
	c.Input.Sources = append(c.Input.Sources, source)
	return nil
}

// time is when a status changed last: its entry in managedFields, else its newest condition transition, else when it was first seen.
func (o *object) time(extracted map[string]any) time.Time {
	newest := time.Time{}
	for _, m := range o.ManagedFields {
		if m.Subresource == "status" && m.Time != nil && m.Time.After(newest) {
			newest = m.Time.Time
		}
	}
	if !newest.IsZero() {
		return newest
	}
	conditions, _ := extracted["conditions"].([]any)
	for _, item := range conditions {
		entry, _ := item.(map[string]any)
		text, _ := entry["lastTransitionTime"].(string)
		if t, err := time.Parse(time.RFC3339, text); err == nil && t.After(newest) {
			newest = t
		}
	}
	if newest.IsZero() {
		return firstSeen
	}
	return newest
}

// give adds what given.yaml says.
func (c *Case) give(g Given) error {
	c.Input.Overdue, c.Input.Withdrawn, c.Input.Unplaced, c.Input.Ambiguous = g.Overdue, g.Withdrawn, g.Unplaced, g.Ambiguous
	c.Typed, c.Foreign = g.Typed, g.Foreign
	c.Input.Schema = c.schema
	for name, target := range g.Targets {
		i := slices.IndexFunc(c.Input.Sources, func(s aggregate.Source) bool { return string(s.Target) == name })
		if i < 0 {
			i = len(c.Input.Sources)
			c.Input.Sources = append(c.Input.Sources, aggregate.Source{Target: ref.SyncTarget(name), State: aggregate.Absent})
		}
		source := &c.Input.Sources[i]
		switch target.State {
		case "":
		case "Absent", "NoStatus", "Unknown":
			source.State = map[string]aggregate.State{"Absent": aggregate.Absent, "NoStatus": aggregate.NoStatus, "Unknown": aggregate.Unknown}[target.State]
			source.Contribution = nil
		default:
			return fmt.Errorf("given.yaml: targets.%s.state: %q: must be Absent, NoStatus or Unknown; one with a status needs none", name, target.State)
		}
		source.Stale, source.NotReporting, source.Lagging = target.Stale, target.NotReporting, target.Lagging
		source.Unschedulable, source.Bound = target.Unschedulable, target.Bound
		if target.Since != nil {
			source.Since = target.Since.Time
		}
		if target.CaughtUp != nil {
			source.CaughtUp = *target.CaughtUp
		}
	}
	slices.SortFunc(c.Input.Sources, func(a, b aggregate.Source) int { return strings.Compare(string(a.Target), string(b.Target)) })
	return c.Publish(c.Input.Published)
}
