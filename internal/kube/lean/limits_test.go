package lean

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	kt "github.com/upstreamd/upstreamd/internal/kube/kubetest"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/internal/status"
)

// bulk is the JSON of objects o0, o1, …, each with a status of so many bytes.
func bulk(from, to, status int) []string {
	var objects []string
	for i := from; i < to; i++ {
		objects = append(objects, fmt.Sprintf(`{"metadata":{"name":"o%d","resourceVersion":"%d"},"status":"%s"}`, i, i+1, strings.Repeat("x", status-2)))
	}
	return objects
}

func eventsOf(kind string, objects ...string) []string {
	var all []string
	for _, o := range objects {
		all = append(all, kt.Event(kind, o))
	}
	return all
}

// streamed answers a streaming list, then goes on with events.
func streamed(objects []string, then ...string) http.HandlerFunc {
	return kt.Watch(append(append(eventsOf("ADDED", objects...), kt.InitialEnd(100)), then...)...)
}

// inPages answers in pages of one object each.
func inPages(objects []string) []http.HandlerFunc {
	steps := []http.HandlerFunc{kt.NoStreamingLists}
	for i, o := range objects {
		next := fmt.Sprint(i)
		if i == len(objects)-1 {
			next = ""
		}
		steps = append(steps, kt.List("100", next, o))
	}
	return append(steps, kt.Watch())
}

// trickle answers slowly with parts that never come to an end.
func trickle(head, part string, every time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, head)
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, part); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			kt.Sleep(r, every)
		}
	}
}

// TestSize: all that is kept of an object counts.
func TestSize(t *testing.T) {
	object := func(n func(int) string) *ref.Object {
		return &ref.Object{
			Namespace: n(1), Name: n(2), UID: types.UID(n(4)), ResourceVersion: n(8), Status: []byte(n(16)), Raw: []byte(n(32)),
			Labels: map[string]string{n(64): n(128)}, Annotations: map[string]string{n(256): n(512)},
			Managers: []ref.Manager{{Name: n(1024), Fields: []byte(n(2048))}}, Spec: []byte(n(4096)),
		}
	}
	if got := size(object(long)) - size(object(func(int) string { return "" })); got != 8191 {
		t.Errorf("got %d = %[1]b", got)
	}
}

// TestKeptIsHeap: the objects that a limit admits take at most four times as much heap, whatever they hold, their parsed statuses included.
func TestKeptIsHeap(t *testing.T) {
	const limit = 1 << 20
	type kept struct {
		object *ref.Object
		parsed map[string]any
	}
	rapid.Check(t, func(t *rapid.T) {
		labels := rapid.MapOfN(rapid.StringMatching("[a-z]{1,8}"), rapid.StringMatching("[a-z]{0,8}"), 0, 12).Draw(t, "labels")
		one, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"name": "NAME", "uid": "u", "labels": labels}, "status": map[string]any{"a": valueGen(3).Draw(t, "status")},
		})
		if err != nil {
			t.Fatal(err)
		}
		counted, all, before := newCensus(Limits{Kept: limit}, nil), []kept{}, heapInUse()
		for n := 0; ; n++ {
			text := strings.Replace(string(one), "NAME", fmt.Sprint("object-", n), 1)
			o, err1 := NewDecoder(strings.NewReader(text), ref.Want{Labels: []string{ref.All}}, Limits{}).Object()
			if counted.add(o) != nil {
				break
			}
			parsed, err2 := status.Parse(o.Status)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			all = append(all, kept{o, parsed})
		}
		heap := heapInUse() - before
		runtime.KeepAlive(all)
		runtime.KeepAlive(counted)
		if heap > 4*limit {
			t.Fatalf("%d objects like %s take %d bytes", len(all), one, heap)
		}
	})
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func valueGen(depth int) *rapid.Generator[any] {
	scalars := rapid.OneOf(rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Int32().AsAny(), rapid.StringN(0, 8, -1).AsAny())
	if depth == 0 {
		return scalars
	}
	below := valueGen(depth - 1)
	return rapid.OneOf(scalars, rapid.SliceOfN(below, 0, 9).AsAny(), rapid.MapOfN(rapid.StringN(0, 4, -1), below, 0, 9).AsAny())
}

// TestBudget: while the budget is exceeded, watches that keep more than an equal part get no more; others do, up to that.
func TestBudget(t *testing.T) {
	b := NewBudget(100)
	big, small := b.open(), b.open()
	idle := []*share{b.open(), b.open()}
	for i, step := range []struct {
		of    *share
		bytes int64
		ok    bool
	}{
		{big, 90, true}, {small, 10, true}, {big, 91, false}, {big, 90, true}, {small, 25, true}, {small, 26, false}, {big, 75, true}, {small, 25, true},
		{small, 26, false}, {big, 60, true}, {small, 40, true}, {small, 41, false},
	} {
		if err := step.of.hold(step.bytes); (err == nil) != step.ok {
			t.Errorf("step %d: %d bytes: %v", i, step.bytes, err)
		}
	}
	big.close()
	_ = big.hold(1000)
	if err := small.hold(100); err != nil || b.used != 100 || b.shares != 3 {
		t.Errorf("%v; %d bytes, %d shares", err, b.used, b.shares)
	}
	for _, s := range append(idle, small) {
		s.close()
	}
	if b.used != 0 || b.shares != 0 {
		t.Errorf("%d bytes, %d shares at the end", b.used, b.shares)
	}
}

// TestBudgetOfLists: until a list is complete, the state before it is kept, and counts; then the list counts alone.
func TestBudgetOfLists(t *testing.T) {
	part := NewBudget(1 << 20).open()
	counted := newCensus(Limits{}, part)
	o := &ref.Object{Name: "a", Status: []byte(long(100))}
	_ = counted.add(o)
	counted.complete()
	before := part.held
	relisted := newCensus(Limits{}, part)
	_ = relisted.add(&ref.Object{Name: "a"})
	if part.held != before || before != int64(size(o)) {
		t.Errorf("%d bytes during the list, want %d", part.held, before)
	}
	if relisted.complete(); part.held != before-100 {
		t.Errorf("%d bytes after the list, want %d", part.held, before-100)
	}
}

// TestBudgetOfWatches: a watch that exceeds its part of the budget is quarantined.
func TestBudgetOfWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(4 * kept(100))
		settings := Settings{Budget: budget, Quarantine: Backoff{Initial: time.Minute, Max: time.Minute}, WatchIdle: time.Hour}
		expired := `{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}`
		three := bulk(0, 3, 100)
		one, _ := source(t, kt.NewScript(streamed(three, kt.Pause, expired), streamed(three, kt.Pause, kt.Event("DELETED", three[0]))), ref.Want{}, settings)
		time.Sleep(time.Second)
		synctest.Wait()
		two, _ := source(t, kt.NewScript(streamed(bulk(0, 2, 100), kt.Pause, kt.Event("ADDED", bulk(2, 3, 100)[0]))), ref.Want{}, settings)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		checkSaid(t, two.Events(), ref.LimitMemory, 2, 0)
		for _, e := range one.Events() {
			if e.Type == ref.Failed {
				t.Errorf("the first watch failed: %v", e.Err)
			}
		}
	})
}

// kept is the estimated heap of an object of bulk.
func kept(status int) int64 {
	o, err := NewDecoder(strings.NewReader(bulk(0, 1, status)[0]), ref.Want{}, Limits{}).Object()
	if err != nil {
		panic(err)
	}
	return int64(size(o))
}

// TestLimits takes a server up to each limit, which is allowed, and beyond it: then the known objects stay, and the server is
// listed again, as a whole, after the quarantine.
func TestLimits(t *testing.T) {
	const small = 10
	size := len(fmt.Sprintf(`{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"100","continue":""},"items":[%s]}`, bulk(0, 1, small)[0]))
	for name, tc := range map[string]struct {
		limits Limits
		script []http.HandlerFunc
		over   ref.Limit // "": none
		listed int       // objects in the first list; -1: there is none
		later  int       // changes after it
	}{
		"objects, streamed, at the limit":     {limits: Limits{Objects: 3}, script: []http.HandlerFunc{streamed(bulk(0, 3, small))}, listed: 3},
		"objects, streamed, one more":         {limits: Limits{Objects: 3}, script: []http.HandlerFunc{streamed(bulk(0, 4, small))}, listed: -1, over: ref.LimitObjects},
		"objects, in one page, at the limit":  {limits: Limits{Objects: 3}, script: []http.HandlerFunc{kt.NoStreamingLists, kt.List("9", "", bulk(0, 3, small)...), kt.Watch()}, listed: 3},
		"objects, in one page, one more":      {limits: Limits{Objects: 3}, script: []http.HandlerFunc{kt.NoStreamingLists, kt.List("9", "", bulk(0, 4, small)...)}, listed: -1, over: ref.LimitObjects},
		"objects, page by page, at the limit": {limits: Limits{Objects: 3}, script: inPages(bulk(0, 3, small)), listed: 3},
		"objects, page by page, one more":     {limits: Limits{Objects: 3}, script: inPages(bulk(0, 4, small)), listed: -1, over: ref.LimitObjects},
		"objects, added later, at the limit":  {limits: Limits{Objects: 3}, script: []http.HandlerFunc{streamed(bulk(0, 2, small), eventsOf("ADDED", bulk(2, 3, small)...)...)}, listed: 2, later: 1},
		"objects, added later, one more":      {limits: Limits{Objects: 3}, script: []http.HandlerFunc{streamed(bulk(0, 2, small), eventsOf("ADDED", bulk(2, 4, small)...)...)}, listed: 2, later: 1, over: ref.LimitObjects},
		"objects, called changes, one more":   {limits: Limits{Objects: 3}, script: []http.HandlerFunc{streamed(bulk(0, 2, small), eventsOf("MODIFIED", bulk(2, 4, small)...)...)}, listed: 2, later: 1, over: ref.LimitObjects},
		"objects, for some that went": {limits: Limits{Objects: 3}, listed: 3, later: 6, script: []http.HandlerFunc{streamed(bulk(0, 3, small),
			append(append(eventsOf("DELETED", bulk(0, 3, small)...), eventsOf("ADDED", bulk(3, 5, small)...)...), eventsOf("MODIFIED", bulk(4, 5, small)...)...)...)}},
		"objects, for some that never were": {limits: Limits{Objects: 2}, listed: 2, over: ref.LimitObjects, script: []http.HandlerFunc{streamed(bulk(0, 2, small),
			append(eventsOf("DELETED", bulk(7, 9, small)...), eventsOf("ADDED", bulk(3, 4, small)...)...)...)}},
		"objects, one again and again, at the limit": {limits: Limits{Objects: 3}, script: []http.HandlerFunc{kt.NoStreamingLists, kt.List("9", "", append(bulk(0, 1, small), append(bulk(0, 1, small), bulk(0, 1, small)...)...)...), kt.Watch()}, listed: 3},
		"objects, one again and again, one more":     {limits: Limits{Objects: 3}, script: []http.HandlerFunc{kt.NoStreamingLists, kt.List("9", "", append(bulk(0, 2, small), append(bulk(0, 1, small), bulk(0, 1, small)...)...)...)}, listed: -1, over: ref.LimitObjects},
		"kept, of one again and again":               {limits: Limits{Kept: 3*kept(100) - 1}, script: []http.HandlerFunc{kt.NoStreamingLists, kt.List("9", "", append(bulk(0, 1, 100), append(bulk(0, 1, 100), bulk(0, 1, 100)...)...)...)}, listed: -1, over: ref.LimitKept},
		"kept, at the limit":                         {limits: Limits{Kept: 3 * kept(100)}, script: []http.HandlerFunc{streamed(bulk(0, 3, 100))}, listed: 3},
		"kept, one byte more":                        {limits: Limits{Kept: 3*kept(100) - 1}, script: []http.HandlerFunc{streamed(bulk(0, 3, 100))}, listed: -1, over: ref.LimitKept},
		"kept, grown to the limit":                   {limits: Limits{Kept: kept(120)}, script: []http.HandlerFunc{streamed(bulk(0, 1, 100), eventsOf("MODIFIED", bulk(0, 1, 120)...)...)}, listed: 1, later: 1},
		"kept, grown beyond the limit":               {limits: Limits{Kept: kept(120) - 1}, script: []http.HandlerFunc{streamed(bulk(0, 1, 100), eventsOf("MODIFIED", bulk(0, 1, 120)...)...)}, listed: 1, over: ref.LimitKept},
		"pages, at the limit":                        {limits: Limits{Pages: 3}, script: inPages(bulk(0, 3, small)), listed: 3},
		"pages, one more":                            {limits: Limits{Pages: 3}, script: inPages(bulk(0, 4, small)), listed: -1, over: ref.LimitPages},
		"pages without end":                          {limits: Limits{Pages: 1000}, script: []http.HandlerFunc{kt.NoStreamingLists, kt.List("9", "more")}, listed: -1, over: ref.LimitPages},
		"list, at the limit":                         {limits: Limits{List: int64(size)}, script: []http.HandlerFunc{kt.NoStreamingLists, kt.List("100", "", bulk(0, 1, small)...), kt.Watch()}, listed: 1},
		"list, one byte more":                        {limits: Limits{List: int64(size) - 1}, script: []http.HandlerFunc{kt.NoStreamingLists, kt.List("100", "", bulk(0, 1, small)...)}, listed: -1, over: ref.LimitListSize},
		"list, all pages, at the limit":              {limits: Limits{List: 3*int64(size) + 2}, script: inPages(bulk(0, 3, small)), listed: 3},
		"list, all pages, one byte more":             {limits: Limits{List: 3*int64(size) + 1}, script: inPages(bulk(0, 3, small)), listed: -1, over: ref.LimitListSize},
		"a list without end":                         {limits: Limits{List: 1 << 20}, script: []http.HandlerFunc{kt.NoStreamingLists, endlessly(`{"items":[`, `{"metadata":{"name":"a"}},`)}, listed: -1, over: ref.LimitListSize},
		"an object without end":                      {limits: Limits{Object: 1 << 16}, script: []http.HandlerFunc{kt.NoStreamingLists, endlessly(`{"items":[{"a":"`, "xxxxxxxx")}, listed: -1, over: ref.LimitObjectSize},
		"a line without end":                         {limits: Limits{Object: 1 << 16}, script: []http.HandlerFunc{endlessly(`{"type":"ADDED","object":{"a":"`, "xxxxxxxx")}, listed: -1, over: ref.LimitObjectSize},
		"a named line without end":                   {limits: Limits{Object: 1 << 16}, script: []http.HandlerFunc{endlessly(`{"type":"ADDED","object":{"metadata":{"name":"a"},"a":"`, "xxxxxxxx")}, listed: -1, over: ref.LimitObjectSize},
		"a page that takes for ever":                 {limits: Limits{ListTime: 5 * time.Minute}, script: []http.HandlerFunc{kt.NoStreamingLists, trickle(`{"items":[`, `{"metadata":{"name":"a"}},`, 30*time.Second)}, listed: -1, over: ref.LimitListTime},
		"a streaming list that takes for ever":       {limits: Limits{ListTime: 5 * time.Minute}, script: []http.HandlerFunc{trickle("", strings.Repeat(kt.Event("ADDED", a1)+"\n", 80), time.Second)}, listed: -1, over: ref.LimitListTime},
		"a list within its time":                     {limits: Limits{ListTime: 5 * time.Minute}, script: []http.HandlerFunc{trickle(kt.Event("ADDED", a1)+"\n"+kt.InitialEnd(4)+"\n", kt.Bookmark(5)+"\n", 10*time.Second)}, listed: 1},
		"compressed":                                 {script: []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") }}, listed: -1, over: ref.LimitCompressed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				quarantine := Backoff{Initial: 10 * time.Minute, Max: time.Hour}
				r, _ := source(t, kt.NewScript(tc.script...), ref.Want{}, Settings{Limits: tc.limits, Quarantine: quarantine, WatchIdle: time.Hour})
				time.Sleep(9 * time.Minute)
				synctest.Wait()
				checkSaid(t, r.Events(), tc.over, tc.listed, tc.later)
			})
		})
	}
}

// endlessly answers as fast as it is read.
func endlessly(head, part string) http.HandlerFunc {
	part = strings.Repeat(part, 1000)
	return func(w http.ResponseWriter, r *http.Request) {
		_, err := io.WriteString(w, head)
		for err == nil && r.Context().Err() == nil {
			_, err = io.WriteString(w, part)
		}
	}
}

func checkSaid(t *testing.T, said []ref.Event, over ref.Limit, listed, later int) {
	t.Helper()
	got := struct {
		Over          ref.Limit
		Listed, Later int
	}{Listed: -1}
	want := got
	want.Over, want.Listed, want.Later = over, listed, later
	for _, e := range said {
		switch e.Type {
		case ref.Listed:
			got.Listed = len(e.Objects)
		case ref.Failed:
			limit := (*ref.OverLimit)(nil)
			if !errors.As(e.Err, &limit) || got.Over != "" {
				t.Fatalf("failed: %v", e.Err)
			}
			got.Over = limit.Limit
		default:
			got.Later++
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestQuarantine: the pauses grow, no request is sent during one, known objects stay, and a list, not a watch from where the limit was exceeded,
// follows.
func TestQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex
		var asked []string
		tooMany := bulk(0, 4, 10)
		steps := []http.HandlerFunc{
			streamed(tooMany[:2], kt.Pause, kt.Event("ADDED", tooMany[2]), kt.Event("ADDED", tooMany[3])),
			streamed(tooMany), streamed(tooMany), streamed(tooMany), streamed(tooMany[:1]),
		}
		script := kt.NewScript(steps...)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			asked = append(asked, fmt.Sprintf("%v %v", time.Since(began).Round(time.Second), r.URL.Query().Get("sendInitialEvents")))
			mu.Unlock()
			script.ServeHTTP(w, r)
		})
		r, _ := source(t, h, ref.Want{}, Settings{Limits: Limits{Objects: 3}, Quarantine: Backoff{Initial: time.Minute, Max: 3 * time.Minute}, WatchIdle: time.Hour})
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff([]string{"0s true", "1m3s true", "3m3s true", "6m3s true", "9m3s true"}, asked); diff != "" {
			t.Errorf("asked (-want +got)\n%s", diff)
		}
		var said []string
		for _, e := range r.Events() {
			said = append(said, strings.Fields(kt.Short(e))[0])
		}
		if diff := cmp.Diff([]string{"Listed", "Changed", "Failed", "Failed", "Failed", "Failed", "Listed"}, said); diff != "" {
			t.Errorf("said (-want +got)\n%s", diff)
		}
	})
}

// TestQuarantineIsForgotten: a server that kept its limits for longer than the last pause begins with the first one again.
func TestQuarantineIsForgotten(t *testing.T) {
	p := pace{quarantine: Backoff{Initial: time.Minute, Max: 10 * time.Minute}}
	over := tooLarge(ref.LimitObjects, 1)
	for _, step := range []struct {
		lived, want time.Duration
	}{{0, time.Minute}, {time.Second, 2 * time.Minute}, {2 * time.Minute, 4 * time.Minute}, {4*time.Minute + 1, time.Minute}, {0, 2 * time.Minute}} {
		p.lived(step.lived)
		p.failed(over)
		if p.due != step.want {
			t.Errorf("after %v of life: a pause of %v, want %v", step.lived, p.due, step.want)
		}
	}
}

// TestAListAsideIsLimitedToo: a list of one namespace.
func TestAListAsideIsLimitedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, conn := source(t, kt.NewScript(kt.List("9", "", bulk(0, 4, 10)...)), ref.Want{}, Settings{})
		s := NewSource(conn, "/apis/apps/v1/namespaces/ns/deployments", ref.Want{}, Settings{Limits: Limits{Objects: 3}}, nil)
		_, err := s.List(context.Background(), "")
		if over := (*ref.OverLimit)(nil); !errors.As(err, &over) || over.Limit != ref.LimitObjects || !errors.Is(err, ErrTooLarge) {
			t.Errorf("got %v", err)
		}
	})
}
