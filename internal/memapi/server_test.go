package memapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"

	"github.com/upstreamd/upstreamd/internal/memapi"
)

var (
	namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	secrets     = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	synctargets = schema.GroupVersionResource{Group: "workload.kcp.io", Version: "v1alpha1", Resource: "synctargets"}
	bindings    = schema.GroupVersionResource{Group: "apis.kcp.io", Version: "v1alpha1", Resource: "apibindings"}
	slicesOf    = schema.GroupVersionResource{Group: "apis.kcp.io", Version: "v1alpha1", Resource: "apiexportendpointslices"}
)

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

type seen struct {
	Type   string
	Object struct {
		Metadata metav1.ObjectMeta
		Status   json.RawMessage
		Code     int
		Reason   string
	}
}

// events reads n events of a watch.
func events(t *testing.T, body io.Reader, n int) []seen {
	t.Helper()
	lines := json.NewDecoder(body)
	all := make([]seen, n)
	for i := range all {
		if err := lines.Decode(&all[i]); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	return all
}

func TestClientGoWorksOnIt(t *testing.T) {
	s := memapi.New(memapi.Options{})
	defer s.Close()
	must[*memapi.Object](t)(s.Cluster("").Create(deployments, deploymentSpec("d")))

	client := must[*dynamic.DynamicClient](t)(dynamic.NewForConfig(s.Config()))
	of := client.Resource(deployments).Namespace("default")
	informer := cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return of.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return of.Watch(ctx, o)
		},
	}, client), &unstructured.Unstructured{}, 0, nil)
	statuses := make(chan int64, 10)
	must[cache.ResourceEventHandlerRegistration](t)(informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, o any) {
			n, _, _ := unstructured.NestedInt64(o.(*unstructured.Unstructured).Object, "status", "readyReplicas") //nolint:forcetypeassert // a dynamic client's
			statuses <- n
		},
	}))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { informer.RunWithContext(ctx) })
	defer running.Wait()
	defer cancel()
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		t.Fatal("the informer did not sync")
	}
	if _, there, _ := informer.GetStore().GetByKey("default/d"); !there {
		t.Fatalf("the informer has %v", informer.GetStore().ListKeys())
	}
	must[*unstructured.Unstructured](t)(of.Patch(ctx, "d", types.MergePatchType,
		[]byte(`{"status":{"replicas":2,"readyReplicas":2}}`), metav1.PatchOptions{FieldManager: "m"}, "status"))
	if n := <-statuses; n != 2 {
		t.Errorf("the informer saw %d ready replicas, want 2", n)
	}

	found := must[[]*metav1.APIResourceList](t)(discovery.NewDiscoveryClientForConfigOrDie(s.Config()).ServerPreferredResources())
	var names []string
	for _, list := range found {
		for _, r := range list.APIResources {
			names = append(names, list.GroupVersion+"/"+r.Name)
		}
	}
	for _, want := range []string{"v1/pods", "apps/v1/deployments", "coordination.k8s.io/v1/leases", "autoscaling/v2/horizontalpodautoscalers"} {
		if !slices.Contains(names, want) {
			t.Errorf("discovery lacks %s: %v", want, names)
		}
	}
}

func TestWorkspacesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memapi.New(memapi.Options{Resources: memapi.KCP()})
		defer s.Close()
		s.AddWorkspace("1p", "root:provider")
		s.AddExport("1p", "compute", deployments)
		resp := request(t, s, http.MethodGet, "/services/apiexport/root:provider/compute/clusters/*/apis/apps/v1/deployments?watch=true", "")
		defer func() { _ = resp.Body.Close() }()

		if _, err := s.Cluster("1a").Create(synctargets, object("", "t")); err == nil {
			t.Error("created in a workspace that is not there")
		}
		for _, name := range []string{"1a", "1b", "1unbound"} {
			s.AddWorkspace(name, "root:"+name)
		}
		if _, err := s.Cluster("1a").Create(deployments, deploymentSpec("d")); err == nil {
			t.Error("created in a workspace that is not bound")
		}
		s.Bind("1a", "1p", "compute")
		s.Bind("1b", "1p", "compute")
		for _, name := range []string{"1a", "1b"} {
			must[*memapi.Object](t)(s.Cluster(name).Create(deployments, deploymentSpec("d")))
		}
		s.RemoveWorkspace("1a")
		if err := s.Cluster("1b").Delete(bindings, "", "compute"); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range events(t, resp.Body, 4) {
			got = append(got, e.Type+" "+e.Object.Metadata.Annotations["kcp.io/cluster"])
		}
		if want := []string{"ADDED 1a", "ADDED 1b", "DELETED 1a", "DELETED 1b"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		for path, want := range map[string]int{
			"/clusters/root:1a/api/v1/namespaces":                                                      403, // gone
			"/clusters/root:1b/api/v1/namespaces":                                                      200,
			"/clusters/1b/apis/apps/v1/deployments":                                                    404, // not bound any more
			"/clusters/1unbound/apis/apps/v1/deployments":                                              404,
			"/services/apiexport/1p/compute/clusters/1unbound/apis/apps/v1/deployments":                403,
			"/services/apiexport/1p/other/clusters/*/apis/apps/v1/deployments":                         403,
			"/services/apiexport/1p/compute/clusters/*/api/v1/configmaps":                              404,
			"/clusters/1b/apis/apis.kcp.io/v1alpha1/apibindings":                                       200,
			"/clusters/*/apis/core.kcp.io/v1alpha1/logicalclusters":                                    200,
			"/clusters/1p/apis/apis.kcp.io/v1alpha1/apiexports/compute":                                200,
			"/clusters/root:provider/apis/apis.kcp.io/v1alpha1/apiexportendpointslices/compute/status": 200,
		} {
			resp := request(t, s, http.MethodGet, path, "")
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s: got %d, want %d", path, resp.StatusCode, want)
			}
		}
		slice := must[*memapi.Object](t)(s.Cluster("1p").Get(slicesOf, "", "compute"))
		if want := `{"endpoints":[{"url":"http://memapi/services/apiexport/1p/compute"}]}`; string(slice.Status) != want {
			t.Errorf("the endpoint slice has status %s, want %s", slice.Status, want)
		}
	})
}

func TestAnAPIBindingMadeByAClientBinds(t *testing.T) {
	s := memapi.New(memapi.Options{Resources: memapi.KCP()})
	defer s.Close()
	s.AddWorkspace("1p", "root:provider")
	s.AddWorkspace("1a", "root:a")
	s.AddExport("1p", "compute", deployments)
	must[*memapi.Object](t)(s.Cluster("1a").Create(bindings, map[string]any{
		"metadata": map[string]any{"name": "any"},
		"spec":     map[string]any{"reference": map[string]any{"export": map[string]any{"path": "root:provider", "name": "compute"}}},
	}))
	must[*memapi.Object](t)(s.Cluster("1a").Create(deployments, deploymentSpec("d")))
	if o := must[*memapi.Object](t)(s.Cluster("1a").Get(bindings, "", "any")); string(o.Status) != `{"phase":"Bound"}` {
		t.Errorf("status %s", o.Status)
	}
}

func TestThousandsOfWorkspacesInOneWatch(t *testing.T) {
	const count = 5000
	s := memapi.New(memapi.Options{Resources: memapi.KCP()})
	defer s.Close()
	s.AddWorkspace("1p", "root:provider")
	s.AddExport("1p", "compute", deployments)
	for i := range count {
		name := fmt.Sprint("1w", i)
		s.AddWorkspace(name, "root:"+name)
		s.Bind(name, "1p", "compute")
		must[*memapi.Object](t)(s.Cluster(name).Create(deployments, deploymentSpec("d")))
	}
	resp := request(t, s, http.MethodGet, "/services/apiexport/1p/compute/clusters/*/apis/apps/v1/deployments?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", "")
	defer func() { _ = resp.Body.Close() }()
	clusters := map[string]bool{}
	for _, e := range events(t, resp.Body, count+1)[:count] {
		clusters[e.Object.Metadata.Annotations["kcp.io/cluster"]] = true
	}
	if len(clusters) != count {
		t.Errorf("%d of %d workspaces are in the list", len(clusters), count)
	}
}

func TestThePastIsForgotten(t *testing.T) {
	s := memapi.New(memapi.Options{Window: 4})
	defer s.Close()
	for i := range 3 {
		must[*memapi.Object](t)(s.Cluster("").Create(secrets, object("default", fmt.Sprint("s", i))))
	}
	page := func(query string) (int, metav1.ListMeta) {
		resp := request(t, s, http.MethodGet, "/api/v1/secrets?limit=1"+query, "")
		defer func() { _ = resp.Body.Close() }()
		var list struct{ Metadata metav1.ListMeta }
		if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, list.Metadata
	}
	_, first := page("")
	if code, _ := page("&continue=" + first.Continue); code != http.StatusOK {
		t.Errorf("the second page: %d", code)
	}
	s.Compact()
	if code, _ := page("&continue=" + first.Continue); code != http.StatusGone {
		t.Errorf("the second page after Compact: %d, want 410", code)
	}
	from := func(version string) seen {
		resp := request(t, s, http.MethodGet, "/api/v1/secrets?watch=true&resourceVersion="+version, "")
		defer func() { _ = resp.Body.Close() }()
		must[*memapi.Object](t)(s.Cluster("").Patch(secrets, "default", "s0", map[string]any{"data": map[string]any{"n": fmt.Append(nil, s.ResourceVersion())}}))
		return events(t, resp.Body, 1)[0]
	}
	if e := from(first.ResourceVersion); e.Type != "ERROR" || e.Object.Code != http.StatusGone || e.Object.Reason != "Expired" {
		t.Errorf("a watch from before Compact: got %+v, want 410", e)
	}
	now := strconv.FormatUint(s.ResourceVersion(), 10)
	if e := from(now); e.Type != "MODIFIED" {
		t.Errorf("a watch from now: got %+v", e)
	}
	for range 20 { // more than twice the window
		from(strconv.FormatUint(s.ResourceVersion(), 10))
	}
	if e := from(now); e.Type != "ERROR" {
		t.Errorf("a watch from before the window: got %+v", e)
	}
}

func TestAWatchThatLagsIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memapi.New(memapi.Options{Window: 4})
		defer s.Close()
		must[*memapi.Object](t)(s.Cluster("").Create(secrets, object("default", "s")))
		resp := request(t, s, http.MethodGet, "/api/v1/secrets?watch=true", "")
		defer func() { _ = resp.Body.Close() }()
		events(t, resp.Body, 1)
		for i := range 100 { // without a reader
			must[*memapi.Object](t)(s.Cluster("").Patch(secrets, "default", "s", map[string]any{"stringData": map[string]any{"n": fmt.Sprint(i)}}))
			synctest.Wait()
		}
		if rest, err := io.ReadAll(resp.Body); err != nil || strings.Count(string(rest), "\n") >= 100 {
			t.Errorf("got %d more events and %v, want an early end in order", strings.Count(string(rest), "\n"), err)
		}
	})
}

func TestResourcesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memapi.New(memapi.Options{})
		defer s.Close()
		r := schema.GroupVersionResource{Group: "x.y", Version: "v1", Resource: "things"}
		if _, err := s.Cluster("").Get(r, "default", "a"); err == nil {
			t.Error("served before it was added")
		}
		s.AddResource(memapi.Resource{GroupVersionResource: r, Kind: "Thing", Namespaced: true, Status: true})
		must[*memapi.Object](t)(s.Cluster("").Create(r, object("default", "a")))
		resp := request(t, s, http.MethodGet, "/apis/x.y/v1/things?watch=true", "")
		defer func() { _ = resp.Body.Close() }()
		events(t, resp.Body, 1)
		s.RemoveResource(r)
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Errorf("the watch ended with %v", err)
		}
		gone := request(t, s, http.MethodGet, "/apis/x.y/v1/things", "")
		_ = gone.Body.Close()
		if gone.StatusCode != http.StatusNotFound {
			t.Errorf("got %d after the resource was removed", gone.StatusCode)
		}
	})
}

func TestAWithheldKindKeepsItsObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memapi.New(memapi.Options{})
		defer s.Close()
		made := must[*memapi.Object](t)(s.Cluster("").Create(secrets, object("default", "a")))
		open := func() (int, io.ReadCloser) {
			resp := request(t, s, http.MethodGet, "/api/v1/secrets?watch=true&resourceVersion="+made.Meta.ResourceVersion, "")
			return resp.StatusCode, resp.Body
		}
		_, before := open()
		defer func() { _ = before.Close() }()
		s.Withhold(secrets, true)
		if rest, err := io.ReadAll(before); err != nil || len(rest) > 0 {
			t.Errorf("the watch ended with %q and %v", rest, err)
		}
		code, body := open()
		_ = body.Close()
		if code != http.StatusNotFound {
			t.Errorf("got %d for a kind that is withheld", code)
		}
		var list metav1.APIResourceList
		get(t, s, "/api/v1", &list)
		if slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == "secrets" }) {
			t.Error("discovery names a kind that is withheld")
		}
		must[*memapi.Object](t)(s.Cluster("").Create(secrets, object("default", "b")))
		s.Withhold(secrets, false)
		_, after := open()
		defer func() { _ = after.Close() }()
		if e := events(t, after, 1); e[0].Type != "ADDED" || e[0].Object.Metadata.Name != "b" {
			t.Errorf("the watch that resumes got %v", e)
		}
	})
}

func TestANamespaceTakesItsContentWithIt(t *testing.T) {
	s := memapi.New(memapi.Options{})
	defer s.Close()
	c := s.Cluster("")
	must[*memapi.Object](t)(c.Create(namespaces, object("", "n")))
	must[*memapi.Object](t)(c.Create(secrets, object("n", "a")))
	must[*memapi.Object](t)(c.Create(secrets, object("default", "b")))
	if err := c.Delete(namespaces, "", "n"); err != nil {
		t.Fatal(err)
	}
	if left := must[[]*memapi.Object](t)(c.List(secrets)); len(left) != 1 || left[0].Meta.Name != "b" {
		t.Errorf("%d Secrets are left", len(left))
	}
}

func TestCallsAreCountedAndWritesReported(t *testing.T) {
	var writes []string
	s := memapi.New(memapi.Options{
		Resources: memapi.KCP(),
		OnWrite: func(w memapi.Write) {
			if w.Resource == synctargets {
				writes = append(writes, strings.Join([]string{string(w.Type), w.Verb, w.Subresource, w.Manager, w.New.Cluster, string(w.New.Status)}, " "))
			}
		},
		Fault: func(r *http.Request) memapi.Fault { return memapi.Fault{Refuse: r.Method == http.MethodPut} },
	})
	defer s.Close()
	s.AddWorkspace("1a", "root:a")
	before := s.Calls()
	const path = "/apis/workload.kcp.io/v1alpha1/synctargets"
	for _, c := range []struct{ method, path, body string }{
		{http.MethodPost, "/clusters/root:a" + path, `{"apiVersion":"workload.kcp.io/v1alpha1","kind":"SyncTarget","metadata":{"name":"t"}}`},
		{http.MethodPatch, "/clusters/1a" + path + "/t/status?fieldManager=m", `{"status":{"n":1}}`},
		{http.MethodPatch, "/clusters/1a" + path + "/t/status?fieldManager=m", `{"status":{"n":1}}`},
		{http.MethodPatch, "/clusters/1a" + path + "/no/status", `{"status":{"n":1}}`},
		{http.MethodGet, "/clusters/*" + path, ``},
		{http.MethodDelete, "/clusters/1a" + path + "/t", ``},
	} {
		resp := request(t, s, c.method, c.path, c.body)
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	if o := call(t, s.Transport(), http.MethodPut, "http://memapi/clusters/1a"+path+"/t", ""); o.err == nil {
		t.Error("not refused")
	}
	of := func(verb, subresource string, code int) memapi.Call {
		return memapi.Call{Cluster: "1a", Verb: verb, Resource: "synctargets.workload.kcp.io", Subresource: subresource, Code: code}
	}
	wild := of("list", "", 200)
	wild.Cluster = "*"
	want := memapi.Calls{
		of("create", "", 201): 1, of("patch", "status", 200): 2, of("patch", "status", 404): 1, wild: 1, of("delete", "", 200): 1, of("update", "", 0): 1,
	}
	if got := s.Calls().Since(before); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got calls %v, want %v", got, want)
	}
	if n := s.Calls().Total(func(c memapi.Call) bool { return c.Verb == "patch" }); n != 3 {
		t.Errorf("%d patches, want 3", n)
	}
	if want := []string{"ADDED create  unknown 1a ", `MODIFIED patch status m 1a {"n":1}`, `DELETED delete  unknown 1a {"n":1}`}; !slices.Equal(writes, want) {
		t.Errorf("got writes %q, want %q", writes, want)
	}
}

func TestDirectCallsAnswerAsTheAPIDoes(t *testing.T) {
	s := memapi.New(memapi.Options{})
	defer s.Close()
	c := s.Cluster("").As("me")
	made := must[*memapi.Object](t)(c.Create(deployments, deploymentSpec("d")))
	if _, err := c.Create(deployments, deploymentSpec("d")); !apierrors.IsAlreadyExists(err) {
		t.Errorf("created twice: %v", err)
	}
	if _, err := c.Get(deployments, "default", "x"); !apierrors.IsNotFound(err) {
		t.Errorf("not there: %v", err)
	}
	if _, err := c.UpdateStatus(deployments, "default", "x", map[string]any{}); !apierrors.IsNotFound(err) {
		t.Errorf("status of a missing object: %v", err)
	}
	if _, err := c.UpdateStatus(deployments, "default", "d", map[string]any{"readyReplicas": 1}); !apierrors.IsInvalid(err) {
		t.Errorf("more ready than there are: %v", err)
	}
	if _, err := c.UpdateStatus(deployments, "default", "d", []byte(`{`)); err == nil {
		t.Error("took a body that is not JSON")
	}
	after := must[*memapi.Object](t)(c.UpdateStatus(deployments, "default", "d", deploymentStatus(1)))
	if after.Meta.Generation != 1 || len(after.Meta.ManagedFields) != 2 || after.Meta.ManagedFields[1].Subresource != "status" {
		t.Errorf("after UpdateStatus: %+v", after.Meta)
	}
	var d struct{ Status struct{ ReadyReplicas int } }
	if err := after.Unmarshal(&d); err != nil || d.Status.ReadyReplicas != 1 {
		t.Errorf("got %+v, %v", d, err)
	}
	if _, err := c.Update(deployments, made.JSON()); !apierrors.IsConflict(err) {
		t.Errorf("a stale update: %v", err)
	}
	if err := c.Delete(deployments, "default", "d"); err != nil {
		t.Error(err)
	}
	if err := c.Delete(deployments, "default", "d"); !apierrors.IsNotFound(err) {
		t.Errorf("deleted twice: %v", err)
	}
}

func TestUIDsAreTheSameInEveryRunAndDifferBetweenServers(t *testing.T) {
	uid := func(name string) types.UID {
		s := memapi.New(memapi.Options{Name: name})
		defer s.Close()
		return must[*memapi.Object](t)(s.Cluster("").Create(secrets, object("default", "a"))).Meta.UID
	}
	first, again, other := uid("a"), uid("a"), uid("b")
	if first != again || first == other || len(first) != 36 {
		t.Errorf("%s, again %s, another server's %s", first, again, other)
	}
}

// Many clients write at once; each watch still gets every version of every object in order.
func TestConcurrentWritersAndWatchers(t *testing.T) {
	const writers, each = 8, 100
	s := memapi.New(memapi.Options{})
	defer s.Close()
	c := s.Cluster("")
	must[*memapi.Object](t)(c.Create(deployments, deploymentSpec("d")))
	var watching, writing sync.WaitGroup
	errs := make(chan error, 4)
	for range cap(errs) {
		resp := request(t, s, http.MethodGet, fmt.Sprintf("/apis/apps/v1/deployments?watch=true&resourceVersion=%d", s.ResourceVersion()), "")
		watching.Go(func() {
			defer func() { _ = resp.Body.Close() }()
			lines, last := json.NewDecoder(resp.Body), 0
			for n := range writers * each {
				var e seen
				if err := lines.Decode(&e); err != nil {
					errs <- fmt.Errorf("event %d: %w", n, err)
					return
				}
				version, _ := strconv.Atoi(e.Object.Metadata.ResourceVersion)
				if version <= last {
					errs <- fmt.Errorf("version %d after %d", version, last)
					return
				}
				last = version
			}
		})
	}
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				if _, err := c.As(fmt.Sprint("w", w)).UpdateStatus(deployments, "default", "d", map[string]any{"observedGeneration": 1 + w*each + i}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	watching.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}

func TestBookmarksAndTimeOutsInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memapi.New(memapi.Options{})
		defer s.Close()
		started := time.Now()
		resp := request(t, s, http.MethodGet, configMaps+"?watch=true&allowWatchBookmarks=true", "")
		defer func() { _ = resp.Body.Close() }()
		text := must[[]byte](t)(io.ReadAll(resp.Body))
		if took, n := time.Since(started), strings.Count(string(text), `"type":"BOOKMARK"`); took != 45*time.Minute || n < 44 || n > 45 {
			t.Errorf("ended after %v with %d bookmarks", took, n)
		}
	})
}

func TestBodiesEndWithTheirCalls(t *testing.T) {
	s := memapi.New(memapi.Options{})
	defer s.Close()
	for range 100 { // the server notices first, or the client
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://memapi"+configMaps+"?watch=true", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp := must[*http.Response](t)(s.Transport().RoundTrip(r))
		cancel()
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		_ = resp.Body.Close()
		if _, err := s.Transport().RoundTrip(r); !errors.Is(err, context.Canceled) {
			t.Errorf("a call that was cancelled before: %v", err)
		}
	}
}

func object(namespace, name string) map[string]any {
	return map[string]any{"metadata": map[string]any{"namespace": namespace, "name": name}}
}
