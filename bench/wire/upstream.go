package wire

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/upstreamd/upstreamd/bench/fleet"
)

// Patch is a status patch that upstream took, or refused.
type Patch struct {
	Object   int
	At       time.Time // when it came
	Code     int
	Changed  bool
	Replicas int64 // as the object has them now
	Bytes    int   // of the body
}

// Calls are requests to upstream, by kind.
type Calls struct {
	Patches   int // status patches taken
	NoOps     int // of these, that changed nothing
	Conflicts int
	Gets      int
	Others    int // writes to other kinds
}

// upstream plays kcp, or a plain hub.
type upstream struct {
	shape   fleet.Shape
	feeds   feeds
	onPatch func(Patch)
	delay   atomic.Pointer[func(workspace int) time.Duration]

	locks   [64]sync.Mutex // of objects, by number
	objects []published
	meter   *meter
	others  sync.Map // name → stored body, of other kinds

	mu      sync.Mutex
	version uint64
	calls   Calls
}

// published is the stored part of an upstream object.
type published struct {
	version  uint64
	status   []byte // nil: none
	managers string
}

func newUpstream(shape fleet.Shape, m *meter) *upstream {
	u := &upstream{shape: shape, objects: make([]published, shape.Objects), version: 1000, meter: m}
	for i := range u.objects {
		u.version++
		u.objects[i].version = u.version
	}
	return u
}

func (u *upstream) count(with func(*Calls)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	with(&u.calls)
}

func (u *upstream) serve(r *http.Request, body []byte) answer {
	arrived := time.Now()
	cluster, path := "", r.URL.Path
	if rest, in := strings.CutPrefix(path, "/clusters/"); in {
		cluster, path, _ = strings.Cut(rest, "/")
		path = "/" + path
	}
	if a, ok := discovery(path, u.shape.Workspaces > 0); ok {
		return a
	}
	if path == deploymentsPath {
		return u.collection(r, cluster)
	}
	namespace, resource, name, subresource := parts(path)
	if resource == "configmaps" {
		return u.other(r.Method, cluster+"/"+namespace+"/"+name, body)
	}
	object, found := u.shape.Find(name)
	if !found || resource != "deployments" || u.shape.Upstream(object) != (fleet.Name{Workspace: cluster, Namespace: namespace, Name: name}) {
		return notFound()
	}
	switch {
	case r.Method == http.MethodGet:
		u.count(func(c *Calls) { c.Gets++ })
		return ok(u.read(object))
	case r.Method == http.MethodPatch && subresource == "status":
		return u.patch(r, object, body, arrived)
	}
	return status(http.StatusMethodNotAllowed, "MethodNotAllowed", r.Method)
}

// parts reads …/namespaces/<namespace>/<resource>[/<name>[/<subresource>]].
func parts(path string) (namespace, resource, name, subresource string) {
	_, rest, _ := strings.Cut(path, "/namespaces/")
	namespace, rest, _ = strings.Cut(rest, "/")
	resource, rest, _ = strings.Cut(rest, "/")
	name, subresource, _ = strings.Cut(rest, "/")
	return namespace, resource, name, subresource
}

func (u *upstream) patch(r *http.Request, object int, body []byte, arrived time.Time) answer {
	if by := u.delay.Load(); by != nil {
		if d := (*by)(u.shape.WorkspaceOf(object)); d > 0 {
			select {
			case <-time.After(d):
			case <-r.Context().Done():
				return answer{}
			}
		}
	}
	p, err := readPatch(body)
	if err != nil {
		return status(http.StatusBadRequest, "BadRequest", err.Error())
	}
	said := Patch{Object: object, At: arrived, Code: http.StatusOK, Bytes: len(body)}
	a := u.apply(object, p, r.URL.Query().Get("fieldManager"), &said)
	u.count(func(c *Calls) {
		switch said.Code {
		case http.StatusConflict:
			c.Conflicts++
		case http.StatusOK:
			c.Patches++
			if !said.Changed {
				c.NoOps++
			}
		}
	})
	if u.onPatch != nil {
		u.onPatch(said)
	}
	return a
}

// apply patches an object under its lock.
func (u *upstream) apply(object int, p patchBody, manager string, said *Patch) answer {
	lock := &u.locks[object%len(u.locks)]
	lock.Lock()
	defer lock.Unlock()
	o := &u.objects[object]
	if v := p.Metadata.ResourceVersion; v != "" && v != strconv.FormatUint(o.version, 10) {
		said.Code = http.StatusConflict
		return status(said.Code, "Conflict", "the object has been modified")
	}
	merged, fields, err := merge(o.status, p.Status)
	if err != nil {
		said.Code = http.StatusBadRequest
		return status(said.Code, "BadRequest", err.Error())
	}
	replicas, _ := fields["replicas"].(float64) // 0 if there are none
	said.Replicas = int64(replicas)
	if said.Changed = !bytes.Equal(merged, o.status); said.Changed {
		o.status, o.managers = merged, managers(manager, names(fields))
		u.mu.Lock()
		u.version++
		o.version = u.version
		u.feeds.push(o.event(object))
		u.mu.Unlock()
	}
	return ok(u.append(buffer(), o.event(object)))
}

func (o *published) event(object int) event {
	return event{number: object, version: o.version, status: o.status, managers: o.managers}
}

// known keeps one string for all objects with the same owner and fields.
var known sync.Map // manager and names of fields → entry

func managers(manager string, fields []string) string {
	key := manager + "\x00" + strings.Join(fields, "\x00")
	if entry, ok := known.Load(key); ok {
		return entry.(string)
	}
	entry, _ := known.LoadOrStore(key, fleet.Manager(manager, fields))
	return entry.(string)
}

func (u *upstream) read(object int) []byte {
	lock := &u.locks[object%len(u.locks)]
	lock.Lock()
	o := u.objects[object]
	lock.Unlock()
	return u.append(buffer(), o.event(object))
}

var noStatus = []byte("{}")

func (u *upstream) append(b []byte, e event) []byte {
	body := fleet.Body{
		Name: u.shape.Upstream(e.number), UID: 1<<31 + uint64(e.number), Version: e.version, Status: e.status, Managers: e.managers, //nolint:gosec // a count
	}
	if body.Managers == "" {
		body.Managers = notYet
	}
	if body.Status == nil {
		body.Status = noStatus
	}
	return body.Append(b)
}

// notYet is the owner of labels that an object has before its status was ever written.
const notYet = `{"manager":"kubectl","operation":"Update","apiVersion":"apps/v1","time":"2026-01-05T08:30:00Z",` +
	`"fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:labels":{"f:example.com/tier":{}}}}}`

// collection lists or watches the Deployments of a logical cluster, or of all of them.
func (u *upstream) collection(r *http.Request, cluster string) answer {
	in := func(object int) bool { return cluster == "*" || u.shape.Upstream(object).Workspace == cluster }
	query := r.URL.Query()
	watch, streaming := query.Get("watch") == "true" || query.Get("watch") == "1", query.Get("sendInitialEvents") == "true"
	f := newFeed(r.Context(), u.meter)
	f.gate = &gate{}
	f.scope = in
	f.draw = func(b []byte, kind string, e event) []byte {
		b = append(b, `{"type":"`...)
		b = append(b, kind...)
		b = append(b, `","object":`...)
		b = u.append(b, e)
		return append(b, "}\n"...)
	}
	f.bookmark = func(b []byte, version uint64, initialEnd bool) []byte {
		return appendBookmark(b, "apps/v1", "Deployment", version, initialEnd)
	}
	for i := range u.locks {
		u.locks[i].Lock()
		defer u.locks[i].Unlock()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	f.version = u.version
	if !watch || streaming {
		for i, o := range u.objects {
			if in(i) {
				f.initial = append(f.initial, o.event(i))
			}
		}
	}
	if watch {
		f.ends = streaming
		u.feeds.add(f)
		return answer{code: http.StatusOK, watch: f}
	}
	b := appendListHead(nil, "apps/v1", "DeploymentList", f.version)
	for i, e := range f.initial {
		if i > 0 {
			b = append(b, ',')
		}
		b = u.append(b, e)
	}
	return ok(append(b, "]}"...))
}

// other stores objects of other kinds by name.
func (u *upstream) other(method, key string, body []byte) answer {
	switch method {
	case http.MethodGet:
		u.count(func(c *Calls) { c.Gets++ })
		if stored, found := u.others.Load(key); found {
			return ok(bytes.Clone(stored.([]byte)))
		}
		return notFound()
	case http.MethodPost:
		var created struct {
			Metadata struct{ Name string } `json:"metadata"`
		}
		if err := json.Unmarshal(body, &created, json.MatchCaseInsensitiveNames(true)); err != nil {
			return status(http.StatusBadRequest, "BadRequest", err.Error())
		}
		u.count(func(c *Calls) { c.Others++ })
		u.others.Store(key+created.Metadata.Name, body)
		return answer{code: http.StatusCreated, body: bytes.Clone(body)}
	case http.MethodPatch:
		stored, found := u.others.Load(key)
		if !found {
			return notFound()
		}
		u.count(func(c *Calls) { c.Others++ })
		merged, _, err := merge(stored.([]byte), body)
		if err != nil {
			return status(http.StatusBadRequest, "BadRequest", err.Error())
		}
		u.others.Store(key, merged)
		return ok(bytes.Clone(merged))
	}
	return status(http.StatusMethodNotAllowed, "MethodNotAllowed", method)
}
