package actors

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/internal/debounce"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/policy"
	"github.com/upstreamd/upstreamd/internal/ref"
)

var deployments = ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"}

// watching is a watch actor on a stage.
type watching struct {
	*stage
	edge       *edge
	actor      *watchActor // the newest instance; to be looked at while the bubble is idle
	pid        *actor.PID
	parent     *witness
	aggregator *witness
	bucket     *witness
	version    int
}

// onWatch runs a test with a watch actor of Deployments; its SyncTarget is bound to all workspaces, by prefixed Namespaces.
func onWatch(t *testing.T, byName bool, test func(*watching)) {
	t.Helper()
	onStage(t, func(s *stage) {
		policies, err := policy.Builtin()
		if err != nil {
			t.Fatal(err)
		}
		resolver, err := locator.New([]string{locator.Prefix}, locator.Target{Name: "east", Workspaces: []ref.Workspace{"a"}})
		if err != nil {
			t.Fatal(err)
		}
		w := &watching{stage: s, edge: newEdge(), parent: &witness{}, aggregator: &witness{}, bucket: &witness{}}
		aggregator, err := s.engine.Root.SpawnNamed(s.props(func() actor.Actor { return w.aggregator }), "aggregator")
		if err != nil {
			t.Fatal(err)
		}
		bucket, err := s.engine.Root.SpawnNamed(s.props(func() actor.Actor { return w.bucket }), "aggregator/bucket:0")
		if err != nil {
			t.Fatal(err)
		}
		w.parent.on = func(ctx actor.Context, m any) {
			if _, ok := m.(SendNamespaces); ok {
				ctx.Respond(Namespaces{})
			}
		}
		pid, stop := s.below(w.parent, func() actor.Actor {
			w.actor = NewWatch(WatchConfig{
				Target: "east", Resource: deployments, Source: w.edge, Resolver: resolver, Aggregator: aggregator, Buckets: 1, Policies: policies,
				Window: debounce.Window{Quiet: 200 * time.Millisecond, MaxWait: 2 * time.Second}, NamespacesByName: byName,
				Epochs: s.epochs, ObjectProps: s.props, Metrics: s.metrics, Log: s.log,
			}).(*watchActor)
			return w.actor
		})
		w.pid = pid
		test(w)
		stop()
		s.engine.Root.Stop(aggregator)
		s.engine.Root.Stop(bucket)
		time.Sleep(time.Minute)
	})
}

func (w *watching) object(namespace, name string) *ref.Object {
	w.version++
	return &ref.Object{
		Namespace: namespace, Name: name, UID: types.UID("uid-" + name), ResourceVersion: fmt.Sprint(w.version), Generation: 1,
		Status: []byte(`{"replicas":1}`),
	}
}

func (w *watching) located(name string) NamespaceChanged {
	location := w.actor.locateNamed(name)
	return NamespaceChanged{Name: name, Location: location}
}

// Objects of thousands of Namespaces that are reported at once are not read Namespace by Namespace: two reads at a time, and one relist.
func TestThousandsOfNewNamespacesAreReadByFewCalls(t *testing.T) {
	onWatch(t, false, func(w *watching) {
		w.edge.emit(deployments, ref.Event{Type: ref.Listed})
		synctest.Wait()
		const many = 3000
		for n := range many {
			w.edge.emit(deployments, ref.Event{Type: ref.Changed, Objects: []*ref.Object{w.object(fmt.Sprintf("kcp-a-%d", n), "web")}})
		}
		synctest.Wait()
		for n := range many {
			w.send(w.pid, w.located(fmt.Sprintf("kcp-a-%d", n)))
		}
		synctest.Wait()
		if w.edge.watches != 2 {
			t.Errorf("%d watches were opened, want the first and one relist", w.edge.watches)
		}
		var all []*ref.Object
		for n := range many {
			all = append(all, w.object(fmt.Sprintf("kcp-a-%d", n), "web"))
		}
		w.edge.emit(deployments, ref.Event{Type: ref.Listed, Objects: all})
		time.Sleep(time.Minute)
		synctest.Wait()
		if w.edge.most > 2 || w.edge.lists > 4 || w.edge.watches != 2 {
			t.Errorf("%d reads, %d at a time, %d watches", w.edge.lists, w.edge.most, w.edge.watches)
		}
		if got := len(w.actor.objects); got != many {
			t.Errorf("%d copies are known, want %d", got, many)
		}
	})
}

// A read that the server refuses is retried with growing pauses. The watch stays open, other Namespaces are not delayed, and meanwhile the
// watch does not count as live.
func TestARefusedReadIsRetriedAndNotTheWatch(t *testing.T) {
	onWatch(t, false, func(w *watching) {
		w.edge.emit(deployments, ref.Event{Type: ref.Listed})
		refused := true
		w.edge.list = func(namespace string) ([]*ref.Object, error) {
			if namespace == "kcp-a-refused" && refused {
				return nil, apierrors.NewGenericServerResponse(http.StatusTooManyRequests, "GET", deployments.GroupResource(), "", "busy", 1, true)
			}
			return []*ref.Object{w.object(namespace, "web")}, nil
		}
		appear := func(namespace string) {
			w.edge.emit(deployments, ref.Event{Type: ref.Changed, Objects: []*ref.Object{w.object(namespace, "web")}})
			synctest.Wait()
			w.send(w.pid, w.located(namespace))
			synctest.Wait()
		}
		appear("kcp-a-refused")
		time.Sleep(time.Minute)
		appear("kcp-a-other")
		time.Sleep(time.Second)
		synctest.Wait()
		if got := len(w.actor.objects); got != 1 {
			t.Errorf("%d copies a second after another Namespace was reported, want its one", got)
		}
		if lists := w.edge.lists - 1; lists < 4 || lists > 8 {
			t.Errorf("%d reads of the refused Namespace within a minute", lists)
		}
		broke := received[WatchBroke](w.parent)
		if last := broke[len(broke)-1]; last.Err == nil || w.actor.health.reached {
			t.Errorf("the watch counts as live while a read fails: %+v", last)
		}
		live := len(received[WatchLive](w.parent))
		w.edge.mu.Lock()
		refused = false
		w.edge.mu.Unlock()
		time.Sleep(maxReadPause + time.Second)
		synctest.Wait()
		if got := len(w.actor.objects); got != 2 {
			t.Errorf("%d copies at the end, want 2", got)
		}
		if got := len(received[WatchLive](w.parent)); got != live+1 {
			t.Errorf("%d reports that the watch is live after the reads succeeded, want one", got-live)
		}
		if w.edge.watches != 1 {
			t.Errorf("%d watches were opened, want one", w.edge.watches)
		}
	})
}

// A list takes the place of reads that fail.
func TestAListEndsFailingReads(t *testing.T) {
	onWatch(t, false, func(w *watching) {
		w.edge.emit(deployments, ref.Event{Type: ref.Listed})
		w.edge.list = func(string) ([]*ref.Object, error) { return nil, errors.New("refused") }
		w.edge.emit(deployments, ref.Event{Type: ref.Changed, Objects: []*ref.Object{w.object("kcp-a-x", "web")}})
		synctest.Wait()
		w.send(w.pid, w.located("kcp-a-x"))
		time.Sleep(10 * time.Second)
		w.edge.emit(deployments, ref.Event{Type: ref.Listed, Objects: []*ref.Object{w.object("kcp-a-x", "web")}})
		time.Sleep(time.Second)
		synctest.Wait()
		if !w.actor.health.reached || w.actor.reads.failing() || len(w.actor.objects) != 1 {
			t.Errorf("live %v, reads failing %v, %d copies", w.actor.health.reached, w.actor.reads.failing(), len(w.actor.objects))
		}
	})
}

// An object that is deleted while its Namespace is being read does not come back, also when more were deleted than are remembered.
func TestAReadDoesNotBringBackDeletedObjects(t *testing.T) {
	onWatch(t, false, func(w *watching) {
		const many = maxTombstones + 100
		var all []*ref.Object
		for n := range many {
			all = append(all, w.object("kcp-a-x", fmt.Sprint("web-", n)))
		}
		w.edge.emit(deployments, ref.Event{Type: ref.Listed})
		first := true
		w.edge.list = func(string) ([]*ref.Object, error) {
			if first {
				first = false
				return all, nil // as of before the deletions
			}
			return nil, nil
		}
		w.edge.emit(deployments, ref.Event{Type: ref.Changed, Objects: []*ref.Object{all[0]}})
		synctest.Wait()
		w.send(w.pid, w.located("kcp-a-x"))
		time.Sleep(50 * time.Millisecond) // the read is under way
		for _, o := range all {
			gone := *o
			w.version++
			gone.ResourceVersion = fmt.Sprint(w.version)
			w.edge.emit(deployments, ref.Event{Type: ref.Deleted, Objects: []*ref.Object{&gone}})
		}
		synctest.Wait()
		if got := len(w.actor.reads.active["kcp-a-x"].tombstones); got != maxTombstones {
			t.Errorf("%d tombstones, want %d", got, maxTombstones)
		}
		w.send(w.pid, struct{}{}) // orders the look into the actor before its next turn
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(w.actor.objects); got != 0 || w.edge.lists != 2 {
			t.Errorf("%d copies came back; %d reads, want 2", got, w.edge.lists)
		}
	})
}

// Namespaces and objects that come and go leave nothing behind.
func TestChurnLeavesNothingInAWatch(t *testing.T) {
	const many = 100_000
	for name, byName := range map[string]bool{"reported Namespaces": false, "Namespaces by name": true} {
		t.Run(name, func(t *testing.T) {
			onWatch(t, byName, func(w *watching) {
				w.edge.emit(deployments, ref.Event{Type: ref.Listed})
				for n := range many {
					namespace := fmt.Sprintf("kcp-a-%d", n)
					o := w.object(namespace, "web")
					if !byName {
						w.send(w.pid, w.located(namespace))
						synctest.Wait()
						unknown := w.object(fmt.Sprintf("unknown-%d", n), "web")
						w.edge.emit(deployments, ref.Event{Type: ref.Changed, Objects: []*ref.Object{unknown}})
					}
					w.edge.emit(deployments, ref.Event{Type: ref.Changed, Objects: []*ref.Object{o}})
					if n%100 == 0 {
						synctest.Wait()
						time.Sleep(time.Second)
					}
					gone := *o
					w.version++
					gone.ResourceVersion = fmt.Sprint(w.version)
					w.edge.emit(deployments, ref.Event{Type: ref.Deleted, Objects: []*ref.Object{&gone}})
					if !byName {
						w.send(w.pid, NamespaceChanged{Name: namespace})
					}
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				a := w.actor
				shared := 0
				a.shared.names.Range(func(any, any) bool { shared++; return true })
				if len(a.objects) != 0 || len(a.namespaces) != 0 || len(a.named) != 0 || shared != 0 || len(a.reads.active) != 0 || len(a.reads.waiting) != 0 {
					t.Errorf("%d objects, %d Namespaces, %d by name, %d shared, %d reads under way, %d waiting",
						len(a.objects), len(a.namespaces), len(a.named), shared, len(a.reads.active), len(a.reads.waiting))
				}
				if len(a.parked.names) > maxParked || len(a.once.keys) > onceLimit || len(a.inbox.changes) != 0 {
					t.Errorf("%d parked names, %d log keys, %d changes in the inbox", len(a.parked.names), len(a.once.keys), len(a.inbox.changes))
				}
			})
		})
	}
}

// TestOverflowIsListed: after an overflow of the inbox, a list brings the copies of which no event was kept.
func TestOverflowIsListed(t *testing.T) {
	onWatch(t, true, func(w *watching) {
		w.edge.emit(deployments, ref.Event{Type: ref.Listed})
		synctest.Wait()
		w.actor.inbox.overflown = true
		o := w.object("kcp-a-x", "web")
		w.edge.emit(deployments, ref.Event{Type: ref.Changed, Objects: []*ref.Object{o}})
		synctest.Wait()
		w.edge.emit(deployments, ref.Event{Type: ref.Listed, Objects: []*ref.Object{o}})
		synctest.Wait()
		if n := len(w.actor.objects); n != 1 || w.actor.inbox.overflown {
			t.Errorf("%d copies after the list; the old inbox is in use: %v", n, w.actor.inbox.overflown)
		}
	})
}
