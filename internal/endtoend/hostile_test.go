package endtoend

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/aggregate"
	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/kube/downstream"
	kt "github.com/upstreamd/upstreamd/internal/kube/kubetest"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/kube/upstream"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/metrics"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/supervisor"
)

// turncoat is an API server that is honest until it is told how to answer for Deployments, and whether it is ready.
type turncoat struct {
	honest http.Handler

	mu      sync.Mutex
	answer  http.HandlerFunc // nil: honest
	changed context.CancelFunc
	mode    context.Context
	asked   int    // since the last turn
	accepts string // the Accept-Encoding of all requests
}

func newTurncoat(honest http.Handler) *turncoat {
	c := &turncoat{honest: honest}
	c.turn(nil)
	return c
}

// turn ends open requests, and gives other answers from now on.
func (c *turncoat) turn(answer http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed != nil {
		c.changed()
	}
	c.mode, c.changed = context.WithCancel(context.Background())
	c.answer, c.asked = answer, 0
}

func (c *turncoat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	answer, mode := c.answer, c.mode
	concerned := strings.HasSuffix(r.URL.Path, "/deployments") || r.URL.Path == "/readyz"
	if strings.HasSuffix(r.URL.Path, "/deployments") {
		c.asked++
	}
	c.accepts += r.Header.Get("Accept-Encoding")
	c.mu.Unlock()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(mode, cancel)()
	r = r.WithContext(ctx)
	if answer == nil || !concerned {
		c.honest.ServeHTTP(w, r)
		return
	}
	answer(w, r)
}

// calls is how often it was asked for Deployments since the last turn, and the Accept-Encoding of all requests.
func (c *turncoat) calls() (asked int, accepts string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked, c.accepts
}

// lists answers lists, and sends watches to them.
func lists(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch q := r.URL.Query(); {
		case q.Get("sendInitialEvents") != "":
			kt.NoStreamingLists(w, r)
		case q.Get("watch") != "":
			kt.Closed(kt.Gone)(w, r)
		default:
			answer(w, r)
		}
	}
}

// endless answers with a beginning, then a part again and again, many times or for ever, as fast as it is read.
func endless(head string, part func(i int) string, many int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, err := io.WriteString(w, head)
		for i := 0; (many == 0 || i < many) && err == nil && r.Context().Err() == nil; i++ {
			_, err = io.WriteString(w, part(i))
		}
	}
}

func always(s string) func(int) string { return func(int) string { return s } }

// bomb is a list in a few kilobytes that holds 1 GiB.
func bomb() http.HandlerFunc {
	var packed bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	_, _ = io.WriteString(zip, `{"items":[`)
	blanks := bytes.Repeat([]byte{' '}, 1<<20)
	for range 1 << 10 {
		_, _ = zip.Write(blanks)
	}
	_, _ = io.WriteString(zip, `]}`)
	_ = zip.Close()
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}
}

// attack is the behaviour of a hostile SyncTarget and the expected consequence.
type attack struct {
	answer  func(c known) http.HandlerFunc
	over    ref.Limit // the limit that it goes over; empty: only the one object is refused
	refused string    // why it is
}

// known is the copy that a SyncTarget has.
type known struct {
	ref.Downstream

	uid     string
	version int // of the SyncTarget
}

// added is a streaming list's event of the copy with another status.
func (c known) added(status string) string {
	return kt.Event("ADDED", fmt.Sprintf(`{"metadata":{"namespace":%q,"name":%q,"uid":%q,"resourceVersion":"%d","annotations":{%q:"1"}},"status":%s}`,
		c.Namespace, c.Name, c.uid, c.version, evidence.GenerationAnnotations[0], status))
}

const tenMillion = 10_000_000

func attacks() map[string]attack {
	tiny := func(i int) string { return fmt.Sprintf(`{"metadata":{"namespace":"a","name":"o%d"}},`, i) }
	plain := func(h http.HandlerFunc) func(known) http.HandlerFunc {
		return func(known) http.HandlerFunc { return h }
	}
	status := func(status string) func(known) http.HandlerFunc {
		return func(c known) http.HandlerFunc { return kt.Watch(c.added(status), kt.InitialEnd(c.version)) }
	}
	return map[string]attack{
		"a body without end":       {plain(lists(endless(`{"metadata":{"x":"`, always(strings.Repeat("x", 1<<16)), 0))), ref.LimitObjectSize, ""},
		"a list without end":       {plain(lists(endless(`{"items":[`, always(`{"metadata":{"name":"a"},"status":"`+strings.Repeat("x", 1<<16)+`"},`), 0))), ref.LimitKept, ""},
		"a watch line without end": {plain(endless(`{"type":"ADDED","object":{"a":"`, always(strings.Repeat("x", 1<<16)), 0)), ref.LimitObjectSize, ""},
		"a gzip bomb":              {plain(lists(bomb())), ref.LimitCompressed, ""},
		"ten million objects":      {plain(lists(endless(`{"items":[`, tiny, tenMillion))), ref.LimitObjects, ""},
		"ten million objects, streamed": {plain(endless("", func(i int) string {
			return `{"type":"ADDED","object":` + strings.TrimSuffix(tiny(i), ",") + "}\n"
		}, tenMillion)), ref.LimitObjects, ""},
		"ten million copies, one by one": {func(c known) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				head := ""
				if r.URL.Query().Get("sendInitialEvents") != "" {
					head = c.added(`{"replicas":1,"readyReplicas":1}`) + "\n" + kt.InitialEnd(c.version) + "\n"
				}
				endless(head, func(i int) string {
					return fmt.Sprintf(`{"type":"ADDED","object":{"metadata":{"namespace":%q,"name":"o%d","uid":"o%d","resourceVersion":"%d"},"status":{"replicas":1}}}`+"\n", c.Namespace, i, i, c.version+1+i)
				}, tenMillion)(w, r)
			}
		}, ref.LimitObjects, ""},
		"pages without end":         {plain(lists(kt.List("1", "more"))), ref.LimitPages, ""},
		"a page that never ends":    {plain(lists(func(w http.ResponseWriter, r *http.Request) { slowly(w, r, `{"items":[`) })), ref.LimitListTime, ""},
		"a status of 256 KiB and 1": {status(`{"readyReplicas":9,"x":"` + strings.Repeat("x", 256<<10+1-len(`{"readyReplicas":9,"x":""}`)) + `"}`), "", "TooLarge"},
		"a status that is 65 deep":  {status(`{"readyReplicas":9,"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`), "", "TooDeep"},
	}
}

// slowly sends a blank now and then, so that there is always a sign of life.
func slowly(w http.ResponseWriter, r *http.Request, head string) {
	_, _ = io.WriteString(w, head)
	for r.Context().Err() == nil {
		_, _ = io.WriteString(w, " ")
		w.(http.Flusher).Flush()
		kt.Sleep(r, 50*time.Millisecond)
	}
}

// TestOneSyncTargetIsHostile: one of three SyncTargets sends harmful answers. Its last contribution counts and is stale, with the
// reason; the others' statuses go on being published at once; memory stays bounded; and when it is honest again, so is everything.
func TestOneSyncTargetIsHostile(t *testing.T) {
	served := map[string]func(*testing.T, http.Handler) *rest.Config{
		"in memory": func(t *testing.T, h http.Handler) *rest.Config { return kt.Memory(t, h) },
		"over HTTP": func(t *testing.T, h http.Handler) *rest.Config {
			server := httptest.NewServer(h)
			t.Cleanup(server.Close)
			return &rest.Config{Host: server.URL}
		},
	}
	for way, serve := range served {
		for name, a := range attacks() {
			t.Run(way+"/"+name, func(t *testing.T) { hostile(t, serve, a) })
		}
	}
}

func hostile(t *testing.T, serve func(*testing.T, http.Handler) *rest.Config, a attack) {
	limits := lean.Limits{Kept: 64 << 20, Objects: mostObjects} // the others as they are by default
	if a.over == ref.LimitObjects {
		limits.Kept = 1 << 30
	}
	if a.over == ref.LimitListTime {
		limits.ListTime = 5 * time.Second
	}
	s := startHostile(t, serve, limits)
	s.eventually(time.Minute, func() string { return s.lacks(1+2+3, "3/3 SyncTargets reporting") })

	peak := watchHeap(t)
	s.turncoat.turn(a.answer(s.copyOf(0)))
	var summary string
	if a.over != "" {
		summary = fmt.Sprintf("2/3 SyncTargets reporting: cluster-00 stale (over limit %s)", a.over)
	} else {
		summary = fmt.Sprintf("2/3 SyncTargets reporting: cluster-00 status refused (%s)", a.refused)
	}
	s.eventually(3*time.Minute, func() string { // an actor for each of so many copies takes its time on a busy machine
		if a.refused != "" && testutil.ToFloat64(s.metrics.Rejected.WithLabelValues(a.refused)) == 0 {
			return "refused: " + a.refused
		}
		return s.lacks(1+2+3, summary)
	})
	if want := map[bool]int{true: 1}[a.over != ""]; testutil.CollectAndCount(s.metrics.Quarantined) != want {
		t.Errorf("%d series of quarantines, want %d", testutil.CollectAndCount(s.metrics.Quarantined), want)
	}

	var slowest time.Duration
	said := []int{1, 2, 3}
	for i := range 10 {
		began := time.Now()
		said[1+i%2] = 10 + i
		s.must(s.targets[1+i%2].report(s.copies[1+i%2], 10+i))
		s.eventually(time.Minute, func() string { return s.lacks(said[0]+said[1]+said[2], summary) })
		slowest = max(slowest, time.Since(began))
	}
	grown := peak()
	asked, _ := s.turncoat.calls()
	t.Logf("heap grew by %d MiB at most; the slowest of ten changes beside it took %v; asked %d times", grown>>20, slowest.Round(time.Millisecond), asked)
	if grown > 1<<30 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}

	s.turncoat.turn(nil)
	s.mend()
	s.must(s.targets[0].report(s.copies[0], 5))
	s.eventually(time.Minute, func() string { return s.lacks(5+18+19, "3/3 SyncTargets reporting") })
	if got := testutil.CollectAndCount(s.metrics.Quarantined); got != 0 {
		t.Errorf("%d series of quarantines after all, want none", got)
	}
	if _, accepts := s.turncoat.calls(); accepts != "" {
		t.Errorf("compressed answers were asked for: %q", accepts)
	}
}

// hostileWorld is a Deployment on three SyncTargets, of which the first may turn.
type hostileWorld struct {
	*world
	web      ref.Upstream
	copies   []ref.Downstream
	turncoat *turncoat
	mend     func() // renews the credentials of the first SyncTarget, which ends the pauses between attempts
}

func startHostile(t *testing.T, serve func(*testing.T, http.Handler) *rest.Config, limits lean.Limits) *hostileWorld {
	t.Helper()
	kcp := newKCP(t, memapi.Options{})
	s := &hostileWorld{world: &world{t: t, kcp: kcp}, web: ref.Upstream{Workspace: "team-a", Namespace: "default", Name: "web"}}
	consume(kcp, "team-a")
	var err error
	targets := make([]*target, 3)
	for i, name := range targetNames(len(targets)) {
		targets[i] = newTarget(t, name, nil)
	}
	s.turncoat = newTurncoat(targets[0].server)
	served := serve(t, s.turncoat) // before the system, so that it ends after it
	s.metrics, err = metrics.New(nil)
	s.must(err)
	up, err := upstream.New(kcp.Config(), byExport)
	s.must(err)
	s.system, err = supervisor.New(supervisor.Options{
		Metrics: s.metrics, Upstream: up, Locators: []string{locator.NamespaceLocator},
		Staleness: supervisor.Staleness{Grace: 2 * time.Second, Probe: 500 * time.Millisecond},
	})
	s.must(err)
	s.must(s.system.AddResource(deployments))
	s.must(s.system.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		s.must(s.system.Stop(ctx))
		up.Close()
	})
	for i := range targets {
		d, config := targets[i], targets[i].server.Config()
		if i == 0 {
			config = served
		}
		down, err := downstream.New(config, downstream.Options{
			Limits:  limits,
			Backoff: lean.Backoff{Initial: 50 * time.Millisecond, Max: time.Second},
		})
		s.must(err)
		if i == 0 {
			s.mend = func() { s.must(down.Reconfigure(config)) }
		}
		s.must(s.system.AddTarget(supervisor.Target{Name: d.Name, Cluster: d.Cluster, UID: d.UID}, down))
		s.targets = append(s.targets, d)
	}
	s.publish(kcp, s.web, s.targets...)
	for i, d := range s.targets {
		copied, err := d.takeDown(s.web)
		s.must(err)
		s.must(d.report(copied, i+1))
		s.copies = append(s.copies, copied)
	}
	return s
}

func (s *hostileWorld) copyOf(i int) known {
	o, err := s.targets[i].server.Cluster("").Get(deployments, s.copies[i].Namespace, s.copies[i].Name)
	s.must(err)
	return known{s.copies[i], string(o.Meta.UID), int(s.targets[i].server.ResourceVersion())}
}

// lacks names the differences of the published status from the expected one.
func (s *hostileWorld) lacks(want int, summary string) string {
	got := readyAt(s.kcp, s.web)
	message := s.summary()
	if got == want && message == summary {
		return ""
	}
	return fmt.Sprintf("%d ready, and %q (it is %d, and %q)", want, summary, got, message)
}

// summary is the published condition that counts the reporting SyncTargets.
func (s *hostileWorld) summary() string {
	o, err := s.kcp.Cluster(string(s.web.Workspace)).Get(deployments, s.web.Namespace, s.web.Name)
	if err != nil {
		return err.Error()
	}
	var status struct {
		Conditions []struct{ Type, Message string }
	}
	_ = json.Unmarshal(o.Status, &status) // there is none at first
	for _, c := range status.Conditions {
		if c.Type == aggregate.SummaryType {
			return c.Message
		}
	}
	return ""
}

// watchHeap looks at the heap again and again, and tells how much it grew at most.
func watchHeap(t *testing.T) (peak func() uint64) {
	t.Helper()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	before, most := heap(), uint64(0)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				most = max(most, heap())
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-done
		return most - min(before, most)
	}
}
