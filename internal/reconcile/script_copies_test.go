package reconcile

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/datadriven"
	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// report has a copy reported with the status in the input; "again" repeats its last report, with "later" only the SyncTarget knows it yet.
func (s *script) report(d *datadriven.TestData) {
	t, u := ref.SyncTarget(d.CmdArgs[0].Key), name(d.CmdArgs[1].Key)
	source := s.source(d, u)
	e := Reported{Target: t, Source: source, Upstream: u, Refused: arg(d, "refused", ""), Received: s.now, At: ref.Position{
		Epoch: uint64(number(d, "epoch", int64(s.epoch))), UID: types.UID(arg(d, "uid", "copy")), ResourceVersion: arg(d, "version", ""),
	}}
	if e.At.ResourceVersion == "" {
		e.At.ResourceVersion = s.next()
	}
	before := s.copies[t][source]
	switch {
	case d.HasArg("again"), e.Refused != "":
		e.Contribution, e.Evidence = before.Contribution, before.Evidence // object actors keep the last status that was accepted
	case d.Input != "":
		e.Contribution, e.Evidence = s.contribution(d), s.evidence(d)
		for i := range number(d, "fields", 0) {
			e.Contribution.Status[fmt.Sprintf("f%03d", i)] = i
		}
	}
	if s.copies[t] != nil && !e.At.Before(before.At) && e.At.Epoch >= s.targets[t].FromEpoch {
		s.copies[t][source] = e
	}
	if !d.HasArg("later") {
		s.step(e)
	}
}

func (s *script) contribution(d *datadriven.TestData) *aggregate.Contribution {
	c := &aggregate.Contribution{Generation: number(d, "generation", 1), Time: s.now}
	decoder := json.NewDecoder(strings.NewReader(d.Input))
	decoder.UseNumber()
	var status map[string]any
	s.must(decoder.Decode(&status))
	c.Status = integers(status).(map[string]any)
	return c
}

// evidence is that of a copy, or of an upstream object: annotations, creation time and spec.
func (s *script) evidence(d *datadriven.TestData) *evidence.Object {
	o := s.witness(d)
	e := evidence.Of(o)
	e.Spec = evidence.SpecOf(o.Spec, s.state.Policy.Evidence)
	return &e
}

// witness holds the parts of an object that are evidence. Times are relative to the begin of the script.
func (s *script) witness(d *datadriven.TestData) *ref.Object {
	o := &ref.Object{Annotations: map[string]string{}}
	if of := number(d, "of", 1); of != 0 && d.Cmd == "report" {
		o.Annotations[evidence.GenerationAnnotations[0]] = strconv.FormatInt(of, 10)
	}
	if uid := arg(d, "of-uid", ""); uid != "" {
		o.Annotations[evidence.UIDAnnotations[0]] = uid
	}
	if at := arg(d, "created", ""); at != "" {
		after, err := time.ParseDuration(at)
		s.must(err)
		o.Created = scriptStart.Add(after)
	}
	if spec := arg(d, "spec", "image:a"); spec != "" {
		fields := map[string]string{}
		for _, f := range strings.Split(spec, ",") {
			key, value, _ := strings.Cut(f, ":")
			fields[key] = value
		}
		raw, err := json.Marshal(fields)
		s.must(err)
		o.Spec = raw
	}
	return o
}

// integers turns json.Numbers into the numbers that a status holds.
func integers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = integers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = integers(v[i])
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	}
	return v
}

func (s *script) source(d *datadriven.TestData, u ref.Upstream) ref.Downstream {
	source := sourceOf(u)
	if c := arg(d, "copy", ""); c != "" {
		source.Namespace, source.Name, _ = strings.Cut(c, "/")
	}
	return source
}

// withdraw has a copy deleted.
func (s *script) withdraw(d *datadriven.TestData) {
	t, u := ref.SyncTarget(d.CmdArgs[0].Key), name(d.CmdArgs[1].Key)
	source := s.source(d, u)
	at := s.copies[t][source].At
	at.ResourceVersion = arg(d, "version", s.next())
	if !d.HasArg("late") {
		delete(s.copies[t], source)
	}
	s.step(Withdrew{Target: t, Source: source, Upstream: u, At: at})
}

// lose deletes a copy while the watch does not notice: the next list lacks it.
func (s *script) lose(d *datadriven.TestData) {
	delete(s.copies[ref.SyncTarget(d.CmdArgs[0].Key)], s.source(d, name(d.CmdArgs[1].Key)))
}

// listed has SyncTargets complete a list of the copies that they hold, at a new epoch, and report each of them; with "silent" the copies
// do not report yet, with "doubtful" the list is not confirmed.
func (s *script) listed(d *datadriven.TestData) {
	for _, a := range d.CmdArgs {
		t := ref.SyncTarget(a.Key)
		if _, ok := s.targets[t]; !ok {
			continue
		}
		s.listTarget(t, !d.HasArg("silent"), !d.HasArg("doubtful"))
	}
}

func (s *script) listTarget(t ref.SyncTarget, report, confirm bool) {
	s.epoch++
	e := CopiesListed{Target: t, Epoch: s.epoch, Last: true}
	sources := slices.SortedFunc(maps.Keys(s.copies[t]), bySource)
	for _, source := range sources {
		e.Copies = append(e.Copies, Copy{source, s.copies[t][source].Upstream})
	}
	s.step(e)
	if confirm {
		s.step(ListConfirmed{t, s.epoch})
	}
	for _, source := range sources {
		c := s.copies[t][source]
		c.At.Epoch, c.Received = s.epoch, time.Time{}
		s.copies[t][source] = c
		if report {
			s.step(c)
		}
	}
}

// confirm confirms the newest list of a SyncTarget, or that of an epoch.
func (s *script) confirm(d *datadriven.TestData) {
	s.step(ListConfirmed{ref.SyncTarget(d.CmdArgs[0].Key), uint64(number(d, "epoch", int64(s.epoch)))})
}
