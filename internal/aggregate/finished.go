package aggregate

import (
	"fmt"
	"slices"

	"github.com/upstreamd/upstreamd/internal/policy"
)

// ending is how it ends, for kinds that do: the conditions that say so; none while it goes on.
type ending struct {
	conditions []string
	failed     bool
}

// ended says whether the last of these conditions is published as True.
func (d *decider) ended(conditions []string) bool {
	return isTrue(d.in.Published, conditions[len(conditions)-1])
}

func isTrue(status map[string]any, condition string) bool {
	return text(find(status, policy.Path{"conditions"}, condition), "status") == "True"
}

// end finds out whether all has ended, now that the other fields are decided, and drops what is published with success only.
func (d *decider) end() ending {
	f := d.p.Finished
	if f == nil {
		return ending{}
	}
	end := d.howItEnds()
	for _, path := range f.OnSuccess {
		value := lookup(d.out.Status, path)
		if end.conditions == nil || end.failed || value == nil {
			set(d.out.Status, path, nil)
			continue
		}
		for _, needed := range f.Needs { // clocks of clusters differ: no end before its beginning
			value = later(value, lookup(d.out.Status, needed))
		}
		set(d.out.Status, path, value)
	}
	return end
}

func (d *decider) howItEnds() ending {
	f := d.p.Finished
	goesOn := ending{}
	if len(d.views) < len(d.in.Sources) {
		return goesOn
	}
	failed := false
	for _, v := range d.views {
		switch {
		case isTrue(v.status, last(f.Failure)):
			failed = true
		case !isTrue(v.status, last(f.Success)):
			return goesOn
		}
	}
	for _, path := range f.Needs {
		if lookup(d.out.Status, path) == nil {
			return goesOn
		}
	}
	for _, path := range f.Idle {
		if n, _ := integer(lookup(d.out.Status, path)); n != 0 {
			return goesOn
		}
	}
	// What is published of either way can't be taken back.
	bound := func(conditions []string) bool {
		return slices.ContainsFunc(conditions, func(c string) bool { return isTrue(d.in.Published, c) })
	}
	switch {
	case failed && bound(f.Success), bound(f.Failure) && bound(f.Success):
		return goesOn
	case failed || bound(f.Failure):
		return ending{conditions: f.Failure, failed: true}
	}
	for _, path := range f.OnSuccess {
		if lookup(d.out.Status, path) == nil {
			return goesOn
		}
	}
	return ending{conditions: f.Success}
}

func (d *decider) isTerminal(condition string) bool {
	f := d.p.Finished
	return f != nil && (slices.Contains(f.Success, condition) || slices.Contains(f.Failure, condition))
}

// terminal adds the conditions of the end, and those of them that are published already: they can't be taken back.
func (c *conditionList) terminal(end ending) {
	f := c.p.Finished
	if f == nil {
		return
	}
	for _, kind := range slices.Concat(f.Success, f.Failure) {
		published := find(c.in.Published, c.path, kind)
		switch {
		case text(published, "status") == "True":
			c.add(published)
		case slices.Contains(end.conditions, kind):
			c.add(c.ending(kind, end))
		}
	}
}

// ending is one condition of the end, made of what the SyncTargets say that ended so. A failure names them.
func (c *conditionList) ending(kind string, end ending) map[string]any {
	var said []voice
	for i := range c.views {
		v := &c.views[i]
		entry := find(v.status, c.path, kind)
		if text(entry, "status") != "True" { // clusters of older versions give the last one only
			entry = find(v.status, c.path, last(end.conditions))
		}
		if text(entry, "status") == "True" {
			said = append(said, voice{kind: kind, status: "True", entry: entry, source: v.Source})
		}
	}
	failed := end.failed && len(said) > 0
	if len(said) == 0 { // no SyncTarget ended so, but what is published binds: its words are taken
		i := slices.IndexFunc(end.conditions, func(kind string) bool { return isTrue(c.in.Published, kind) })
		said = []voice{{kind: kind, status: "True", entry: find(c.in.Published, c.path, end.conditions[i]), source: &Source{}}}
	}
	entry := c.entry("True", said, said, nil)
	if failed {
		entry["message"] = cut(fmt.Sprintf("%d/%d SyncTargets failed: %s", len(said), len(c.in.Sources), together(nil, said)))
	}
	return entry
}

func last(list []string) string { return list[len(list)-1] }
