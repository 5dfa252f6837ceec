package actors

import (
	"fmt"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/upstreamd/upstreamd/internal/ref"
)

func object(workspace ref.Workspace, name, version string) *ref.Object {
	return &ref.Object{Workspace: workspace, Namespace: "ns", Name: name, ResourceVersion: version}
}

func TestInboxKeepsTheLatestOfEachObject(t *testing.T) {
	pokes := 0
	b := newInbox(func(*inbox) { pokes++ })
	for _, e := range []ref.Event{
		{Type: ref.Changed, Objects: []*ref.Object{object("", "a", "1")}},
		{Type: ref.Changed, Objects: []*ref.Object{object("", "b", "2")}},
		{Type: ref.Changed, Objects: []*ref.Object{object("", "a", "3")}},
		{Type: ref.Deleted, Objects: []*ref.Object{object("", "b", "4")}},
	} {
		b.emit(e)
	}
	got := b.take(10)
	if pokes != 1 || got.merged != 2 || got.more || len(got.changes) != 2 {
		t.Fatalf("pokes %d, merged %d, more %t, changes %d; want 1, 2, false, 2", pokes, got.merged, got.more, len(got.changes))
	}
	if a := got.changes[0].event; a.Type != ref.Changed || a.Objects[0].ResourceVersion != "3" {
		t.Errorf("a is %v at %s", a.Type, a.Objects[0].ResourceVersion)
	}
	if a := got.changes[1].event; a.Type != ref.Deleted || a.Objects[0].ResourceVersion != "4" {
		t.Errorf("b is %v at %s", a.Type, a.Objects[0].ResourceVersion)
	}
	b.emit(ref.Event{Type: ref.Changed, Objects: []*ref.Object{object("", "a", "5")}})
	if pokes != 2 {
		t.Errorf("an emptied inbox pokes again: %d pokes, want 2", pokes)
	}
}

func TestInboxListForgetsWhatCameBeforeInItsScopeOnly(t *testing.T) {
	b := newInbox(func(*inbox) {})
	b.emit(ref.Event{Type: ref.Changed, Scope: "one", Objects: []*ref.Object{object("one", "old", "1")}})
	b.emit(ref.Event{Type: ref.Changed, Scope: "two", Objects: []*ref.Object{object("two", "other", "2")}})
	b.emit(ref.Event{Type: ref.Listed, Scope: "one", Objects: []*ref.Object{object("one", "listed", "3")}})
	b.emit(ref.Event{Type: ref.Changed, Scope: "one", Objects: []*ref.Object{object("one", "after", "4")}})

	first := b.take(10)
	if first.list == nil || first.list.event.Scope != "one" || !first.more {
		t.Fatalf("the list comes first: %+v", first)
	}
	var names []string
	for _, c := range b.take(10).changes {
		names = append(names, c.event.Objects[0].Name)
	}
	if got := fmt.Sprint(names); got != "[other after]" {
		t.Errorf("changes after the list: %s", got)
	}
}

// For any sequence of events, taken in portions of any size, the last state of every object arrives, and memory is bounded by objects.
func TestInboxDeliversTheLastStateOfEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newInbox(func(*inbox) {})
		sent, got := map[string]string{}, map[string]string{}
		drain := func() {
			batch := b.take(rapid.IntRange(1, 5).Draw(t, "limit"))
			for _, c := range batch.changes {
				o := c.event.Objects[0]
				got[o.Name] = fmt.Sprintf("%d@%s", c.event.Type, o.ResourceVersion)
			}
		}
		for n := range rapid.IntRange(1, 100).Draw(t, "events") {
			name := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "name")
			kind := rapid.SampledFrom([]ref.EventType{ref.Changed, ref.Deleted}).Draw(t, "type")
			version := fmt.Sprint(n)
			b.emit(ref.Event{Type: kind, Objects: []*ref.Object{object("", name, version)}})
			sent[name] = fmt.Sprintf("%d@%s", kind, version)
			if len(b.changes) > 6 {
				t.Fatalf("%d changes wait for 6 objects", len(b.changes))
			}
			if rapid.Bool().Draw(t, "drain") {
				drain()
			}
		}
		for b.poked {
			drain()
		}
		if fmt.Sprint(sent) != fmt.Sprint(got) {
			t.Fatalf("sent %v, got %v", sent, got)
		}
	})
}

func TestInboxForgetsWhatAWorkspaceThatLeftHeld(t *testing.T) {
	b := newInbox(func(*inbox) {})
	change := func(scope, workspace ref.Workspace, name, version string) {
		b.emit(ref.Event{Type: ref.Changed, Scope: scope, Objects: []*ref.Object{object(workspace, name, version)}})
	}
	change("*@1", "one", "old", "4")
	change("*@1", "one", "back", "6")
	change("*@1", "two", "stays", "1")
	change("*@2", "one", "elsewhere", "1")
	b.emit(ref.Event{Type: ref.Left, Scope: "*@1", Workspace: "one", Version: "5"})
	change("*@1", "one", "new", "7")
	var got []string
	for _, c := range b.take(10).changes {
		if c.event.Type == ref.Left {
			got = append(got, "left "+string(c.event.Workspace))
			continue
		}
		got = append(got, c.event.Objects[0].Name)
	}
	if want := "[back stays elsewhere left one new]"; fmt.Sprint(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestInboxHoldsTheEndOfAScopeInThePlaceOfItsList(t *testing.T) {
	b := newInbox(func(*inbox) {})
	b.emit(ref.Event{Type: ref.Listed, Scope: "*@1", Objects: []*ref.Object{object("one", "a", "1")}})
	b.emit(ref.Event{Type: ref.Changed, Scope: "*@1", Objects: []*ref.Object{object("one", "b", "2")}})
	b.emit(ref.Event{Type: ref.Left, Scope: "*@1"})
	got := b.take(10)
	if got.list == nil || got.list.event.Type != ref.Left || got.more {
		t.Errorf("got %+v, want the end of the scope alone", got)
	}
}

// TestInboxOverflows: of objects that come and go faster than the actor takes them, none is kept, and the actor learns that it has to list.
func TestInboxOverflows(t *testing.T) {
	b := newInbox(func(*inbox) {})
	for n := range maxChanges + 2 {
		b.emit(ref.Event{Type: ref.Deleted, Objects: []*ref.Object{{Name: strconv.Itoa(n)}}})
		if n == maxChanges-1 && (len(b.changes) != maxChanges || b.overflown) {
			t.Fatalf("%d changes are kept, want %d", len(b.changes), maxChanges)
		}
	}
	if got := b.take(turn); !got.lost || len(got.changes) != 0 || len(b.changes)+len(b.order) != 0 {
		t.Errorf("lost %v, %d changes, %d kept", got.lost, len(got.changes), len(b.changes))
	}
}
