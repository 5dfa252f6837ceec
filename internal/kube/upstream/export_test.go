package upstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	kt "github.com/upstreamd/upstreamd/internal/kube/kubetest"
	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/ref"
)

const (
	provider = "prov1der"
	firstURL = "memapi/services/apiexport/prov1der/compute"
	nextURL  = "shard-2/services/apiexport/prov1der/compute"
)

// kcp is a server in memory with an APIExport of deployments, and a second shard that its endpoint slice may name.
type kcp struct {
	*memapi.Server

	shard2 *memapi.Server
	fault  func(*http.Request) memapi.Fault
	mu     sync.Mutex
}

func newKCP(t *testing.T) *kcp {
	k := &kcp{}
	ask := func(r *http.Request) memapi.Fault {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.fault == nil {
			return memapi.Fault{}
		}
		return k.fault(r)
	}
	k.Server = memapi.New(memapi.Options{Resources: memapi.KCP(), Fault: ask})
	k.shard2 = memapi.New(memapi.Options{Name: "shard-2", Resources: memapi.KCP(), Fault: ask})
	for _, s := range []*memapi.Server{k.Server, k.shard2} {
		s.AddWorkspace(provider, "root:provider")
		s.AddExport(provider, "compute", kt.Deployments)
		t.Cleanup(s.Close)
	}
	return k
}

func (k *kcp) setFault(f func(*http.Request) memapi.Fault) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fault = f
}

// RoundTrip leads to the shard of the request's host.
func (k *kcp) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "shard-2" {
		return k.shard2.Transport().RoundTrip(r)
	}
	return k.Transport().RoundTrip(r)
}

func (k *kcp) client(t *testing.T, e Export) *Client {
	t.Helper()
	return connect(t, &rest.Config{Host: "http://memapi", Transport: k}, Options{Export: &e})
}

var compute = Export{Workspace: "root:provider", Name: "compute"}

// consumer makes a workspace that is bound and holds the deployment ns/same.
func consumer(t *testing.T, s *memapi.Server, name string) {
	t.Helper()
	s.AddWorkspace(name, "root:"+name)
	s.Bind(name, provider, "compute")
	create(t, s, name, "same")
}

func create(t *testing.T, s *memapi.Server, workspace, name string) {
	t.Helper()
	_, err := s.Cluster(workspace).Create(kt.Deployments, fmt.Appendf(nil, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"namespace":"default","name":%q}}`, name))
	if err != nil {
		t.Fatal(err)
	}
}

// publish sets the endpoints of the slice.
func (k *kcp) publish(t *testing.T, urls ...string) {
	t.Helper()
	endpoints := []any{}
	for _, u := range urls {
		endpoints = append(endpoints, map[string]any{"url": u})
	}
	if _, err := k.Cluster(provider).UpdateStatus(endpointSlices, "", "compute", map[string]any{"endpoints": endpoints}); err != nil {
		t.Fatal(err)
	}
}

// view holds the objects that a watch reports, by scope, as its receiver has to keep them.
type view struct {
	*kt.Recorder

	mu    sync.Mutex
	there map[ref.Workspace]map[string]bool
}

func watchInto(t *testing.T, c *Client) *view {
	v := &view{Recorder: kt.NewRecorder(), there: map[ref.Workspace]map[string]bool{}}
	kt.Run(t, func(ctx context.Context) { c.Watch(ctx, kt.Deployments, ref.Want{}, v.take) })
	return v
}

func (v *view) take(e ref.Event) {
	v.Emit(e)
	if e.Type == ref.Failed || e.Type == ref.Scopes || e.Type == ref.Resumed {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	scope := v.there[e.Scope]
	if scope == nil || e.Type == ref.Listed {
		scope = map[string]bool{}
		v.there[e.Scope] = scope
	}
	for _, o := range e.Objects {
		scope[string(o.Workspace)+"/"+o.Name] = e.Type != ref.Deleted
	}
	switch {
	case e.Type == ref.Left && e.Workspace == "":
		delete(v.there, e.Scope)
	case e.Type == ref.Left:
		maps.DeleteFunc(scope, func(name string, _ bool) bool { return strings.HasPrefix(name, string(e.Workspace)+"/") })
	}
}

// expect lets everything come to rest, and compares the objects: "scope: objects", in the order of names.
func (v *view) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	got := []string{}
	for _, scope := range slices.Sorted(maps.Keys(v.there)) {
		maps.DeleteFunc(v.there[scope], func(_ string, there bool) bool { return !there })
		got = append(got, strings.TrimSuffix(string(scope)+": "+strings.Join(slices.Sorted(maps.Keys(v.there[scope])), " "), " "))
	}
	if diff := cmp.Diff(want, got, cmp.Transformer("", func(s []string) string { return strings.Join(s, "\n") })); diff != "" {
		t.Fatalf("(-want +got)\n%s\nsaid %q", diff, v.All())
	}
}

// TestExportSameNameInThreeWorkspaces: objects of one namespace and name must not fall together, however the lists come.
func TestExportSameNameInThreeWorkspaces(t *testing.T) {
	noStreams := func(r *http.Request) memapi.Fault {
		if r.URL.Query().Get("sendInitialEvents") != "" {
			return memapi.Fault{Status: http.StatusBadRequest}
		}
		return memapi.Fault{}
	}
	for name, fault := range map[string]func(*http.Request) memapi.Fault{"streaming lists": nil, "pages": noStreams} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKCP(t)
				expire := make(chan struct{})
				k.setFault(func(r *http.Request) memapi.Fault {
					if fault != nil {
						if f := fault(r); f.Status != 0 {
							return f
						}
					}
					select {
					case <-expire:
						return memapi.Fault{}
					default:
						return memapi.Fault{Watch: memapi.WatchFault{Kind: memapi.Expire, When: expire}}
					}
				})
				for _, w := range []string{"aaa", "bbb", "ccc"} {
					consumer(t, k.Server, w)
				}
				v := watchInto(t, k.client(t, compute))
				all := "*@" + firstURL + ": aaa/same bbb/same ccc/same"
				v.expect(t, all)
				lists := v.count(ref.Listed)

				close(expire) // the watch is refused as too old
				time.Sleep(time.Minute)
				v.expect(t, all)
				if v.count(ref.Listed) == lists {
					t.Error("nothing was listed again")
				}
			})
		})
	}
}

func (v *view) count(kind ref.EventType) int {
	n := 0
	for _, e := range v.Events() {
		if e.Type == kind {
			n++
		}
	}
	return n
}

func TestExportFollowsWorkspaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKCP(t)
		consumer(t, k.Server, "aaa")
		c := k.client(t, compute)
		v := watchInto(t, c)
		v.expect(t, "*@"+firstURL+": aaa/same")

		consumer(t, k.Server, "bbb")
		create(t, k.Server, "bbb", "other")
		v.expect(t, "*@"+firstURL+": aaa/same bbb/other bbb/same")

		if err := k.Cluster("aaa").Delete(ref.Resource{Group: apisGroup, Version: "v1alpha1", Resource: "apibindings"}, "", "compute"); err != nil {
			t.Fatal(err)
		}
		v.expect(t, "*@"+firstURL+": bbb/other bbb/same")
		if _, err := c.Get(t.Context(), kt.Deployments, ref.Upstream{Workspace: "aaa", Namespace: "default", Name: "same"}, ref.Want{}); !errors.Is(err, ErrForeign) {
			t.Errorf("a workspace that is not bound any more: %v", err)
		}

		k.Bind("aaa", provider, "compute")
		create(t, k.Server, "aaa", "again")
		v.expect(t, "*@"+firstURL+": aaa/again bbb/other bbb/same")
		if _, err := c.Get(t.Context(), kt.Deployments, ref.Upstream{Workspace: "aaa", Namespace: "default", Name: "again"}, ref.Want{}); err != nil {
			t.Error(err)
		}

		k.RemoveWorkspace("bbb")
		v.expect(t, "*@"+firstURL+": aaa/again")
	})
}

func TestExportFollowsShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKCP(t)
		consumer(t, k.Server, "aaa")
		consumer(t, k.shard2, "bbb")
		first, next := "http://"+firstURL, "http://"+nextURL
		serves := false
		k.setFault(func(r *http.Request) memapi.Fault {
			if r.URL.Host == "shard-2" && !serves {
				return memapi.Fault{Status: http.StatusNotFound}
			}
			return memapi.Fault{}
		})
		c := k.client(t, compute)
		v := watchInto(t, c)
		v.expect(t, "*@"+firstURL+": aaa/same")

		k.publish(t, first, next) // before it serves
		time.Sleep(10 * time.Second)
		v.expect(t, "*@"+firstURL+": aaa/same")
		k.mu.Lock()
		serves = true
		k.mu.Unlock()
		time.Sleep(time.Minute)
		v.expect(t, "*@"+firstURL+": aaa/same", "*@"+nextURL+": bbb/same")

		inB := ref.Upstream{Workspace: "bbb", Namespace: "default", Name: "same"}
		if host := c.Host(inB); host != "shard-2" {
			t.Errorf("bbb is at %s", host)
		}
		if o, err := c.Get(t.Context(), kt.Deployments, inB, ref.Want{}); err != nil || o.Workspace != "bbb" {
			t.Errorf("got %+v, %v", o, err)
		}
		for _, scope := range []ref.Workspace{"*@" + firstURL, "*@" + nextURL} {
			if got, err := c.Describe(t.Context(), kt.Deployments, scope, ""); !got.HasStatus || got.Typed || err != nil {
				t.Errorf("%s: described as %+v, %v", scope, got, err)
			}
		}

		k.publish(t, next) // the first shard is taken away
		v.expect(t, "*@"+nextURL+": bbb/same")
		if _, err := c.Describe(t.Context(), kt.Deployments, "*@"+firstURL, "aaa"); !errors.Is(err, ErrForeign) {
			t.Errorf("a shard that is gone: %v", err)
		}
		if _, err := c.Get(t.Context(), kt.Deployments, ref.Upstream{Workspace: "aaa", Namespace: "default", Name: "same"}, ref.Want{}); !errors.Is(err, ErrForeign) {
			t.Errorf("a workspace of a shard that is gone: %v", err)
		}
		create(t, k.Server, "aaa", "unseen")
		k.publish(t, next, first)
		v.expect(t, "*@"+firstURL+": aaa/same aaa/unseen", "*@"+nextURL+": bbb/same")

		if err := k.Cluster(provider).Delete(endpointSlices, "", "compute"); err != nil {
			t.Fatal(err)
		}
		v.expect(t)
	})
}

// TestExportThatComesLater: the slice is not there at first, and while its server is away nothing is gone.
func TestExportThatComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKCP(t)
		later := Export{Workspace: "root:provider", Name: "later"}
		v := watchInto(t, k.client(t, later))
		time.Sleep(time.Minute)
		v.expect(t)
		k.AddExport(provider, "later", kt.Deployments)
		k.AddWorkspace("aaa", "")
		k.Bind("aaa", provider, "later")
		create(t, k.Server, "aaa", "same")
		url := strings.Replace(firstURL, "compute", "later", 1)
		v.expect(t, "*@"+url+": aaa/same")
		k.setFault(func(*http.Request) memapi.Fault { return memapi.Fault{Refuse: true} })
		time.Sleep(5 * time.Minute)
		v.expect(t, "*@"+url+": aaa/same")
	})
}

// TestExportThatAListLacks: endpoints stay when one list lacks the slice, and go when a second read confirms it.
func TestExportThatAListLacks(t *testing.T) {
	for name, tc := range map[string]struct {
		second memapi.Fault // the answer of the second read
		want   []string
	}{
		"a wrong backend for a moment": {want: []string{"*@" + firstURL + ": aaa/same"}},
		"a server that fails":          {second: memapi.Fault{Status: http.StatusBadGateway}, want: []string{"*@" + firstURL + ": aaa/same"}},
		"confirmed":                    {second: memapi.Fault{Status: http.StatusNotFound}, want: []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKCP(t)
				consumer(t, k.Server, "aaa")
				blind := make(chan struct{})
				k.setFault(func(r *http.Request) memapi.Fault {
					list := strings.HasSuffix(r.URL.Path, "/apiexportendpointslices")
					q := r.URL.Query()
					select {
					case <-blind:
					default:
						return memapi.Fault{Watch: memapi.WatchFault{Kind: memapi.Reset, When: blind}}
					}
					switch {
					case strings.HasSuffix(r.URL.Path, "/apiexportendpointslices/compute"):
						return tc.second
					case !list:
						return memapi.Fault{}
					case q.Has("sendInitialEvents"):
						return memapi.Fault{Status: http.StatusUnprocessableEntity}
					case q.Has("watch"):
						return memapi.Fault{Status: http.StatusGone}
					default:
						return memapi.Fault{Status: http.StatusOK, Body: []byte(`{"metadata":{"resourceVersion":"9"},"items":[]}`)}
					}
				})
				v := watchInto(t, k.client(t, compute))
				v.expect(t, "*@"+firstURL+": aaa/same")
				close(blind)
				time.Sleep(4 * time.Second)
				v.expect(t, "*@"+firstURL+": aaa/same")
				time.Sleep(time.Minute)
				v.expect(t, tc.want...)
			})
		})
	}
}

func TestExportWrites(t *testing.T) {
	for name, direct := range map[string]bool{"through the virtual workspace": false, "direct": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKCP(t)
				consumer(t, k.Server, "aaa")
				consumer(t, k.shard2, "bbb")
				k.publish(t, "http://"+firstURL, "http://"+nextURL)
				e := compute
				e.Direct = direct
				c := k.client(t, e)
				watchInto(t, c)
				synctest.Wait()
				u := ref.Upstream{Workspace: "aaa", Namespace: "default", Name: "same"}
				o, err := c.Patch(t.Context(), ref.Patch{Resource: kt.Deployments, Upstream: u, Body: []byte(`{"status":{"n":8}}`)}, ref.Want{})
				if err != nil || o.Workspace != "aaa" || string(o.Status) != `{"n":8}` {
					t.Errorf("got %+v, %v", o, err)
				}
				if n := k.Calls().Total(func(c memapi.Call) bool { return c.Verb == "patch" && c.Virtual == !direct && c.Code == http.StatusOK }); n != 1 {
					t.Errorf("%d calls that way: %v", n, k.Calls())
				}
				inB := ref.Upstream{Workspace: "bbb", Namespace: "default", Name: "same"}
				wantHost := "shard-2"
				if direct {
					wantHost = "memapi" // the front knows the way
				}
				if host := c.Host(inB); host != wantHost {
					t.Errorf("bbb is written at %s, want %s", host, wantHost)
				}

				before := len(k.Calls())
				for _, w := range []ref.Workspace{"", "*", "unbound", "*@" + firstURL, "aaa/../bbb", provider} {
					u := ref.Upstream{Workspace: w, Namespace: "default", Name: "same"}
					if _, err := c.Patch(t.Context(), ref.Patch{Resource: kt.Deployments, Upstream: u, Body: []byte(`{}`)}, ref.Want{}); !errors.Is(err, ErrForeign) {
						t.Errorf("%q: %v", w, err)
					}
				}
				if len(k.Calls()) != before {
					t.Errorf("something was sent: %v", k.Calls())
				}
			})
		})
	}
}

// TestExportNames: paths that SyncTargets are bound by are resolved at the configured server.
func TestExportNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKCP(t)
		consumer(t, k.Server, "aaa")
		c := connect(t, &rest.Config{Host: "http://memapi", Transport: k}, Options{Export: &compute, Bound: []string{"root:aaa", "root:none"}})
		if err := c.Resolve(t.Context()); err != nil {
			t.Error(err)
		}
		if got := c.Name("root:aaa"); got != "aaa" {
			t.Errorf("root:aaa is %s", got)
		}
		if diff := cmp.Diff(map[string]ref.Workspace{"root:aaa": "aaa", "root:none": "root:none"}, c.Names()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]ref.Workspace{All}, c.Workspaces()); diff != "" {
			t.Error(diff)
		}
		consumer(t, k.Server, "bbb")
		all := []string{"root:bbb", "*", "root:aaa", "root:none"}
		if !c.Bind(all) || c.Bind(all) {
			t.Error("root:bbb alone is new, and only once")
		}
		if err := c.Resolve(t.Context()); err != nil || c.Name("root:bbb") != "bbb" {
			t.Errorf("root:bbb is %s, %v", c.Name("root:bbb"), err)
		}
		c.Bind([]string{"root:bbb"})
		if diff := cmp.Diff(map[string]ref.Workspace{"root:bbb": "bbb"}, c.Names()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPublishedURLs(t *testing.T) {
	for text, ok := range map[string]bool{
		"https://shard-1:6443/services/apiexport/x/y":  true,
		"https://shard-1:6443/services/apiexport/x/y/": true,
		"http://shard-1/services/apiexport/x/y":        false, // in the clear
		"https://user:pass@shard-1/x":                  false,
		"https://shard-1/x?y=z":                        false,
		"https://shard-1/x#y":                          false,
		"/services/apiexport/x/y":                      false,
		"ftp://shard-1/x":                              false,
		"https://a b":                                  false,
		"":                                             false,
	} {
		h := newHosts(&rest.Config{Host: "https://kcp:6443/base"}, client.Options{})
		front, _, err := splitHost(h.config)
		if err != nil {
			t.Fatal(err)
		}
		d, err := h.published(text, front)
		if (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
		if err == nil && (d.host() != "shard-1:6443" || d.path != "/services/apiexport/x/y") {
			t.Errorf("%s leads to %s%s", text, d.host(), d.path)
		}
	}
}

func TestRenewTakesCredentialsAtEveryHost(t *testing.T) {
	heard := map[string]string{} // Authorization by host
	record := roundTripper(func(r *http.Request) (*http.Response, error) {
		heard[r.URL.Host] = r.Header.Get("Authorization")
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})
	c := connect(t, &rest.Config{Host: "https://kcp/clusters/root:a", BearerToken: "one", Transport: record}, Options{})
	asked := func(want string, hosts ...string) {
		t.Helper()
		for _, host := range hosts {
			d, err := c.hosts.published("https://"+host, c.front.conn.Base())
			if err != nil {
				t.Fatal(err)
			}
			resp, err := d.conn.Do(t.Context(), client.Request{Path: "/"})
			if err != nil {
				t.Fatal(err)
			}
			client.Drain(resp.Body)
			if heard[host] != want {
				t.Errorf("%s is asked with %q, want %q", host, heard[host], want)
			}
		}
	}
	asked("Bearer one", "kcp", "shard-1")
	for _, other := range []*rest.Config{
		{Host: "https://elsewhere/clusters/root:a", BearerToken: "two", Transport: record},
		{Host: "https://kcp/clusters/root:b", BearerToken: "two", Transport: record},
		{Host: "https://kcp", BearerToken: "two", Transport: record},
		{Host: "https://kcp/clusters/root:a", BearerToken: "two", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("another authority")}},
		{Host: "https://kcp/clusters/root:a", BearerTokenFile: "/is/not/there"},
	} {
		if err := c.Renew(other); err == nil {
			t.Errorf("%+v was taken", other)
		}
	}
	asked("Bearer one", "kcp", "shard-1", "shard-2")
	if err := c.Renew(&rest.Config{Host: "https://kcp/clusters/root:a", BearerToken: "two", Transport: record}); err != nil {
		t.Fatal(err)
	}
	asked("Bearer two", "kcp", "shard-1", "shard-2", "shard-3")
}

func TestOneTransportForEachHost(t *testing.T) {
	h := newHosts(&rest.Config{Host: "https://kcp:6443"}, client.Options{})
	endpoints := map[string]endpoint{}
	for _, text := range []string{"https://kcp:6443", "https://kcp:6443/services/apiexport/a/b", "https://shard-1:6443/a", "https://shard-1:6443/b"} {
		d, err := h.published(text, &url.URL{Scheme: "https"})
		if err != nil {
			t.Fatal(err)
		}
		endpoints[text] = d
	}
	if endpoints["https://kcp:6443"].conn != endpoints["https://kcp:6443/services/apiexport/a/b"].conn || endpoints["https://shard-1:6443/a"].conn != endpoints["https://shard-1:6443/b"].conn {
		t.Error("one host has several connections")
	}
	if len(h.conns) != 2 {
		t.Errorf("%d connections for 2 hosts", len(h.conns))
	}
}

func TestExportThatCannotBe(t *testing.T) {
	for _, e := range []Export{{}, {Workspace: "root:a"}, {Workspace: "a/b", Name: "compute"}, {Name: "compute"}} {
		if _, err := New(&rest.Config{Host: "https://kcp"}, Options{Export: &e}); err == nil {
			t.Errorf("taken: %+v", e)
		}
	}
}

// lone is a shard that is not followed, and a recorder of its events.
func lone(t *testing.T) (*shard, *kt.Recorder) {
	t.Helper()
	c, err := New(&rest.Config{Host: "http://kcp"}, Options{Export: &compute})
	if err != nil {
		t.Fatal(err)
	}
	s := newShard(c.export, "kcp/x", c.front)
	c.export.shards["kcp/x"] = s
	r := kt.NewRecorder()
	c.export.listeners[&listener{emit: r.Emit}] = struct{}{}
	return s, r
}

func object(w ref.Workspace, name, version string) *ref.Object {
	return &ref.Object{Workspace: w, Name: name, ResourceVersion: version}
}

// TestWhatComesLateOfAWorkspaceThatLeft: streams of objects and of APIBindings are not in step.
func TestWhatComesLateOfAWorkspaceThatLeft(t *testing.T) {
	s, heard := lone(t)
	say := func(o ...*ref.Object) int {
		e := s.filter(ref.Event{Type: ref.Changed, Objects: o})
		if e == nil {
			return 0
		}
		return len(e.Objects)
	}
	s.bind(object("aaa", "b1", "1"))
	s.bind(object("aaa", "b2", "2"))
	s.bind(object("aaa", "b1", "3"))
	if say(object("aaa", "x", "5")) != 1 {
		t.Error("an object of a bound workspace is not heard")
	}
	s.unbind(object("aaa", "b1", "6"))
	if say(object("aaa", "x", "7")) != 1 || len(heard.All()) != 0 {
		t.Error("there is another binding")
	}
	s.unbind(object("aaa", "b2", "10"))
	s.unbind(object("aaa", "b2", "10"))
	heard.Expect(t, "Left in *@kcp/x: aaa")
	for version, want := range map[string]int{"8": 0, "10": 0, "11": 1} {
		if got := say(object("aaa", "x", version)); got != want {
			t.Errorf("version %s: %d objects are heard, want %d", version, got, want)
		}
	}
	e := s.filter(ref.Event{Type: ref.Listed, Objects: []*ref.Object{object("bbb", "y", "3"), object("aaa", "x", "4")}})
	if len(e.Objects) != 1 || e.Objects[0].Workspace != "bbb" {
		t.Errorf("listed %v", e.Objects)
	}
	s.bind(object("aaa", "b3", "12"))
	if say(object("aaa", "x", "4")) != 1 {
		t.Error("what was there before is there again")
	}
	if len(heard.All()) != 1 {
		t.Errorf("said %q", heard.All())
	}
}

func TestWorkspacesThatLackTheirBindingInAList(t *testing.T) {
	s, heard := lone(t)
	list := func(n int) ref.Event {
		e := ref.Event{Type: ref.Listed, Version: "100"}
		for i := range n {
			e.Objects = append(e.Objects, object(ref.Workspace(fmt.Sprint("w", i)), "compute", "1"))
		}
		return e
	}
	s.listed(list(50))
	s.listed(list(48))
	if got := slices.Sorted(slices.Values(heard.All())); !slices.Equal(got, []string{"Left in *@kcp/x: w48", "Left in *@kcp/x: w49"}) {
		t.Errorf("said %q", got)
	}
	s.listed(list(5)) // too much at once to be believed
	if len(heard.All()) != 2 {
		t.Errorf("said %q", heard.All())
	}
	if _, err := s.export.endpoint("w40"); err != nil {
		t.Error(err)
	}
	if _, err := s.export.endpoint("w49"); !errors.Is(err, ErrForeign) {
		t.Errorf("got %v", err)
	}
}

func TestDeparturesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := lone(t)
		for i := range 100 {
			o := object(ref.Workspace(fmt.Sprint("w", i)), "compute", "1")
			s.bind(o)
			s.unbind(o)
			time.Sleep(time.Minute)
		}
		if n := len(s.left); n > 25 {
			t.Errorf("%d departures are kept", n)
		}
		if len(s.export.homes)+len(s.bound)+len(s.bindings) != 0 {
			t.Errorf("%d homes, %d bound, %d bindings are kept", len(s.export.homes), len(s.bound), len(s.bindings))
		}
	})
}

func TestAllWorkspacesOfAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKCP(t)
		for _, w := range []string{"aaa", "bbb", "ccc"} {
			consumer(t, k.Server, w)
		}
		c := connect(t, k.Config(), Options{Workspaces: []string{"*"}, Bound: []string{"root:bbb"}})
		v := watchInto(t, c)
		v.expect(t, "*: aaa/same bbb/same ccc/same")
		if err := c.Resolve(t.Context()); err != nil || c.Name("root:bbb") != "bbb" {
			t.Errorf("root:bbb is %s, %v", c.Name("root:bbb"), err)
		}
		if got, err := c.Describe(t.Context(), kt.Deployments, "*", "bbb"); !got.HasStatus || got.Typed || err != nil {
			t.Errorf("described as %+v, %v", got, err)
		}
		u := ref.Upstream{Workspace: "bbb", Namespace: "default", Name: "same"}
		if _, err := c.Patch(t.Context(), ref.Patch{Resource: kt.Deployments, Upstream: u, Body: []byte(`{"status":{"n":8}}`)}, ref.Want{}); err != nil {
			t.Error(err)
		}
		u.Workspace = "none"
		if _, err := c.Patch(t.Context(), ref.Patch{Resource: kt.Deployments, Upstream: u, Body: []byte(`{}`)}, ref.Want{}); !apierrors.IsForbidden(err) {
			t.Errorf("got %v", err)
		}
	})
}
