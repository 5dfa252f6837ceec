package patch

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/upstreamd/upstreamd/internal/ref"
)

var queueStart = time.Unix(1_700_000_000, 0)

func at(seconds float64) time.Time {
	return queueStart.Add(time.Duration(seconds * float64(time.Second)))
}

func keyIn(workspace, name string) Key {
	return Key{Resource: ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"}, Upstream: ref.Upstream{Workspace: ref.Workspace(workspace), Namespace: "n", Name: name}}
}

// gates is an Admission that a test sets: the zero one holds nothing back.
type gates struct {
	group  map[ref.Workspace]Group
	closed map[Group]bool
	held   map[ref.Workspace]bool
	asked  int // about groups and workspaces
}

func newGates() *gates {
	return &gates{group: map[ref.Workspace]Group{}, closed: map[Group]bool{}, held: map[ref.Workspace]bool{}}
}

func (g *gates) Group(w ref.Workspace, _ time.Time) Group { return g.group[w] }
func (g *gates) Open(of Group, _ time.Time) bool          { g.asked++; return !g.closed[of] }
func (g *gates) Free(_ Group, w ref.Workspace) bool       { g.asked++; return !g.held[w] }

// drain takes all that may be served, at one time.
func drain(q *Queue[string], now time.Time) []string {
	var got []string
	for {
		v, ok := q.Next(now)
		if !ok {
			return got
		}
		got = append(got, v)
	}
}

func TestQueueOrder(t *testing.T) {
	type put struct {
		workspace, name string
		lane            Lane
		at              float64
	}
	for name, c := range map[string]struct {
		puts []put
		now  float64
		want []string
	}{
		"nothing":                     {},
		"by age":                      {[]put{{"w", "a", Normal, 0}, {"w", "b", Normal, 1}, {"w", "c", Normal, 2}}, 3, []string{"a0", "b1", "c2"}},
		"what matters goes first":     {[]put{{"w", "a", Normal, 0}, {"w", "b", Urgent, 1}, {"w", "c", Urgent, 2}}, 3, []string{"b1", "c2", "a0"}},
		"but not before the old":      {[]put{{"w", "a", Normal, 0}, {"w", "b", Normal, 1}, {"w", "c", Urgent, 2}}, 5, []string{"a0", "c2", "b1"}},
		"the old by age":              {[]put{{"w", "a", Urgent, 0}, {"w", "b", Normal, 1}, {"w", "c", Urgent, 2}}, 50, []string{"a0", "b1", "c2"}},
		"latest wins":                 {[]put{{"w", "a", Normal, 0}, {"w", "b", Normal, 1}, {"w", "a", Normal, 2}}, 3, []string{"a2", "b1"}},
		"a newer one is as old":       {[]put{{"w", "a", Normal, 0}, {"w", "b", Urgent, 1}, {"w", "a", Normal, 4}}, 5, []string{"a4", "b1"}},
		"a newer one keeps its lane":  {[]put{{"w", "a", Urgent, 1}, {"w", "b", Normal, 0}, {"w", "a", Normal, 2}}, 3, []string{"a2", "b0"}},
		"a newer one may matter more": {[]put{{"w", "a", Normal, 0}, {"w", "b", Urgent, 1}, {"w", "c", Urgent, 2}, {"w", "a", Urgent, 3}}, 4, []string{"a3", "b1", "c2"}},
		"workspaces in turn":          {[]put{{"w", "a", Normal, 0}, {"w", "b", Normal, 0}, {"w", "c", Normal, 0}, {"x", "d", Normal, 1}, {"y", "e", Normal, 2}, {"y", "f", Normal, 3}}, 3, []string{"a0", "d1", "e2", "b0", "f3", "c0"}},
		"SyncTargets in turn":         {[]put{{"w", "a:1", Normal, 0}, {"w", "a:2", Normal, 0}, {"w", "a:3", Normal, 0}, {"w", "b:4", Normal, 1}, {"w", "c:5", Normal, 2}, {"w", "c:6", Normal, 3}}, 3, []string{"a:10", "b:41", "c:52", "a:20", "c:63", "a:30"}},
		"what is urgent of any first": {[]put{{"w", "a:1", Normal, 0}, {"w", "b:2", Normal, 1}, {"w", "c:3", Urgent, 2}, {"w", "b:4", Urgent, 3}}, 4, []string{"b:43", "c:32", "a:10", "b:21"}},
		"but no flood of the urgent":  {[]put{{"w", "a:1", Urgent, 0}, {"w", "a:2", Urgent, 0}, {"w", "a:3", Urgent, 0}, {"w", "b:4", Normal, 1}, {"w", "b:5", Normal, 2}}, 3, []string{"a:10", "b:41", "a:20", "b:52", "a:30"}},
		"the old of any SyncTarget":   {[]put{{"w", "a:1", Normal, 0}, {"w", "a:2", Normal, 0}, {"w", "b:3", Urgent, 1}}, 5, []string{"a:10", "a:20", "b:31"}},
		"a SyncTarget in each":        {[]put{{"w", "a:1", Normal, 0}, {"x", "a:2", Normal, 0}, {"w", "b:3", Normal, 0}, {"x", "b:4", Normal, 0}}, 1, []string{"a:10", "a:20", "b:30", "b:40"}},
		"also when the noisy is old":  {[]put{{"w", "a", Urgent, 0}, {"w", "b", Urgent, 0}, {"w", "c", Urgent, 0}, {"x", "d", Normal, 59}}, 60, []string{"a0", "d59", "b0", "c0"}},
	} {
		q := NewQueue[string](newGates())
		for _, p := range c.puts {
			from, _, found := strings.Cut(p.name, ":")
			if !found {
				from = ""
			}
			q.Put(keyIn(p.workspace, p.name), p.lane, ref.SyncTarget(from), fmt.Sprint(p.name, p.at), at(p.at))
		}
		if got := drain(q, at(c.now)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if q.Len()+len(q.groups)+len(q.workspaces) != 0 {
			t.Errorf("%s: drained, but something is left", name)
		}
	}
}

// TestQueueHolds: held workspaces keep their writes and places, and cost nothing but a question for their group.
func TestQueueHolds(t *testing.T) {
	g := newGates()
	q := NewQueue[string](g)
	for i := range 1000 {
		w := fmt.Sprint("paused-", i)
		g.group[ref.Workspace(w)] = Group{Host: "paused"}
		q.Put(keyIn(w, "a"), Urgent, "", "paused", at(0))
	}
	for _, w := range []string{"w", "x", "y"} {
		q.Put(keyIn(w, "a"), Normal, "", w+"/a", at(1))
		q.Put(keyIn(w, "b"), Normal, "", w+"/b", at(1))
	}
	g.closed[Group{Host: "paused"}], g.held["w"], g.asked = true, true, 0
	if v, _ := q.Next(at(2)); v != "x/a" {
		t.Errorf("%s, want x/a", v)
	}
	if g.asked > 8 {
		t.Errorf("asked %d times: held workspaces were visited", g.asked)
	}
	g.held["w"] = false
	if got, want := drain(q, at(2)), []string{"w/a", "y/a", "x/b", "w/b", "y/b"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	g.group["paused-7"] = Group{}
	if v, ok := q.Next(at(2)); ok {
		t.Errorf("%s: not asked yet for its new group", v)
	}
	q.Regroup("paused-7", at(2))
	if v, _ := q.Next(at(2)); v != "paused" || q.Len() != 999 {
		t.Errorf("%q, %d wait: the workspace in another group was not served", v, q.Len())
	}
	g.group["paused-8"], g.closed = Group{Slow: true}, map[Group]bool{{Slow: true}: true}
	if got := drain(q, at(2)); len(got) != 998 || q.Len() != 1 { // it is found when its turn comes
		t.Errorf("%d were served, %d are held", len(got), q.Len())
	}
	q.Remove(keyIn("paused-8", "a"))
	q.Remove(keyIn("paused-8", "a"))
	if q.Len()+len(q.groups) != 0 {
		t.Errorf("%d wait in %d groups after they were taken back", q.Len(), len(q.groups))
	}
}

// TestQueueAgainstModel: against a plain slice that is searched by the rules as they are written.
func TestQueueAgainstModel(t *testing.T) {
	type waiting struct {
		key   Key
		lane  Lane
		from  ref.SyncTarget
		value string
		since time.Time
	}
	type place struct { // of a SyncTarget in a workspace
		ref.Workspace
		ref.SyncTarget
	}
	rapid.Check(t, func(t *rapid.T) {
		g, now, model := newGates(), queueStart, []*waiting{}
		q := NewQueue[string](g)
		workspaces, hosts := rapid.SampledFrom([]string{"w", "x", "y"}), rapid.SampledFrom([]string{"h", "i"})
		served := map[ref.Workspace]int{} // when a workspace was served last, or when it came
		heard := map[place]int{}          // likewise a SyncTarget in it
		last := map[ref.Workspace]ref.SyncTarget{}
		placeOf := func(m *waiting) place { return place{m.key.Upstream.Workspace, m.from} }
		gone := func(p place) bool {
			return !slices.ContainsFunc(model, func(m *waiting) bool { return placeOf(m) == p })
		}
		find := func(k Key) int { return slices.IndexFunc(model, func(m *waiting) bool { return m.key == k }) }
		n := 0
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				n++
				now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
				k := keyIn(workspaces.Draw(t, "workspace"), rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "name"))
				l, v := Lane(rapid.IntRange(0, 1).Draw(t, "lane")), fmt.Sprint(n)
				from := rapid.SampledFrom([]ref.SyncTarget{"", "a", "b"}).Draw(t, "from")
				i := find(k)
				if replaced := q.Put(k, l, from, v, now); replaced != (i >= 0) {
					t.Fatalf("replaced %v", replaced)
				}
				if i >= 0 {
					model[i].value, model[i].lane = v, max(l, model[i].lane)
					return
				}
				if !slices.ContainsFunc(model, func(m *waiting) bool { return m.key.Upstream.Workspace == k.Upstream.Workspace }) {
					served[k.Upstream.Workspace] = n
					delete(last, k.Upstream.Workspace)
				}
				m := &waiting{k, l, from, v, now}
				if p := placeOf(m); gone(p) {
					heard[p] = n
					if last[p.Workspace] == p.SyncTarget {
						delete(last, p.Workspace)
					}
				}
				model = append(model, m)
			},
			"remove": func(t *rapid.T) {
				if len(model) == 0 {
					t.Skip("nothing waits")
				}
				i := rapid.IntRange(0, len(model)-1).Draw(t, "which")
				q.Remove(model[i].key)
				model = slices.Delete(model, i, i+1)
			},
			"regroup": func(t *rapid.T) {
				w := ref.Workspace(workspaces.Draw(t, "workspace"))
				g.group[w] = Group{hosts.Draw(t, "host"), rapid.Bool().Draw(t, "slow")}
			},
			"close or open a group": func(t *rapid.T) {
				group := Group{hosts.Draw(t, "host"), rapid.Bool().Draw(t, "slow")}
				g.closed[group] = !g.closed[group]
			},
			"hold or release a workspace": func(t *rapid.T) {
				w := ref.Workspace(workspaces.Draw(t, "workspace"))
				g.held[w] = !g.held[w]
			},
			"next": func(t *rapid.T) {
				n++
				now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
				for w, ws := range q.workspaces {
					if g.closed[ws.group] { // else Next itself finds the workspace in its new group
						q.Regroup(w, now)
					}
				}
				got, ok := q.Next(now)
				var want *waiting
				allowed := slices.DeleteFunc(slices.Clone(model), func(m *waiting) bool {
					w := m.key.Upstream.Workspace
					return g.held[w] || g.closed[g.group[w]]
				})
				better := func(less func(m, than *waiting) bool) { // keeps the first of those that are best
					if len(allowed) > 0 {
						best := slices.MinFunc(allowed, func(a, b *waiting) int {
							switch {
							case less(a, b):
								return -1
							case less(b, a):
								return 1
							}
							return 0
						})
						allowed = slices.DeleteFunc(allowed, func(m *waiting) bool { return less(best, m) })
					}
				}
				better(func(m, than *waiting) bool {
					return served[m.key.Upstream.Workspace] < served[than.key.Upstream.Workspace]
				})
				if len(allowed) > 0 && now.Sub(allowed[0].since) < Patience { // the model is in the order of age
					ws := allowed[0].key.Upstream.Workspace
					before, one := last[ws]
					flips := func(m *waiting) bool { return m.lane == Urgent && (!one || m.from != before) }
					better(func(m, than *waiting) bool { return flips(m) && !flips(than) })
					better(func(m, than *waiting) bool { return heard[placeOf(m)] < heard[placeOf(than)] })
					better(func(m, than *waiting) bool { return m.lane > than.lane })
				}
				if len(allowed) > 0 {
					want = allowed[0]
				}
				if ok != (want != nil) || ok && got != want.value {
					t.Fatalf("%q, %v; want %+v", got, ok, want)
				}
				if ok {
					served[want.key.Upstream.Workspace] = n
					heard[placeOf(want)], last[want.key.Upstream.Workspace] = n, want.from
					model = slices.DeleteFunc(model, func(m *waiting) bool { return m == want })
				}
			},
			"": func(t *rapid.T) {
				if q.Len() != len(model) {
					t.Fatalf("%d wait; want %d", q.Len(), len(model))
				}
			},
		})
		g.held, g.closed = nil, nil
		left := drain(q, now)
		if len(left) != len(model) {
			t.Fatalf("%d were left, want %d", len(left), len(model))
		}
		for _, m := range model {
			if !slices.Contains(left, m.value) {
				t.Fatalf("%v was lost", m)
			}
		}
	})
}

// TestQueueBounds: beside 20,000 writes of one noisy workspace, a quiet one is served within one round; under a constant stream of urgent writes
// a normal one goes once it is old enough.
func TestQueueBounds(t *testing.T) {
	q := NewQueue[string](newGates())
	for i := range 20_000 {
		q.Put(keyIn("noisy", fmt.Sprint(i)), Urgent, "", "noisy", at(0))
	}
	q.Put(keyIn("quiet", "a"), Normal, "", "quiet", at(100))
	var got []string
	for range 2 {
		v, _ := q.Next(at(100))
		got = append(got, v)
	}
	if !slices.Contains(got, "quiet") {
		t.Errorf("%v: the quiet workspace was not served", got)
	}

	q = NewQueue[string](newGates())
	q.Put(keyIn("w", "counter"), Normal, "", "counter", at(0))
	for i := range 100 {
		now := at(float64(i) / 10)
		q.Put(keyIn("w", fmt.Sprint(i)), Urgent, "", "flip", now)
		q.Put(keyIn("w", fmt.Sprint(i, "b")), Urgent, "", "flip", now)
		if v, _ := q.Next(now); v == "counter" {
			if i != 50 {
				t.Errorf("the counter went after %.1f s", float64(i)/10)
			}
			return
		}
	}
	t.Error("the counter never went")
}

func TestQueueGivesMemoryBack(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	q := NewQueue[string](newGates())
	before := heap()
	for i := range 50_000 {
		q.Put(keyIn(fmt.Sprint(i%100), fmt.Sprint(i)), Normal, "", "v", at(0))
	}
	full := heap()
	drain(q, at(1))
	if after := heap(); full-before < 1<<20 || after > before+1<<17 {
		t.Errorf("%d KiB before, %d full, %d after", before>>10, full>>10, after>>10)
	}
	runtime.KeepAlive(q)
}

func BenchmarkQueue(b *testing.B) {
	q := NewQueue[string](newGates())
	var keys []Key
	for i := range 10_000 {
		keys = append(keys, keyIn(fmt.Sprint(i%100), fmt.Sprint(i)))
		q.Put(keys[i], Lane(i%2), "", "v", queueStart)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		q.Put(keys[i%len(keys)], Normal, "", "v", queueStart)
		q.Next(queueStart)
	}
}
