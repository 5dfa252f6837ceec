package discovery

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	kt "github.com/upstreamd/upstreamd/internal/kube/kubetest"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// backend serves SyncTarget objects and no Secrets. Its content and its mode change while a test runs.
type backend struct {
	mu      sync.Mutex
	objects []string
	absent  bool
	ends    chan struct{} // closed to end the open watches
}

func (b *backend) set(absent bool, names ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.absent, b.objects = absent, names
}

// relist makes the client list again: watches end, and the next one is refused as expired.
func (b *backend) relist() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.ends)
	b.ends = make(chan struct{})
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	names, absent, ends := b.objects, b.absent, b.ends
	b.mu.Unlock()
	if strings.Contains(r.URL.Path, "/secrets") {
		names, absent = nil, false
	}
	var events, items []string
	for _, name := range names {
		o := `{"metadata":{"name":"` + name + `","uid":"uid-` + name + `","resourceVersion":"5"}}`
		items, events = append(items, o), append(events, kt.Event("ADDED", o))
	}
	q := r.URL.Query()
	switch {
	case r.URL.Path == "/apis":
		kt.JSON(200, `{"kind":"APIGroupList","groups":[]}`)(w, r)
	case absent:
		http.NotFound(w, r)
	case !q.Has("watch"):
		kt.List("9", "", items...)(w, r)
	case !q.Has("sendInitialEvents"):
		kt.Status(410, "Expired")(w, r)
	default:
		kt.Closed(append(events, kt.InitialEnd(9))...)(w, r)
		select {
		case <-ends:
		case <-r.Context().Done():
		}
	}
}

// TestRemovalOfMostSyncTargetsIsConfirmed: objects that a list lacks stay until a second list confirms it, if they are most of them.
func TestRemovalOfMostSyncTargetsIsConfirmed(t *testing.T) {
	all := []string{"a", "b", "c", "d"}
	for name, tc := range map[string]struct {
		first  func(*backend) // sets the server's content at the relist
		second func(*backend) // sets it when the second list is due
		soon   string         // known after the relist
		late   string         // known at last
	}{
		"half":                        {first: func(b *backend) { b.set(false, "a", "b") }, soon: "a b", late: "a b"},
		"most, confirmed":             {first: func(b *backend) { b.set(false, "a") }, soon: "a b c d", late: "a"},
		"all, confirmed":              {first: func(b *backend) { b.set(false) }, soon: "a b c d", late: ""},
		"all, by mistake":             {first: func(b *backend) { b.set(false) }, second: func(b *backend) { b.set(false, all...) }, soon: "a b c d", late: "a b c d"},
		"most, one of them is back":   {first: func(b *backend) { b.set(false, "a") }, second: func(b *backend) { b.set(false, "a", "d") }, soon: "a b c d", late: "a d"},
		"not served":                  {first: func(b *backend) { b.set(true) }, soon: "a b c d", late: "a b c d"},
		"not served, then one is not": {first: func(b *backend) { b.set(true) }, second: func(b *backend) { b.set(false, "a", "b", "c") }, soon: "a b c d", late: "a b c"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &backend{ends: make(chan struct{})}
				b.set(false, all...)
				var mu sync.Mutex
				var known string
				watch := SyncTargets{Server: server(t, b, ""), SecretNamespace: "keys", Settings: lean.Settings{Backoff: lean.Backoff{Initial: time.Second, Max: time.Second}}}
				kt.Run(t, func(ctx context.Context) {
					watch.Watch(ctx, func(all map[string]SyncTarget) {
						mu.Lock()
						defer mu.Unlock()
						known = strings.Join(slices.Sorted(maps.Keys(all)), " ")
					}, func(error) {})
				})
				expect := func(when, want string) {
					t.Helper()
					synctest.Wait()
					mu.Lock()
					defer mu.Unlock()
					if known != want {
						t.Errorf("%s: %q, want %q", when, known, want)
					}
				}
				time.Sleep(10 * time.Second)
				expect("at first", "a b c d")
				tc.first(b)
				b.relist()
				time.Sleep(4 * time.Second)
				expect("after the relist", tc.soon)
				if tc.second != nil {
					tc.second(b)
				}
				time.Sleep(time.Minute)
				expect("at last", tc.late)
			})
		})
	}
}

// TestDoubtIsOver: an event, or a list that is late enough, decides on objects in doubt.
func TestDoubtIsOver(t *testing.T) {
	now := time.Unix(0, 0)
	c := newCollection("SyncTarget objects")
	c.now = func() time.Time { return now }
	objects := func(names ...string) (all []*ref.Object) {
		for _, name := range names {
			all = append(all, &ref.Object{Name: name, Raw: []byte(name)})
		}
		return all
	}
	take := func(kind ref.EventType, names ...string) error {
		return c.take(ref.Event{Type: kind, Version: "1", Objects: objects(names...)})
	}
	if err := take(ref.Listed, "a", "b", "c"); err != nil {
		t.Fatal(err)
	}
	if err := take(ref.Listed, "a"); err == nil || !strings.Contains(err.Error(), "lacks 2 of 3 SyncTarget objects") {
		t.Fatalf("%v", err)
	}
	now = now.Add(time.Second)
	if err := take(ref.Listed, "a"); err != nil || len(c.objects) != 3 {
		t.Errorf("a second list at once: %v, %d objects", err, len(c.objects))
	}
	if err := take(ref.Changed, "b"); err != nil {
		t.Fatal(err)
	}
	now = now.Add(confirmAfter)
	if err := take(ref.Listed, "a", "b"); err != nil || len(c.objects) != 2 || len(c.doubted) != 0 {
		t.Errorf("a second list: %v, %d objects, %d in doubt", err, len(c.objects), len(c.doubted))
	}
	if err := take(ref.Listed); err == nil {
		t.Error("two of two vanished without a doubt")
	}
	if err := take(ref.Deleted, "a"); err != nil || len(c.objects) != 1 {
		t.Errorf("a DELETED event: %v, %d objects", err, len(c.objects))
	}
	if err := c.take(ref.Event{Type: ref.Listed}); err == nil || len(c.objects) != 1 {
		t.Errorf("a kind that is not served: %v, %d objects", err, len(c.objects))
	}
	c.confirm(nil)
	if len(c.objects) != 0 || len(c.doubted) != 0 {
		t.Errorf("confirmed: %d objects, %d in doubt", len(c.objects), len(c.doubted))
	}
}
