package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/evidence"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/ref"
)

var namespaces = actors.Resource{Version: "v1", Resource: "namespaces"}

// cluster is a SyncTarget in memory, as a program may implement the port. It can go away, lose objects, and panic.
type cluster struct {
	mu       sync.Mutex
	version  int
	objects  map[ref.Resource]map[ref.Downstream]*ref.Object
	watchers map[int]watcher
	next     int
	away     bool
	panics   int // how many of the next Watch calls panic
	falters  int // how many of the next watches of Namespaces panic a second after they began, before any event
	closed   bool
}

func newCluster() *cluster {
	return &cluster{objects: map[ref.Resource]map[ref.Downstream]*ref.Object{}, watchers: map[int]watcher{}}
}

var errRefused = errors.New("connection refused")

func (c *cluster) list(r ref.Resource, namespace string) []*ref.Object {
	var out []*ref.Object
	for _, o := range c.objects[r] {
		if namespace == "" || o.Namespace == namespace {
			out = append(out, o)
		}
	}
	return out
}

// put stores an object as its owner writes it; identity and version are the cluster's.
func (c *cluster) put(r ref.Resource, o ref.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.objects[r] == nil {
		c.objects[r] = map[ref.Downstream]*ref.Object{}
	}
	c.version++
	key := ref.Downstream{Namespace: o.Namespace, Name: o.Name}
	o.ResourceVersion = fmt.Sprint(c.version)
	if before := c.objects[r][key]; before != nil {
		o.UID = before.UID
	} else {
		o.UID = types.UID(fmt.Sprintf("uid-%d", c.version))
	}
	c.objects[r][key] = &o
	c.send(r, ref.Event{Type: ref.Changed, Objects: []*ref.Object{&o}})
}

func (c *cluster) remove(r ref.Resource, namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := ref.Downstream{Namespace: namespace, Name: name}
	o := *c.objects[r][key]
	delete(c.objects[r], key)
	c.version++
	o.ResourceVersion = fmt.Sprint(c.version)
	c.send(r, ref.Event{Type: ref.Deleted, Objects: []*ref.Object{&o}})
}

// relist lists all objects again, as after a watch that broke. change happens before, unobserved.
func (c *cluster) relist(r ref.Resource, change func(map[ref.Downstream]*ref.Object)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if change != nil {
		change(c.objects[r])
	}
	c.send(r, ref.Event{Type: ref.Listed, Objects: c.list(r, "")})
}

func (c *cluster) send(r ref.Resource, e ref.Event) {
	if c.away {
		return
	}
	for _, w := range c.watchers {
		if w.resource == r {
			w.emit(e)
		}
	}
}

// goAway cuts the connection; come back with everything listed anew.
func (c *cluster) goAway(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
	for _, w := range c.watchers {
		if away {
			w.emit(ref.Event{Type: ref.Failed, Err: errRefused})
		} else {
			w.emit(ref.Event{Type: ref.Listed, Objects: c.list(w.resource, "")})
		}
	}
}

func (c *cluster) Watch(ctx context.Context, r ref.Resource, _ ref.Want, emit ref.Emit) {
	c.mu.Lock()
	if r == namespaces && c.falters > 0 {
		c.falters--
		c.mu.Unlock()
		time.Sleep(time.Second)
		panic("a bug in the edge")
	}
	if r != namespaces && c.panics > 0 {
		c.panics--
		c.mu.Unlock()
		panic("a bug in the edge")
	}
	if !c.away {
		emit(ref.Event{Type: ref.Listed, Objects: c.list(r, "")})
	}
	c.next++
	id := c.next
	c.watchers[id] = watcher{r, emit}
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watchers, id)
}

func (c *cluster) List(_ context.Context, r ref.Resource, namespace string, _ ref.Want) ([]*ref.Object, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return nil, errRefused
	}
	return c.list(r, namespace), nil
}

func (c *cluster) Probe(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return errRefused
	}
	return nil
}

func (c *cluster) LastHeard() time.Time { return time.Time{} }

func (c *cluster) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

func (c *cluster) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// watched is how many watches were ever opened.
func (c *cluster) watched() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

var _ actors.Downstream = (*cluster)(nil)

// located makes the Namespace that kcp's way down makes for team-a's namespace default, and returns its name.
func (c *cluster) located(target locator.Target, namespace string) string {
	resolver, err := locator.New([]string{locator.NamespaceLocator}, target)
	if err != nil {
		panic(err)
	}
	down, err := resolver.DownNamespace("team-a", namespace)
	if err != nil {
		panic(err)
	}
	c.put(namespaces, ref.Object{Name: down.Name, Labels: down.Labels, Annotations: down.Annotations})
	return down.Name
}

// deployment is a copy in a downstream namespace with so many replicas ready, and available accordingly.
func deployment(namespace, name string, ready int) ref.Object {
	available := "False"
	if ready > 0 {
		available = "True"
	}
	return ref.Object{
		Namespace: namespace, Name: name, Generation: 1,
		Annotations: map[string]string{evidence.GenerationAnnotations[0]: "1"},
		Status: fmt.Appendf(nil, `{"observedGeneration":1,"replicas":3,"readyReplicas":%d,"conditions":[{"type":"Available","status":%q,"reason":"R","message":"m","lastTransitionTime":"2026-01-01T00:00:00Z"}]}`,
			ready, available),
	}
}
